/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "basic/macro.h"
#include "varlink/message.h"

/*
 * A Varlink server on an event loop. A connection has one call at a time, and its replies go
 * out in the order of its calls. A peer that does not read is not called for: its calls and its
 * streams wait. Users have their turns one after the other, a call each; those other than root only
 * when nothing else is to do in the event loop.
 */
typedef struct VarlinkServer VarlinkServer;
typedef struct VarlinkCall VarlinkCall;

/* Answers call, once (varlink_call_*), and returns what the answering function returned; or returns
 * a negative errno, and the server answers: InvalidParameter("") for -EINVAL, PermissionDenied for
 * -EACCES and -EPERM, io.systemd.System with the errno for others, which is also what a method gets
 * that returns without an answer (EPROTO). parameters, an object, are valid until it returns. */
typedef int (*VarlinkMethodFn)(VarlinkCall *call, json_object *parameters, void *userdata);

/* Priorities in the event loop: all of root's connections, and of others. What must not wait for
 * them has a lower number, such as SD_EVENT_PRIORITY_NORMAL. */
#define VARLINK_PRIORITY_ROOT (SD_EVENT_PRIORITY_NORMAL + 10)
#define VARLINK_PRIORITY_OTHERS (SD_EVENT_PRIORITY_NORMAL + 20)

enum {
    /* Callers must say that they take more than one reply. */
    VARLINK_METHOD_MORE_REQUIRED = 1 << 0,
    /* The peer must be uid 0. */
    VARLINK_METHOD_ROOT = 1 << 1,
    /* Strings in the parameters are erased when fn has returned: it must not keep references. */
    VARLINK_METHOD_SENSITIVE = 1 << 2,
};

/* Whether a call may be made now. Where not, the call, and those after it on its connection, wait
 * for varlink_server_resume(), which has the gate asked again; the method runs once. The call is
 * dropped when its peer hangs up. Must not answer; may be asked any number of times. */
typedef bool (*VarlinkGateFn)(const VarlinkCall *call, json_object *parameters, void *userdata);

typedef struct VarlinkMethod {
    const char *name; /* without the interface */
    unsigned flags;
    VarlinkMethodFn fn;
    /* Names of all its parameters, up to a NULL: with another one, a call gets InvalidParameter.
     * NULL: not checked. */
    const char *const *parameters;
    VarlinkGateFn gate; /* NULL: always open */
} VarlinkMethod;

typedef struct VarlinkInterface {
    const char *name;
    const char *description;      /* in the interface definition language */
    const VarlinkMethod *methods; /* up to one without a name */
} VarlinkInterface;

/* What GetInfo tells. */
typedef struct VarlinkServiceInfo {
    const char *vendor, *product, *version, *url;
} VarlinkServiceInfo;

/* A server with org.varlink.service alone. The texts of info are borrowed for its life.
 * Returns -ENOMEM. */
int varlink_server_new(sd_event *event, const VarlinkServiceInfo *info, VarlinkServer **ret)
    _must_check_;

/* Closes listeners and connections; accepts NULL; returns NULL. Not to be called by a method. */
VarlinkServer *varlink_server_free(VarlinkServer *s);
DEFINE_CLEANUP(VarlinkServer, varlink_server_free)

/* Adds an interface, borrowed for the life of the server; userdata goes to its methods.
 * Returns -EINVAL for a bad name, -EEXIST, -ENOMEM. */
int varlink_server_add_interface(VarlinkServer *s, const VarlinkInterface *interface,
                                 void *userdata) _must_check_;

/* Accepts connections on a listening AF_UNIX stream socket, which is taken in every case. May be
 * called more than once. */
int varlink_server_listen(VarlinkServer *s, int listen_fd) _must_check_;

/* Serves one connected AF_UNIX stream socket, which is taken in every case.
 * Returns -EBUSY past VARLINK_CONNECTIONS_MAX of root, and for others past
 * VARLINK_USER_CONNECTIONS_MAX or VARLINK_OTHERS_CONNECTIONS_MAX where no idle one can give way;
 * -ENOMEM, or the error of getsockopt(2). */
int varlink_server_add_connection(VarlinkServer *s, int fd) _must_check_;

/* Asks fn once for each new connection; fd is its socket, for what SO_PEERCRED does not tell. With
 * other than 0, its calls get PermissionDenied. */
typedef int (*VarlinkAuthorizeFn)(int fd, const struct ucred *peer, void *userdata);
void varlink_server_set_authorize(VarlinkServer *s, VarlinkAuthorizeFn fn, void *userdata);

/* Calls fn for each call that is refused to a peer for who it is, and with method NULL for a
 * connection of a peer other than root that is refused for want of room. A method that is not
 * known is "(unknown)": no text of the peer. */
typedef void (*VarlinkRefusedFn)(const struct ucred *peer, const char *method, void *userdata);
void varlink_server_set_refused_hook(VarlinkServer *s, VarlinkRefusedFn fn, void *userdata);

/* Asks the gates of the calls that wait, before it returns. Not to be called by a method. */
void varlink_server_resume(VarlinkServer *s);

/* Calls fn when a connection was opened or closed and when a call was handled, so that the owner
 * may time how long nothing happened. fn must not free the server. */
typedef void (*VarlinkIdleFn)(VarlinkServer *s, void *userdata);
void varlink_server_set_idle_hook(VarlinkServer *s, VarlinkIdleFn fn, void *userdata);

/* How many connections are open. */
size_t varlink_server_connections(const VarlinkServer *s);

/*
 * In a method. The answering functions take parameters (NULL for none) in every case and return 0
 * (for a oneway call they send nothing), -EPROTO when the call is already answered, -EINVAL for
 * parameters that are no object, -EMSGSIZE past VARLINK_REPLY_MAX (it may be answered otherwise),
 * and -ENOBUFS, -ENOMEM or a socket error when the connection is lost: there is nobody to answer.
 */

/* The answer, or the last one to a call with more. */
int varlink_call_reply(VarlinkCall *call, json_object *parameters) _must_check_;

/* The same for parameters with a secret: strings are erased, so nobody else may use them. */
int varlink_call_reply_sensitive(VarlinkCall *call, json_object *parameters) _must_check_;

/* One of several answers; another must follow. -EPROTO where the caller did not ask for more. Many
 * of them are for a stream. */
int varlink_call_notify(VarlinkCall *call, json_object *parameters) _must_check_;

typedef void (*VarlinkDestroyFn)(void *state);

/* Leaves the answer to next, which is called as the peer reads, until it has answered: it answers
 * with a piece (varlink_call_notify()) or the end, and returns as a method does. It should take a
 * millisecond at most. destroy is called after that, or when the connection is closed, and in every
 * case. Meanwhile the keys of the daemon may change. For methods with VARLINK_METHOD_MORE_REQUIRED.
 * Returns 0, or -EPROTO. */
typedef int (*VarlinkStreamFn)(VarlinkCall *call, void *state);
int varlink_call_stream(VarlinkCall *call, VarlinkStreamFn next, void *state,
                        VarlinkDestroyFn destroy) _must_check_;

/* Leaves the answer for later. Returns the call to answer then, to be ended by
 * varlink_held_call_end(), also where the server is gone; NULL without memory, or for a call that
 * is answered. The method returns 0 after it. Calls after it on the connection wait; parameters are
 * valid until the method returns, as ever. */
VarlinkCall *varlink_call_hold(VarlinkCall *call) _must_check_;

/* True when the peer of a held call has hung up: the answering functions return -ECONNRESET. */
bool varlink_held_call_is_lost(const VarlinkCall *held);

/* Frees a held call; error: what its method would have returned. Accepts NULL; returns NULL. */
VarlinkCall *varlink_held_call_end(VarlinkCall *held, int error);

/* error: INTERFACE.Name. */
int varlink_call_error(VarlinkCall *call, const char *error, json_object *parameters) _must_check_;
int varlink_call_invalid_parameter(VarlinkCall *call, const char *name) _must_check_;

/* Who connected (SO_PEERCRED). */
const struct ucred *varlink_call_peer(const VarlinkCall *call);

/* What a method keeps for further calls on this connection: one object, NULL at first. destroy is
 * called when another takes its place, and when the connection is closed. */
void varlink_call_set_state(VarlinkCall *call, void *state, VarlinkDestroyFn destroy);
void *varlink_call_state(const VarlinkCall *call);
