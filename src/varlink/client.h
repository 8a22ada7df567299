/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdint.h>

#include "basic/macro.h"

/*
 * A blocking client for one service, for programs that do nothing else meanwhile. Calls and replies
 * may hold secrets: nothing of them stays behind but what is returned.
 */
typedef struct VarlinkClient VarlinkClient;

/* When the service takes its time, on_slow is called once, after slow_usec of connecting or of
 * waiting for one reply. slow_usec: 0 for never. userdata is borrowed. */
typedef struct VarlinkPatience {
    uint64_t slow_usec;
    void (*on_slow)(void *userdata);
    void *userdata;
} VarlinkPatience;

/* Connects to the AF_UNIX stream socket at path, and has patience (NULL: none is told) for the life
 * of the client. timeout_usec bounds the wait for a service that accepts nobody; 0 for none.
 * Returns -ENAMETOOLONG, -ETIMEDOUT, -ENOMEM, or the error of socket(2) or connect(2). */
int varlink_client_connect(const char *path, const VarlinkPatience *patience, uint64_t timeout_usec,
                           VarlinkClient **ret) _must_check_;

/* Uses a connected stream socket, which is taken in every case. Returns -ENOMEM. */
int varlink_client_new(int fd, VarlinkClient **ret) _must_check_;

/* Disconnects; accepts NULL; returns NULL. */
VarlinkClient *varlink_client_free(VarlinkClient *c);
DEFINE_CLEANUP(VarlinkClient, varlink_client_free)

/* Calls method (INTERFACE.METHOD) and waits for its reply.
 * parameters (NULL for none) are taken in every case and erased: nobody else may use them.
 * timeout_usec: 0 for none. Returns 0 when the service replied: then *ret_parameters is an object
 * that the caller puts (varlink_json_erase_put() where it may hold a secret), and *ret_error is
 * NULL or the name of the error, to be freed.
 * Returns -EINVAL for parameters that are no object, and -EMSGSIZE when they are more than a
 * service takes; then nothing was sent. After -ECONNRESET (the service went away), -EBADMSG (it
 * does not speak Varlink), -ETIMEDOUT or another error of the wait, the connection is closed, and
 * further calls return -ENOTCONN. */
int varlink_client_call(VarlinkClient *c, const char *method, json_object *parameters,
                        uint64_t timeout_usec, json_object **ret_parameters, char **ret_error)
    _must_check_;

/* Calls method with more. on_reply gets each good reply, the last one too; it borrows parameters,
 * which are erased behind it. With other than 0 from on_reply, the connection is closed and that is
 * returned. timeout_usec bounds the wait for each reply. When the service ends with an error,
 * returns 0 with its name and parameters; *ret_error is NULL otherwise and *ret_parameters too. */
typedef int (*VarlinkReplyFn)(json_object *parameters, void *userdata);
int varlink_client_call_more(VarlinkClient *c, const char *method, json_object *parameters,
                             uint64_t timeout_usec, VarlinkReplyFn on_reply, void *userdata,
                             json_object **ret_parameters, char **ret_error) _must_check_;
