/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdint.h>

#include "basic/macro.h"

/*
 * A blocking client of one service, for programs that have nothing else to do meanwhile. Calls and
 * replies may hold secrets: only the returned reply stays in memory.
 */
typedef struct VarlinkClient VarlinkClient;

/* on_slow is called once, after slow_usec of connecting or of waiting for a reply; slow_usec 0
 * means never. userdata is borrowed. */
typedef struct VarlinkPatience {
    uint64_t slow_usec;
    void (*on_slow)(void *userdata);
    void *userdata;
} VarlinkPatience;

/* Connects to the AF_UNIX stream socket at path. patience (NULL for none) applies for the life of
 * the client. timeout_usec bounds the wait for a service that does not accept; 0 for no bound.
 * Returns -ENAMETOOLONG, -ETIMEDOUT, -ENOMEM, or the error of socket(2) or connect(2). */
int varlink_client_connect(const char *path, const VarlinkPatience *patience, uint64_t timeout_usec,
                           VarlinkClient **ret) _must_check_;

/* Makes a client of a connected stream socket, which is taken even on error. Returns -ENOMEM. */
int varlink_client_new(int fd, VarlinkClient **ret) _must_check_;

/* Disconnects; accepts NULL; returns NULL. */
VarlinkClient *varlink_client_free(VarlinkClient *c);
DEFINE_CLEANUP(VarlinkClient, varlink_client_free)

/* Calls method (INTERFACE.METHOD) and waits for its reply. parameters (NULL for none) are taken
 * even on error, and erased, so no other reference may exist. timeout_usec: 0 for none. Returns 0
 * if the service replied: *ret_parameters is an object that the caller puts (with
 * varlink_json_erase_put() if it may hold a secret), and *ret_error is NULL or the name of the
 * error, to be freed. Returns -EINVAL if parameters are no object, and -EMSGSIZE if they are longer
 * than a service accepts; nothing is sent then. After -ECONNRESET (the service hung up), -EBADMSG
 * (it does not speak Varlink), -ETIMEDOUT or another error of the wait, the connection is closed,
 * and further calls return -ENOTCONN. */
int varlink_client_call(VarlinkClient *c, const char *method, json_object *parameters,
                        uint64_t timeout_usec, json_object **ret_parameters, char **ret_error)
    _must_check_;

/* Calls method with more. on_reply gets each good reply, including the last; it borrows parameters,
 * which are erased afterwards. If it returns other than 0, the connection is closed and that value
 * is returned. timeout_usec bounds the wait for each reply. If the service ends with an error,
 * returns 0 with its name and parameters; otherwise *ret_error and *ret_parameters are NULL. */
typedef int (*VarlinkReplyFn)(json_object *parameters, void *userdata);
int varlink_client_call_more(VarlinkClient *c, const char *method, json_object *parameters,
                             uint64_t timeout_usec, VarlinkReplyFn on_reply, void *userdata,
                             json_object **ret_parameters, char **ret_error) _must_check_;
