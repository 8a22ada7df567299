/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "basic/io.h"
#include "basic/macro.h"
#include "varlink/json-wire.h"
#include "varlink/varlink.h"

#define PING "{\"method\":\"org.example.test.Ping\"}"
#define PONG "{\"parameters\":{}}"
#define FULL "{\"error\":\"org.example.test.Full\",\"parameters\":{}}"
#define STILL_FULL "{\"error\":\"org.example.test.StillFull\",\"parameters\":{}}"

#define NEEDS_ROOT                                                                                 \
    if (geteuid() != 0)                                                                            \
    return

/* Users are distinguished by their uid modulo this. */
#define USERS 16

#define STAGED_MAX 256

/* A service of org.example.test on a socket in a directory of its own. */
typedef struct Fixture {
    char dir[32], path[64];
    sd_event *event;
    VarlinkServer *server;
    unsigned noticed, echoed, pinged, waited;
    bool ready; /* the gate of Wait is open */
    VarlinkCall *held;
    int twice; /* result of the second answer to a call */
    int authorized;
    int last_stream;
    unsigned pinged_by[USERS];
    unsigned streamed;  /* steps of all streams */
    int streams;        /* number of streams */
    unsigned announced; /* replies that each Watch may send */
    VarlinkCall *staged[STAGED_MAX];
    unsigned n_staged, largest; /* calls of the batch now, and of the largest one */
    unsigned flushes, staged_in_all;
    unsigned peeked; /* how often anything else ran while a batch was prepared */
    unsigned refused;
    char last_refused[64];
} Fixture;

extern const VarlinkInterface interface;

/* pump() gives up after this many turns, because a connection is spinning. */
#define TURNS_MAX 50000

/* A secret text is generated in place, so that memory has no other copy of it. */
#define SECRET_LENGTH 84
char secret_char(size_t i);
void secret_text(char ret[static SECRET_LENGTH]);

/* Makes the service and listens. abort()s on errors. */
Fixture *fixture_new(void);
void fixture_freep(Fixture **f);

/* A new connection. */
int client_socket(const Fixture *f);
/* As another user if this one is root, otherwise as this one. */
int user_socket(const Fixture *f, uid_t uid);

/* Connections of a user, accepted by the service. */
void open_all(Fixture *f, int *fds, size_t n, uid_t uid);
void close_all(int *fds, size_t n);

void wait_usec(uint64_t usec);

/* Turns the loop until nothing is left to do; returns false if that does not happen. */
bool pump(Fixture *f);

/* Sends all of it; the server reads meanwhile. */
void send_text(Fixture *f, int fd, const char *text, size_t size);
/* With the NUL of the literal. */
#define SEND(f, fd, literal) send_text(f, fd, literal, sizeof(literal))

/* Sends as much as the server takes. Returns how much is left. */
size_t push(Fixture *f, int fd, const char *text, size_t size);
/* Sends calls of PING. */
void send_pings(int fd, size_t n);

/* The next message to fd, or NULL; valid until the next use of b. */
const char *next_text(Fixture *f, int fd, VarlinkBuffer *b);
/* True if the server has closed the connection and nothing unread is left. */
bool is_closed(Fixture *f, int fd);

void varlink_buffer_donep(VarlinkBuffer *b);

#define FIXTURE                                                                                    \
    _cleanup_(fixture_freep) Fixture *f = fixture_new();                                           \
    _cleanup_(closep) int fd = client_socket(f);                                                   \
    _cleanup_(varlink_buffer_donep) _unused_ VarlinkBuffer in = VARLINK_BUFFER(VARLINK_MESSAGE_MAX)
