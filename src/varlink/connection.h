/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/queue.h>

#include "basic/secret.h"
#include "varlink/frame.h"
#include "varlink/varlink.h"

/* The inside of the server, for the files of this directory only. */

typedef struct VarlinkConnection VarlinkConnection;
typedef struct InterfaceEntry InterfaceEntry;
typedef struct Listener Listener;
typedef struct VarlinkUser VarlinkUser;

struct InterfaceEntry {
    const VarlinkInterface *interface;
    void *userdata;
    InterfaceEntry *next;
};

/* A user with connections; exists as long as it has one. */
struct VarlinkUser {
    uid_t uid;
    size_t n_connections;
    bool queued; /* in its lane */
    TAILQ_HEAD(VarlinkReady, VarlinkConnection) ready;
    TAILQ_ENTRY(VarlinkUser) in_lane;
    VarlinkUser *next;
};

/* There are two lanes: one for the connections of root, and one for all others, which runs when
 * nothing else in the event loop does. Users of a lane take turns, however many connections each
 * has. A turn is one call, or one piece of a stream; or a batch, and the call or piece that ends
 * it. */
typedef struct VarlinkLane {
    sd_event_source *turn; /* enabled while a user is in the lane */
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
    sd_event_source *idle_timer; /* armed while there are connections of others */
    uint64_t others_idle_usec;
    size_t parked;                 /* locked memory of all parked calls */
    bool turned_away;              /* a call, since varlink_server_resume() */
    const InterfaceEntry *batch;   /* its methods may hold calls until varlink_flush() */
    VarlinkConnection *sends_long; /* the one that may, until all that it sent is handled */
    sd_event_source *long_timer;   /* armed while there are crowded connections */
    uint64_t long_stall_usec;
    VarlinkAuthorizeFn authorize;
    void *authorize_userdata;
    VarlinkIdleFn idle;
    void *idle_userdata;
    VarlinkRefusedFn refused;
    void *refused_userdata;
};

/* A reply in pieces; next is NULL if there is none. */
typedef struct VarlinkStream {
    VarlinkStreamFn next;
    void *state;
    VarlinkDestroyFn destroy;
} VarlinkStream;

/*
 * One peer. A turn (varlink_connection_turn()) sends, handles one call or sends one piece of a
 * stream, and sends again. The flags decide which turns a connection gets, and how it ends:
 *
 *                 set                            cleared                      effect
 *    ready        an event, or work is left      its turn begins              queued, source off
 *    waiting      the gate of a call is closed   varlink_server_resume()      no call, no input
 *    crowded      another sends a long message   it is the next one to        no call, no input
 *    held         varlink_call_hold()            varlink_held_call_end()      no call, no input
 *    stream.next  varlink_call_stream()          its last reply               no call
 *    paused       varlink_call_pause()           varlink_server_wake()        no piece, no input
 *    refused      by authorize, at the start     never                        calls are refused
 *    at_end       the peer has stopped sending   never                        closed once idle
 *    ending       a message was malformed        never                        closed once sent
 *    broken       the peer is lost, no memory    never                        closed in its turn
 *
 * A turn without room in the output (VARLINK_OUTPUT_PAUSE) only sends. "Once idle" is when all
 * queued calls are answered, "once sent" when the output is empty; both wait for a held call.
 */
struct VarlinkConnection {
    VarlinkServer *server;
    VarlinkConnection *previous, *next;
    VarlinkUser *user;
    sd_event_source *source;
    int fd;
    struct ucred peer;
    uint64_t progress_usec; /* CLOCK_MONOTONIC, when bytes last came or went */
    bool ready;
    TAILQ_ENTRY(VarlinkConnection) in_queue;
    bool refused, at_end, ending, broken;
    bool waiting; /* for the gate of the parked call, or else of the first queued one */
    bool crowded;
    bool paused;       /* its stream has nothing to send */
    VarlinkCall *held; /* its method answers later */
    Secret *parked;    /* a waiting call that may hold a secret: the queue is no place for it */
    VarlinkBuffer input, output;
    VarlinkStream stream;
};

struct VarlinkCall {
    VarlinkConnection *connection; /* NULL for a held call whose peer has hung up */
    VarlinkCallMessage message;
    struct ucred peer;
    bool answered;
    bool streaming; /* the method leaves the answer to a stream */
    bool held;      /* the method answers later */
    bool paused;    /* the stream waits for varlink_server_wake() */
};

VarlinkConnection *varlink_connection_free(VarlinkConnection *c);
DEFINE_CLEANUP(VarlinkConnection, varlink_connection_free)

/* True while a call, or one of another connection, keeps later ones from being handled. */
static inline bool varlink_connection_is_waiting(const VarlinkConnection *c)
{
    return c->waiting || c->crowded || c->held || c->paused;
}

/* call.c: sends as much as the socket takes; notes a lost peer. */
void varlink_connection_send(VarlinkConnection *c);

/* Handles one message: afterwards it is answered, or the connection is ending or broken, or has a
 * stream or a held call; or it is waiting, because the gate of the call is closed. */
void varlink_connection_dispatch(VarlinkConnection *c, const char *data, size_t size);

/* Lets the connection wait with a message whose gate is closed: in locked memory if it may hold a
 * secret, unless it is too long for that. Returns false if there is no room. */
bool varlink_connection_park(VarlinkConnection *c, const char *data, size_t size, bool sensitive);

/* Sends the next piece of the stream of a connection; ends the stream when it has answered. */
void varlink_connection_stream(VarlinkConnection *c);
void varlink_stream_done(VarlinkStream *s);

/* Gives a ready connection its turn: afterwards it is closed and freed, or ready again, or its
 * source is on. */
void varlink_connection_turn(VarlinkConnection *c);

/* schedule.c: puts a connection into the queue of its user, unless it is there already. */
void varlink_schedule(VarlinkConnection *c);
void varlink_unschedule(VarlinkConnection *c);
int varlink_lanes_init(VarlinkServer *s);
void varlink_lanes_done(VarlinkServer *s);

/* listener.c: to be called at each turn. Listeners that have yielded to it get their priority back.
 */
void varlink_listeners_return(VarlinkServer *s);
void varlink_listeners_free(VarlinkServer *s);

/* admission.c: counts a connection, whose peer is known, for its user. Returns -EBUSY if there is
 * no room even after closing an idle one; -ENOMEM. */
int varlink_admit(VarlinkConnection *c) _must_check_;
void varlink_dismiss(VarlinkConnection *c);
/* Closes the connections of others whose peer has hung up; failing that, the longest idle one of
 * the user with most connections. Returns false if none was idle for idle_usec. wanting: the user
 * who needs room, never at the cost of a user with fewer connections; or NULL. */
bool varlink_make_room(VarlinkServer *s, const VarlinkUser *wanting, uint64_t idle_usec);
int varlink_idle_timer_new(VarlinkServer *s);

/* long-message.c: lets a connection send a message of VARLINK_MESSAGE_MAX, or makes it crowded
 * until its turn comes. Returns false for one that is longer than its peer may send. */
bool varlink_begin_long(VarlinkConnection *c);
/* Hands the place of a connection, if it has it, over to the oldest crowded one. */
void varlink_end_long(VarlinkConnection *c);
int varlink_long_timer_new(VarlinkServer *s);

static inline VarlinkLane *varlink_lane(VarlinkServer *s, uid_t uid)
{
    return uid == 0 ? &s->root : &s->others;
}

/* Calls the refused hook. */
void varlink_server_refused(VarlinkServer *s, const struct ucred *peer, const char *method);

/* Calls the idle hook, or leaves that to varlink_flush() while there is a batch. */
void varlink_server_notice(VarlinkServer *s);

/* Ends the batch, if there is one. Frees no connection. */
void varlink_flush(VarlinkServer *s);

void varlink_interfaces_free(VarlinkServer *s);
const InterfaceEntry *varlink_server_find_interface(const VarlinkServer *s, const char *name,
                                                    size_t length);

/* org.varlink.service; its userdata is the server. */
extern const VarlinkInterface varlink_service_interface;
