/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/limits.h"
#include "keyd-fixture.h"
#include "sysfs-fixture.h"

/* The verbs of a key's life on a Fixture, by the id of a key, and looks at what became of it. */

#define RETIRE_USEC (3600 * USEC_PER_SEC)
#define DAY_USEC (24 * 3600 * USEC_PER_SEC)

/* The commits of the store so far, and whether they fail. */
extern unsigned n_commits;
extern bool commits_fail;

/* RetireSec= is RETIRE_USEC, and the clocks are right. */
#define LIFE                                                                                       \
    FIXTURE;                                                                                       \
                                                                                                   \
    life_set_clocks(0, 0, true);                                                                   \
    commits_fail = false;                                                                          \
    f.config.retire_usec = RETIRE_USEC;                                                            \
    manager_set_config(f.m, &f.config)

void life_set_clocks(uint64_t ahead, uint64_t uptime, bool synchronized);

/* The key of an id, or NULL; its state, or KEY_GONE. */
Key *life_find(const Fixture *f, const char *id);
KeyState life_state(const Fixture *f, const char *id);
/* Starts the next instance, which knows only what the store has. */
bool life_restart(Fixture *f);
/* True if the ring is reconciled, and the store could be written if it had to be. */
bool life_sync(Fixture *f);
/* The verbs return the errors of the manager. ret: the id of the successor, or of the key that is
 * active again. A request without same_psk gets the PSK of fixture_psk(). */
int life_rotate(Fixture *f, const char *id, Rotation *q, uint8_t seed,
                char ret[static KEY_ID_SIZE]);
int life_stage(Fixture *f, const char *id, uint8_t seed, char ret[static KEY_ID_SIZE]);
int life_activate(const Fixture *f, const char *id);
int life_retire(const Fixture *f, const char *id, bool force);
int life_revoke(const Fixture *f, const char *id, bool force);
int life_revert(const Fixture *f, const char *id, char ret[static KEY_ID_SIZE]);
int life_plan(const Fixture *f, const char *id, KeyStep step, uint64_t at_usec);
bool life_add(Fixture *f, KeyRole role, uint8_t seed, char ret[static KEY_ID_SIZE]);
/* True if the ring has the key in version 1, with its bytes. */
bool life_in_ring(const Fixture *f, const char *id);

/* Ends a sysfs to which NAMES_ENV_CONTROLLERS points. */
void life_sysfs_end(const Sysfs *s);
