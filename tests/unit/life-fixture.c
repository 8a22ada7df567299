/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/syscall.h>

#include "life-fixture.h"

unsigned n_commits;
bool commits_fail;

/* Each commit is one rename of the store. */
int renameat(int olddir, const char *old, int newdir, const char *new)
{
    n_commits++;
    if (commits_fail) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_renameat2, olddir, old, newdir, new, 0);
}

void life_set_clocks(uint64_t ahead, uint64_t uptime, bool synchronized)
{
    clock_ahead_usec = ahead;
    uptime_ahead_usec = uptime;
    clock_unsynchronized = !synchronized;
}

Key *life_find(const Fixture *f, const char *id)
{
    return key_table_find(manager_keys(f->m), id);
}

KeyState life_state(const Fixture *f, const char *id)
{
    const Key *k = life_find(f, id);

    return k ? k->state : KEY_GONE;
}

/* The next instance knows only what the store has. */
bool life_restart(Fixture *f)
{
    ReconcileResult s;

    return fixture_restart(f) && fixture_open(f, f->m) == 0 && fixture_sync(f, &s) >= 0;
}

bool life_sync(Fixture *f)
{
    ReconcileResult s;

    return fixture_sync(f, &s) == 0 && s.failed == 0;
}

/* Rotates as the request says. Returns the error, and the id of the successor. */
int life_rotate(Fixture *f, const char *id, Rotation *q, uint8_t seed, char ret[static KEY_ID_SIZE])
{
    _cleanup_(secret_freep) Secret *psk = q->same_psk ? NULL : fixture_psk(seed);
    _cleanup_(freep) char *detail = NULL, *warning = NULL;
    Key *k = NULL;
    int r;

    q->key.configured = psk;
    if (psk && !q->has_hash) {
        q->key.hash = PSK_HASH_SHA256;
        q->has_hash = true;
    }
    r = manager_rotate(f->m, id, q, &k, &warning, &detail);
    q->key.configured = NULL;
    if (r < 0)
        printf("# rotate: %s\n", detail ? detail : strerror(-r));
    else
        strcpy(ret, k->id);
    return r;
}

int life_stage(Fixture *f, const char *id, uint8_t seed, char ret[static KEY_ID_SIZE])
{
    Rotation q = {.same_psk = false};

    return life_rotate(f, id, &q, seed, ret);
}

int life_activate(const Fixture *f, const char *id)
{
    _cleanup_(freep) char *detail = NULL;

    return manager_activate(f->m, id, false, &detail);
}

int life_retire(const Fixture *f, const char *id, bool force)
{
    _cleanup_(freep) char *detail = NULL;

    return manager_retire(f->m, id, force, &detail);
}

int life_revoke(const Fixture *f, const char *id, bool force)
{
    _cleanup_(freep) char *detail = NULL;

    return manager_revoke(f->m, id, force, &detail);
}

int life_revert(const Fixture *f, const char *id, char ret[static KEY_ID_SIZE])
{
    _cleanup_(freep) char *detail = NULL;
    Key *k;
    int r = manager_find_reverted(f->m, id, &k, &detail);

    if (r < 0)
        return r;
    strcpy(ret, k->id);
    return manager_activate(f->m, ret, false, &detail);
}

int life_plan(const Fixture *f, const char *id, KeyStep step, uint64_t at_usec)
{
    _cleanup_(freep) char *detail = NULL;

    return manager_plan(f->m, id, step, at_usec, false, &detail);
}

bool life_add(Fixture *f, KeyRole role, uint8_t seed, char ret[static KEY_ID_SIZE])
{
    const Key *k = fixture_add(f, SUBSYSTEM, role, seed);

    if (k)
        strcpy(ret, k->id);
    return k;
}

/* True if the ring has the key under its version 1 identity, with its bytes. */
bool life_in_ring(const Fixture *f, const char *id)
{
    return life_find(f, id) && ring_has_key(life_find(f, id), 1);
}

void life_sysfs_end(const Sysfs *s)
{
    (void)unsetenv(NAMES_ENV_CONTROLLERS);
    sysfs_done(s);
}
