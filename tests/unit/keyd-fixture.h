/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <keyutils.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/names.h"
#include "nvme-keyd/manager/rotation.h"
#include "test.h"

/*
 * A manager with a store of its own and the stand-in keyring, on an event loop that runs until the
 * vault is settled. The test program enters a user namespace in which root has another user
 * keyring, so it touches no key of this machine, and tests may run side by side. Needs root, and
 * systemd-creds with the host key.
 */
typedef struct Fixture {
    char dir[64];
    Config config;
    bool guard; /* for test-daemon.c: the daemon guards the ring, and stays */
    sd_event *event;
    Manager *m;
} Fixture;

#define HOST "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
#define SUBSYSTEM "nqn.2026-11.org.example:a"

/* The group that marks the daemon's keys as its own. */
#define MARK 12345

/* Time by which the wall clock is ahead of the machine's, for the whole program. A deadline passes
 * when a test sets this, and not earlier on a slow machine. */
extern uint64_t clock_ahead_usec;
/* Time that is added to the uptime. */
extern uint64_t uptime_ahead_usec;
extern bool clock_unsynchronized;

/* SIGCHLD is blocked, so that the loop reaps the children, as in the daemon. */
bool fixture_new_loop(sd_event **ret);

/* Returns NULL, or why the test cannot run. */
const char *fixture_new(Fixture *f);
void fixture_done(Fixture *f);

#define FIXTURE                                                                                    \
    _cleanup_(fixture_done) Fixture f = {.dir = ""};                                               \
    const char *cannot = fixture_new(&f);                                                          \
                                                                                                   \
    if (cannot)                                                                                    \
    TEST_SKIP(cannot)

/* Makes another manager, on the same loop, or in a child process on a new one. */
int fixture_new_manager(Fixture *f, const char *dir, Manager **ret);
/* Starts the next instance of the daemon, for which only store and ring are left. */
bool fixture_restart(Fixture *f);

/* Changes a byte of a record in the file of the store. */
bool fixture_break(const Fixture *f, const char *id);

/* Opens the store of a manager on this loop. Returns vault_error(). */
int fixture_open(const Fixture *f, Manager *m);
/* Has the manager close its store, as a reload does whose Id= is that of another one. */
void fixture_close(const Fixture *f);

/* Adds a key alone. Returns the error of ManagerAdded. */
int fixture_add_now(Manager *m, const KeyRequest *q, Key **ret, char **reterr_detail);

/* The next five have the store opened or made first, as the daemon does. They return the errors of
 * the manager. */
int fixture_try(Fixture *f, const KeyRequest *q, Key **ret, char **reterr_detail);
int fixture_try_add(Fixture *f, const char *subsysnqn, KeyRole role, unsigned versions,
                    uint8_t seed, Key **ret);
/* A host switches at once. */
Key *fixture_rotate(Fixture *f, const char *id, uint8_t seed);
int fixture_remove(Fixture *f, const char *id);
int fixture_sync_manager(const Fixture *f, Manager *m, ReconcileResult *ret);

int fixture_sync(Fixture *f, ReconcileResult *ret);
/* Adds a key, of two versions on a target, of version 1 on a host. */
Key *fixture_add(Fixture *f, const char *subsysnqn, KeyRole role, uint8_t seed);
Secret *fixture_psk(uint8_t seed);

/* True if the store has a sound record of the key. */
bool fixture_keeps(const Fixture *f, const Key *k);
size_t fixture_keys(const Fixture *f);

/* The stand-in keyring, or -1. */
key_serial_t fixture_ring(void);
/* Makes the stand-in beforehand, so that it can be made read-only. */
bool ring_make(void);
bool ring_set_writable(bool writable);
/* Number of links in the ring, of any type. */
size_t ring_size(void);
/* The key of exactly this description in the ring, or 0. Looks without possessing it. */
key_serial_t ring_find(const char *description);
/* Seconds until a key expires, from /proc/keys; 0 without a timeout. */
unsigned seconds_left(int32_t serial);
/* Adds a key as another process with that group would. */
key_serial_t ring_put(gid_t gid, const char *description, const char *payload);
/* True if the ring has this version of the key, with the bytes in the store. */
bool ring_has_key(const Key *k, unsigned version);
