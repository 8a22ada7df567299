/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key-life.h"
#include "nvme-keyd/manager/manager.h"
#include "psk/limits.h"

/*
 * The life of the keys of the store: key-life.h has the states and the events. As the others of the
 * Manager, these functions log nothing; *reterr_detail gets a line for people, to be freed. They
 * return
 *    -ENOENT     there is no such key
 *    -EBUSY      a handed-in key, or one whose state forbids it
 *    -EADDRINUSE a controller needs the key, or could: force overrides that
 *    -EINVAL     the new PSK is the old one, or no PSK of the hash
 *    -EEXIST     another key is in the way
 *    -EROFS, or an error of the store: then nothing has changed
 *    -ENOTCONN   the store has changed, but the ring failed
 *    -ENOMEM
 */

/* A request for a key that succeeds another one. */
typedef struct Rotation {
    /* Members of the successor: configured (NULL: a random one), comment (NULL: that of the key)
     * and versions (0: those of the key). force: accept a cutover. dry_run: only check. */
    KeyRequest key;
    bool has_hash, has_derivation; /* key has another hash or derivation than the old one */
    bool same_psk;                 /* derive again from the PSK of the old key */
    bool at_once;                  /* a host switches in the same commit */
    bool scheduled;                /* only if the key is due, see manager_is_due() */
    uint64_t at_usec;              /* when the successor is activated, 0 for now */
    bool from_now;                 /* at_usec was given as a span from now */
} Rotation;

/* Makes a successor of an active key. On a target it is active at once, and the old key is accepted
 * until RetireSec= has passed. On a host it is pending, unless at_once is set: then it is
 * published, and the old key is withdrawn and kept as retiring. With at_usec it is pending on both.
 * A scheduled one is pending on both as well: a host follows its targets, and a target accepts both
 * keys until the new one is activated, because its hosts do not know the PSK yet.
 * *ret is the successor, or with dry_run the key. *ret_warning: a line about a cutover, or NULL. */
int manager_rotate(Manager *m, const char *id, const Rotation *request, Key **ret,
                   char **ret_warning, char **reterr_detail) _must_check_;

/* schedule.c: true if an active key has reached the age at which its rotation was scheduled. Not
 * while a successor of an earlier rotation is under way, or while a change of the key is planned.
 */
bool manager_is_due(Manager *m, const Key *k);
/* Sets this age, 0 for none. Returns -EINVAL for the key of a host. */
int manager_schedule(Manager *m, const char *id, uint64_t usec, char **reterr_detail) _must_check_;

/* Switches to a pending or retiring key at once. Active keys that cannot stand beside it retire.
 * proved: a target has accepted the key, so it is confirmed. */
int manager_activate(Manager *m, const char *id, bool proved, char **reterr_detail) _must_check_;

/* Finds the retiring key to go back to: id is this key, or the active key that has replaced it. */
int manager_find_reverted(Manager *m, const char *id, Key **ret, char **reterr_detail) _must_check_;

/* Lets a key end: a target accepts it until RetireSec= has passed, a host offers it no longer.
 * force: although the host has no other. */
int manager_retire(Manager *m, const char *id, bool force, char **reterr_detail) _must_check_;

/* Ends a key, and others of its pair with the same PSK, because someone else may know it. Its
 * record stays, so that the PSK does not come back. force: although a controller of this host needs
 * it. */
int manager_revoke(Manager *m, const char *id, bool force, char **reterr_detail) _must_check_;

/* Removes a key from the store and from the ring. force: although a controller needs it. */
int manager_remove(Manager *m, const char *id, bool force, char **reterr_detail) _must_check_;

/* Sets the step of a key in the place of the one that it has; KEY_STEP_NONE drops that. from_now:
 * at_usec was given as a span from now. */
int manager_plan(Manager *m, const char *id, KeyStep step, uint64_t at_usec, bool from_now,
                 char **reterr_detail) _must_check_;

/* Notes that a handshake with a key has succeeded, if that is not known yet: its predecessors may
 * be removed at their time. Returns an error of the store. */
int manager_confirm(Manager *m, Key *k) _must_check_;

/* Sets whether the host tries to switch to a pending key until its targets accept it (follow.h), in
 * the place of a planned switch.
 * Returns an error of the store. */
int manager_set_following(Manager *m, Key *k, bool follow) _must_check_;

/* A step of a key that was taken at its time. The key may be gone. */
typedef struct TakenStep {
    KeyStep step;
    char id[KEY_ID_SIZE];
    char hostnqn[NQN_LENGTH_MAX + 1];
    char subsysnqn[NQN_LENGTH_MAX + 1];
} TakenStep;

/* Returns a step that has come into force since the last call, valid until the next one; or NULL.
 */
const TakenStep *manager_next_step(Manager *m);
