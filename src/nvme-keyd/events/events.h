/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/events/limits.h"
#include "nvme-keyd/keys/key.h"
#include "psk/limits.h"

/*
 * What happens to keys, for programs that watch. Events are kept only while there is a reader, and
 * only the last EVENTS_MAX of them. The log is not made of them: it has to work without readers.
 */
typedef struct Events Events;

typedef enum EventKind {
    EVENT_PUBLISHED, /* a key came into the ring, */
    EVENT_WITHDRAWN, /* or was taken out of it */
    EVENT_PUT_BACK,  /* a key that another program had removed is in the ring again */
    EVENT_SWITCHED,  /* a key has become active in place of another one */
    EVENT_RETIRED,   /* a key is retiring, */
    EVENT_REVOKED,   /* was revoked, */
    EVENT_REMOVED,   /* or has left the store */
    EVENT_PROBED,    /* a target has answered a probe */
    EVENT_MOVED,     /* a controller uses another key than before */
    EVENT_FOREIGN,   /* another program has put a key beside one of ours */
    EVENT_KINDS,
} EventKind;

typedef struct Event {
    uint64_t number; /* from 1, without a gap */
    EventKind kind;
    uint64_t time_usec; /* CLOCK_REALTIME */
    char key_id[KEY_ID_SIZE];
    char hostnqn[NQN_LENGTH_MAX + 1];
    char subsysnqn[NQN_LENGTH_MAX + 1];
    int32_t serial; /* of the key in the ring, 0 for none */
    char detail[EVENT_DETAIL_MAX + 1];
} Event;

const char *event_kind_to_string(EventKind kind);

/* wake is called after each event while there are readers. It must not emit events. */
int events_new(void (*wake)(void *userdata), void *userdata, Events **ret) _must_check_;
/* Accepts NULL; returns NULL. There must be no reader. */
Events *events_free(Events *e);
DEFINE_CLEANUP(Events, events_free)

/* True if events are kept. Saves the work of finding out what has changed. */
bool events_have_readers(const Events *e);

/* Adds an event about a key, or about none (NULL). detail may be NULL. Accepts NULL for e. */
void events_emit(Events *e, EventKind kind, const Key *k, int32_t serial, const char *detail);
/* Same, for the key of another program. */
void events_emit_pair(Events *e, EventKind kind, const char *hostnqn, const char *subsysnqn,
                      int32_t serial, const char *detail);

/* A position among the events. */
typedef struct EventReader {
    Events *events;
    uint64_t next; /* number of the event that comes next */
} EventReader;

/* Starts after the last event; the reader must be ended by event_reader_done() before the events
 * are freed. Returns -ENOMEM. */
int event_reader_begin(EventReader *r, Events *e) _must_check_;
/* Returns the next event, valid until another is emitted, or NULL. *ret_lost is the number of
 * events before it that were not kept. */
const Event *event_reader_take(EventReader *r, uint64_t *ret_lost);
void event_reader_done(EventReader *r);
