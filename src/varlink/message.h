/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "basic/macro.h"
#include "varlink/frame.h"

/* The longest message that sd-varlink accepts, a call or a reply. */
#define VARLINK_MESSAGE_MAX ((size_t)16 * 1024 * 1024)

/* Errors of any service. */
#define VARLINK_ERROR_INTERFACE_NOT_FOUND "org.varlink.service.InterfaceNotFound"
#define VARLINK_ERROR_METHOD_NOT_FOUND "org.varlink.service.MethodNotFound"
#define VARLINK_ERROR_INVALID_PARAMETER "org.varlink.service.InvalidParameter"
#define VARLINK_ERROR_PERMISSION_DENIED "org.varlink.service.PermissionDenied"
#define VARLINK_ERROR_EXPECTED_MORE "org.varlink.service.ExpectedMore"
/* The error of systemd for a plain errno: {origin: "linux", errno: int}. */
#define VARLINK_ERROR_SYSTEM "io.systemd.System"

/* True for names as in "org.example.ftl": at least two labels. */
bool varlink_interface_name_is_valid(const char *name);

/* A parsed call. If a member has the wrong type or form, invalid names it, and only oneway is
 * valid. Texts and parameters (never NULL unless invalid is set) are borrowed from root. */
typedef struct VarlinkCallMessage {
    json_object *root;
    const char *invalid;
    const char *method; /* INTERFACE.METHOD */
    json_object *parameters;
    bool oneway, more;
} VarlinkCallMessage;

/* Parses a message without its NUL. The caller erases and puts root. Returns -EBADMSG if the
 * message is no JSON object, -EPROTO for oneway with more, -ENOMEM. */
int varlink_call_message_parse(const char *data, size_t size, VarlinkCallMessage *ret) _must_check_;

/* A parsed reply; error is NULL in a good one. Texts are borrowed from root. */
typedef struct VarlinkReplyMessage {
    json_object *root;
    const char *error;
    json_object *parameters;
    bool continues;
} VarlinkReplyMessage;

/* Returns -EBADMSG if the message is no reply, -ENOMEM. */
int varlink_reply_message_parse(const char *data, size_t size, VarlinkReplyMessage *ret)
    _must_check_;

/* Queue one message with its NUL. parameters are borrowed: an object, or NULL for an empty one.
 * Return -EINVAL for other parameters, -EMSGSIZE if the message is longer than
 * VARLINK_MESSAGE_MAX, -ENOBUFS, -ENOMEM; nothing is queued then. */
int varlink_message_append_call(VarlinkBuffer *b, const char *method, json_object *parameters,
                                bool more) _must_check_;
int varlink_message_append_reply(VarlinkBuffer *b, json_object *parameters, bool continues)
    _must_check_;
int varlink_message_append_error(VarlinkBuffer *b, const char *error, json_object *parameters)
    _must_check_;
