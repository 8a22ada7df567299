/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/queue.h>

#include "basic/secret.h"
#include "varlink/frame.h"
#include "varlink/varlink.h"

/* The inside of the server: for the files of this directory only. */

typedef struct VarlinkConnection VarlinkConnection;
typedef struct InterfaceEntry InterfaceEntry;
typedef struct Listener Listener;
typedef struct VarlinkUser VarlinkUser;

struct InterfaceEntry {
    const VarlinkInterface *interface;
    void *userdata;
    InterfaceEntry *next;
};

/* Who has connections. Each is there as long as it has one. */
struct VarlinkUser {
    uid_t uid;
    size_t n_connections;
    bool queued; /* in its lane */
    TAILQ_HEAD(VarlinkReady, VarlinkConnection) ready;
    TAILQ_ENTRY(VarlinkUser) in_lane;
    VarlinkUser *next;
};

/* Root's connections have one, all others have the other, which goes on when nothing else in the
 * event loop does. In a lane each user has its turn after the other, however many connections it
 * has; and a turn is one call, or one piece of a stream. */
typedef struct VarlinkLane {
    sd_event_source *turn; /* enabled while somebody is in the lane */
    size_t n_connections;
    TAILQ_HEAD(VarlinkUsers, VarlinkUser) users;
} VarlinkLane;

struct VarlinkServer {
    sd_event *event;
    VarlinkServiceInfo info;
    InterfaceEntry *interfaces;
    Listener *listeners;
    VarlinkConnection *connections;
    VarlinkUser *users;
    VarlinkLane root, others;
    sd_event_source *idle_timer; /* while there are others */
    uint64_t others_idle_usec;
    size_t parked; /* bytes of all calls that are */
    VarlinkAuthorizeFn authorize;
    void *authorize_userdata;
    VarlinkIdleFn idle;
    void *idle_userdata;
    VarlinkRefusedFn refused;
    void *refused_userdata;
};

/* A reply in pieces; next is NULL where there is none. */
typedef struct VarlinkStream {
    VarlinkStreamFn next;
    void *state;
    VarlinkDestroyFn destroy;
} VarlinkStream;

struct VarlinkConnection {
    VarlinkServer *server;
    VarlinkConnection *previous, *next;
    VarlinkUser *user;
    sd_event_source *source; /* off while the connection is ready */
    int fd;
    struct ucred peer;
    uint64_t progress_usec; /* CLOCK_MONOTONIC, when bytes came or went last */
    bool ready;             /* queued for its turn */
    TAILQ_ENTRY(VarlinkConnection) in_queue;
    bool refused; /* by authorize */
    bool at_end;  /* the peer sends no more */
    bool ending;  /* no further call is handled; what is queued is still sent */
    bool broken;  /* to be closed at once */
    bool waiting; /* the gate of a call is closed: of the parked or else the first queued one */
    VarlinkCall *held; /* its method has left the answer for later */
    Secret *parked;    /* one that may hold a secret: a queue is no place to keep it for long */
    VarlinkBuffer input, output;
    VarlinkStream stream;
    void *state; /* of a method */
    VarlinkDestroyFn destroy;
};

struct VarlinkCall {
    VarlinkConnection *connection; /* NULL for a held call whose peer has hung up */
    VarlinkCallMessage message;
    struct ucred peer;
    bool answered;
    bool streaming; /* the method leaves the answer to a stream */
    bool held;      /* or for later */
};

VarlinkConnection *varlink_connection_free(VarlinkConnection *c);
DEFINE_CLEANUP(VarlinkConnection, varlink_connection_free)

/* True while a call keeps those after it from being handled. */
static inline bool varlink_connection_is_waiting(const VarlinkConnection *c)
{
    return c->waiting || c->held;
}

/* call.c: sends what the socket takes; notes a lost peer. */
void varlink_connection_send(VarlinkConnection *c);

/* Handles one message: at the end it is answered, or the connection is ending or broken, or has a
 * stream or a held call. Returns false when its gate is closed; *ret_sensitive tells whether such a
 * message may hold a secret. */
bool varlink_connection_dispatch(VarlinkConnection *c, const char *data, size_t size,
                                 bool *ret_sensitive);

/* Has the stream of a connection go on: it ends when it has answered. */
void varlink_connection_stream(VarlinkConnection *c);
void varlink_stream_done(VarlinkStream *s);

/* Gives a connection that is ready its turn: it is closed and freed, or made ready again, or its
 * source is on. */
void varlink_connection_turn(VarlinkConnection *c);

/* schedule.c: puts a connection into the queue of its user, unless it is in it. */
void varlink_schedule(VarlinkConnection *c);
void varlink_unschedule(VarlinkConnection *c);
int varlink_lanes_init(VarlinkServer *s);
void varlink_lanes_done(VarlinkServer *s);

/* listener.c: to be called at a turn: listeners that had yielded to it come before others again. */
void varlink_listeners_return(VarlinkServer *s);
void varlink_listeners_free(VarlinkServer *s);

/* admission.c: counts a connection whose peer is known as one of its user. Returns -EBUSY where
 * there is no room, also after an idle one had to give way; -ENOMEM. */
int varlink_admit(VarlinkConnection *c) _must_check_;
void varlink_dismiss(VarlinkConnection *c);
/* Closes connections of others that nobody is at the other end of; or else the one that was idle
 * for longest of the user who has most. Returns false where none was idle for so long. wanting: who
 * wants the room, which is never at the cost of one who has less; or NULL. */
bool varlink_make_room(VarlinkServer *s, const VarlinkUser *wanting, uint64_t idle_usec);
int varlink_idle_timer_new(VarlinkServer *s);

static inline VarlinkLane *varlink_lane(VarlinkServer *s, uid_t uid)
{
    return uid == 0 ? &s->root : &s->others;
}

/* Tells that something was refused. */
void varlink_server_refused(VarlinkServer *s, const struct ucred *peer, const char *method);

/* Calls the idle hook. */
void varlink_server_notice(VarlinkServer *s);

void varlink_interfaces_free(VarlinkServer *s);
const InterfaceEntry *varlink_server_find_interface(const VarlinkServer *s, const char *name,
                                                    size_t length);

/* org.varlink.service; its userdata is the server. */
extern const VarlinkInterface varlink_service_interface;
