/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key-neighbours.h"

/* The number of conflicts that are looked for: more than 10,000 subsystems that are numbered from 1
 * have among them, and few enough for one message. */
#define CONFLICTS_MAX 32768

typedef enum ConflictReason {
    CONFLICT_EXISTS, /* a pair cannot have both (key_collides()) */
    CONFLICT_HASH,   /* key_rivals() */
    CONFLICT_NAME,   /* key_shadows(), one way or the other */
} ConflictReason;

/* A new key, and one of lesser id among the new ones, or one of the table. The keys are borrowed.
 */
typedef struct Conflict {
    ConflictReason reason;
    const Key *key, *other;
    /* The one of them whose place the other one takes in a search of the kernel, so that force_for
     * may name it; NULL for CONFLICT_EXISTS, which cannot be forced. */
    const Key *loser;
    bool is_certain; /* key_beats() */
} Conflict;

typedef struct Conflicts {
    Conflict *items; /* by the ids of key and other */
    size_t n, n_max;
    size_t n_forced; /* accepted, and not among the items */
    bool more;       /* the search has ended at CONFLICTS_MAX */
} Conflicts;

void key_conflicts_done(Conflicts *c);

const char *key_conflict_reason_to_string(ConflictReason reason);

/* Explains a conflict. Returns -EEXIST, or -ENOTUNIQ for CONFLICT_NAME. */
int key_conflict_detail(const Conflict *c, char **reterr_detail);

/* Finds all conflicts of new keys, in the order of their ids: among each other and with the keys of
 * a table. Of several new keys that collide only the first is looked at for names that begin alike.
 * Takes n log n time for n new keys and keys of the table, and a step for each conflict, while
 * pairs have few keys. Returns 0, also if there are some, or -ENOMEM. */
int key_conflicts_find(KeyOrder *new, KeyTable *t, const KeyCheck *check, Conflicts *ret)
    _must_check_;
