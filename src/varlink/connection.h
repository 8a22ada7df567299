/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/limits.h"
#include "basic/secret.h"
#include "varlink/frame.h"
#include "varlink/server.h"

/* The inside of the server: for the files of this directory only. */

/* So that peers other than root, together or alone, cannot lock root out. */
#define CONNECTIONS_PER_USER_MAX (VARLINK_CONNECTIONS_MAX / 4)
/* With more than that unsent, further calls of a peer wait, and a stream of replies is flushed. */
#define CONNECTION_OUTPUT_PAUSE ((size_t)64 * 1024)
/* Calls of one connection before others get their turn. */
#define CONNECTION_CALLS_PER_TURN 64

typedef struct VarlinkConnection VarlinkConnection;
typedef struct InterfaceEntry InterfaceEntry;
typedef struct Listener Listener;

struct InterfaceEntry {
    const VarlinkInterface *interface;
    void *userdata;
    InterfaceEntry *next;
};

struct VarlinkServer {
    sd_event *event;
    VarlinkServiceInfo info;
    InterfaceEntry *interfaces;
    Listener *listeners;
    VarlinkConnection *connections;
    VarlinkAuthorizeFn authorize;
    void *authorize_userdata;
    VarlinkIdleFn idle;
    void *idle_userdata;
};

struct VarlinkConnection {
    VarlinkServer *server;
    VarlinkConnection *previous, *next;
    sd_event_source *source;
    int fd;
    struct ucred peer;
    bool refused; /* by authorize */
    bool at_end;  /* the peer sends no more */
    bool ending;  /* no further call is handled; what is queued is still sent */
    bool broken;  /* to be closed at once */
    bool waiting; /* a call is to be handled again later: the parked or else the first queued one */
    Secret *parked; /* one that may hold a secret: a queue is no place to keep it for long */
    VarlinkBuffer input, output;
    void *state; /* of a method */
    VarlinkDestroyFn destroy;
};

struct VarlinkCall {
    VarlinkConnection *connection;
    const VarlinkCallMessage *message;
    bool answered;
};

VarlinkConnection *varlink_connection_free(VarlinkConnection *c);
DEFINE_CLEANUP(VarlinkConnection, varlink_connection_free)

/* Sends what the socket takes; notes a lost peer. */
void varlink_connection_send(VarlinkConnection *c);

/* Handles one message: at the end it is answered, or the connection is ending or broken; or
 * waiting. *ret_sensitive tells whether such a message may hold a secret. Returns false when
 * waiting. */
bool varlink_connection_dispatch(VarlinkConnection *c, const char *data, size_t size,
                                 bool *ret_sensitive);

/* Calls the idle hook. */
void varlink_server_notice(VarlinkServer *s);

const InterfaceEntry *varlink_server_find_interface(const VarlinkServer *s, const char *name,
                                                    size_t length);

/* org.varlink.service; its userdata is the server. */
extern const VarlinkInterface varlink_service_interface;
