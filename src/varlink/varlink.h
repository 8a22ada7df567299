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
 * A Varlink server on an event loop. A connection has one call at a time, and its replies are sent
 * in the order of its calls. While a peer does not read, its calls and its streams wait. Users take
 * turns, one call each; users other than root only when nothing else in the event loop is due.
 * Calls of batch methods that wait at the same time share a turn, see VARLINK_METHOD_BATCH.
 */
typedef struct VarlinkServer VarlinkServer;
typedef struct VarlinkCall VarlinkCall;

/* Answers call once (varlink_call_*) and returns the result of the answering function. Or returns a
 * negative errno, which the server answers: -EINVAL with InvalidParameter(""), -EACCES and -EPERM
 * with PermissionDenied, others with io.systemd.System and the errno. A method that returns without
 * an answer is answered with EPROTO. parameters, an object, are valid until it returns. */
typedef int (*VarlinkMethodFn)(VarlinkCall *call, json_object *parameters, void *userdata);

/* Priorities in the event loop: of all connections of root, and of all others. Sources that must
 * not wait for them need a lower number, such as SD_EVENT_PRIORITY_NORMAL. */
#define VARLINK_PRIORITY_ROOT (SD_EVENT_PRIORITY_NORMAL + 10)
#define VARLINK_PRIORITY_OTHERS (SD_EVENT_PRIORITY_NORMAL + 20)

enum {
    /* The caller must accept more than one reply. */
    VARLINK_METHOD_MORE_REQUIRED = 1 << 0,
    /* The peer must be uid 0. */
    VARLINK_METHOD_ROOT = 1 << 1,
    /* Strings in the parameters are erased when fn returns, so it must not keep references. */
    VARLINK_METHOD_SENSITIVE = 1 << 2,
    /* Calls that wait at the same time are carried out together: fn prepares its call and holds it
     * (varlink_call_hold()), or ends it at once, and the flush function of the interface carries
     * out and ends all that are held. A batch has VARLINK_BATCH_MAX calls at most, each of another
     * connection. */
    VARLINK_METHOD_BATCH = 1 << 3,
};

/* Carries out and ends all calls that batch methods of the interface hold. Called before any other
 * gate, method or stream of the server runs, and before the server returns to the event loop, so
 * nothing but the gates and functions of batch methods can see what they have prepared. */
typedef void (*VarlinkFlushFn)(void *userdata);

/* Returns true if a call may run now. Otherwise the call, and those after it on its connection,
 * wait for varlink_server_resume(), which asks the gate again; the method runs once. The call is
 * dropped if its peer hangs up. A gate must not answer, and may be asked any number of times. */
typedef bool (*VarlinkGateFn)(const VarlinkCall *call, json_object *parameters, void *userdata);

/* Answers a call with a secret that would have to wait at its gate, when so many wait that locked
 * memory has no room for it. first: no other one was answered so since varlink_server_resume().
 * Returns as a method does. */
typedef int (*VarlinkTurnAwayFn)(VarlinkCall *call, bool first);

typedef struct VarlinkMethod {
    const char *name; /* without the interface */
    unsigned flags;
    VarlinkMethodFn fn;
    /* Names of all parameters, ending with NULL: a call with another one gets InvalidParameter.
     * NULL: not checked. */
    const char *const *parameters;
    VarlinkGateFn gate; /* NULL: always open */
} VarlinkMethod;

typedef struct VarlinkInterface {
    const char *name;
    const char *description;      /* in the interface definition language */
    const VarlinkMethod *methods; /* ends with one without a name */
    VarlinkFlushFn flush;         /* NULL where there is no batch method */
    /* NULL where no method has both a gate and VARLINK_METHOD_SENSITIVE. */
    VarlinkTurnAwayFn turn_away;
} VarlinkInterface;

/* The reply of GetInfo. */
typedef struct VarlinkServiceInfo {
    const char *vendor, *product, *version, *url;
} VarlinkServiceInfo;

/* Makes a server with org.varlink.service alone. The texts of info are borrowed for its life.
 * Returns -ENOMEM. */
int varlink_server_new(sd_event *event, const VarlinkServiceInfo *info, VarlinkServer **ret)
    _must_check_;

/* Closes listeners and connections; accepts NULL; returns NULL. A method must not call it. */
VarlinkServer *varlink_server_free(VarlinkServer *s);
DEFINE_CLEANUP(VarlinkServer, varlink_server_free)

/* Adds an interface, borrowed for the life of the server; userdata goes to its methods.
 * Returns -EINVAL for a bad name, -EEXIST, -ENOMEM. */
int varlink_server_add_interface(VarlinkServer *s, const VarlinkInterface *interface,
                                 void *userdata) _must_check_;

/* Accepts connections on a listening AF_UNIX stream socket, which is taken even on error. May be
 * called more than once. */
int varlink_server_listen(VarlinkServer *s, int listen_fd) _must_check_;

/* Serves one connected AF_UNIX stream socket, which is taken even on error. Returns -EBUSY past
 * VARLINK_CONNECTIONS_MAX for root, and for others past VARLINK_USER_CONNECTIONS_MAX or
 * VARLINK_OTHERS_CONNECTIONS_MAX if no idle connection can give way; -ENOMEM, or the error of
 * getsockopt(2). */
int varlink_server_add_connection(VarlinkServer *s, int fd) _must_check_;

/* Calls fn once for each new connection; fd is its socket, for more than SO_PEERCRED has. Unless it
 * returns 0, all calls of the connection get PermissionDenied. */
typedef int (*VarlinkAuthorizeFn)(int fd, const struct ucred *peer, void *userdata);
void varlink_server_set_authorize(VarlinkServer *s, VarlinkAuthorizeFn fn, void *userdata);

/* Calls fn for each call that the peer may not make, and with method NULL for a connection of a
 * peer other than root that is refused for want of room. An unknown method is "(unknown)": fn never
 * gets text of a peer. */
typedef void (*VarlinkRefusedFn)(const struct ucred *peer, const char *method, void *userdata);
void varlink_server_set_refused_hook(VarlinkServer *s, VarlinkRefusedFn fn, void *userdata);

/* Lets the gates of all waiting calls be asked again, in the turns of their connections. */
void varlink_server_resume(VarlinkServer *s);

/* Calls fn when a connection was opened or closed, when a call was handled and when a batch was
 * flushed, so that the owner can measure idle time; never while a batch is prepared. fn must not
 * free the server. */
typedef void (*VarlinkIdleFn)(VarlinkServer *s, void *userdata);
void varlink_server_set_idle_hook(VarlinkServer *s, VarlinkIdleFn fn, void *userdata);

/* The number of open connections. */
size_t varlink_server_connections(const VarlinkServer *s);

/*
 * For methods. The answering functions take parameters (NULL for none) even on error. They return 0
 * (and send nothing for a oneway call), -EPROTO if the call is answered already, -EINVAL if
 * parameters are no object, -EMSGSIZE past VARLINK_MESSAGE_MAX (another answer is possible then),
 * and -ENOBUFS, -ENOMEM or a socket error if the connection is lost, so that no answer is possible.
 */

/* Sends the answer, or the last one to a call with more. */
int varlink_call_reply(VarlinkCall *call, json_object *parameters) _must_check_;

/* Same for parameters with a secret: all strings are erased, so no other reference may exist. */
int varlink_call_reply_sensitive(VarlinkCall *call, json_object *parameters) _must_check_;

/* Sends one of several answers; another must follow. Returns -EPROTO if the caller did not ask for
 * more. Use a stream for many of them. */
int varlink_call_notify(VarlinkCall *call, json_object *parameters) _must_check_;

typedef void (*VarlinkDestroyFn)(void *state);

/* Lets next answer. It is called whenever the peer has read enough, until it has answered: each
 * time it sends a piece (varlink_call_notify()) or the last reply, returns as a method does, and
 * should take a millisecond at most. destroy is always called, after the last reply or when the
 * connection is closed. The keys of the daemon may change between two calls of next. For methods
 * with VARLINK_METHOD_MORE_REQUIRED. Returns 0, or -EPROTO. */
typedef int (*VarlinkStreamFn)(VarlinkCall *call, void *state);
int varlink_call_stream(VarlinkCall *call, VarlinkStreamFn next, void *state,
                        VarlinkDestroyFn destroy) _must_check_;

/* For next of a stream, before it returns 0: there is nothing to send until varlink_server_wake().
 */
void varlink_call_pause(VarlinkCall *call);
/* Lets all paused streams continue, in their turns. */
void varlink_server_wake(VarlinkServer *s);

/* Answers later. Returns the call to be answered then and to be ended by varlink_held_call_end(),
 * even if the server is gone by then; NULL without memory, or if the call is answered. The method
 * returns 0 afterwards. Later calls on the connection wait. parameters are valid until the method
 * returns, as always. */
VarlinkCall *varlink_call_hold(VarlinkCall *call) _must_check_;

/* True if the peer of a held call has hung up: the answering functions return -ECONNRESET then. */
bool varlink_held_call_is_lost(const VarlinkCall *held);

/* Sends what the socket takes of the answer and frees a held call; error: the value that its method
 * would have returned. Accepts NULL; returns NULL. */
VarlinkCall *varlink_held_call_end(VarlinkCall *held, int error);

/* error: INTERFACE.Name. */
int varlink_call_error(VarlinkCall *call, const char *error, json_object *parameters) _must_check_;
int varlink_call_invalid_parameter(VarlinkCall *call, const char *name) _must_check_;

/* The peer of the connection (SO_PEERCRED). */
const struct ucred *varlink_call_peer(const VarlinkCall *call);
