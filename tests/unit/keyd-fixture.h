/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <keyutils.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/names.h"
#include "nvme-keyd/manager/manager.h"
#include "test.h"

/*
 * A manager with a store of its own and the stand-in keyring. The test program goes into a user
 * namespace where root has a user keyring of its own: no key of this machine is touched, and tests
 * may run side by side. It takes root, and systemd-creds with the host key.
 */
typedef struct Fixture {
    char dir[64];
    Config config;
    Manager *m;
} Fixture;

#define HOST "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
#define SUBSYSTEM "nqn.2026-11.org.example:a"

/* The group that marks the daemon's keys as its own. */
#define MARK 12345

/* How far the clock on the wall is ahead of the machine's, for the whole program: a deadline passes
 * when a test says so, and not before that on a machine that is slow. */
static uint64_t clock_ahead_usec;
/* How much longer the machine has been up than it was. */
static uint64_t uptime_ahead_usec;
static bool clock_unsynchronized;

int adjtimex(struct timex *ret)
{
    *ret = (struct timex){.status = clock_unsynchronized ? STA_UNSYNC : STA_PLL};
    return clock_unsynchronized ? TIME_ERROR : TIME_OK;
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    int r = (int)syscall(SYS_clock_gettime, clock, ret);
    uint64_t ahead = clock == CLOCK_REALTIME   ? clock_ahead_usec
                     : clock == CLOCK_BOOTTIME ? uptime_ahead_usec
                                               : 0;
    uint64_t nsec;

    if (r == 0 && ahead > 0) {
        nsec = (uint64_t)ret->tv_nsec + ahead % USEC_PER_SEC * 1000;
        ret->tv_sec += (time_t)(ahead / USEC_PER_SEC + nsec / 1000000000);
        ret->tv_nsec = (long)(nsec % 1000000000);
    }
    return r;
}

static inline int fixture_write_text(const char *path, const char *text)
{
    _cleanup_(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd < 0 ? -errno : io_write_all(fd, text, strlen(text));
}

/* Only who has CAP_SETUID in the outer namespace may map more than one id: a child does it. */
static inline void fixture_map_ids(pid_t pid, const int go[2], const int done[2])
{
    char path[64], c;

    /* A pipe whose other end is open here would never end. */
    close(go[1]);
    close(done[0]);
    if (read(go[0], &c, 1) != 1)
        _exit(1);
    snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
    if (fixture_write_text(path, "0 0 4294967295") < 0)
        _exit(1);
    snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
    if (fixture_write_text(path, "0 0 4294967295") < 0)
        _exit(1);
    _exit(write(done[1], "", 1) != 1);
}

static inline bool fixture_isolate(void)
{
    static bool isolated;
    int go[2], done[2], status = -1;
    pid_t self = getpid(), child;
    char c;

    if (isolated)
        return true;
    if (pipe2(go, O_CLOEXEC) < 0 || pipe2(done, O_CLOEXEC) < 0)
        return false;
    child = fork();
    if (child == 0)
        fixture_map_ids(self, go, done);
    close(done[1]);
    if (child > 0 && unshare(CLONE_NEWUSER) == 0 && write(go[1], "", 1) == 1 &&
        read(done[0], &c, 1) == 1)
        isolated = keyctl_join_session_keyring(NULL) >= 0 &&
                   keyctl_link(KEY_SPEC_USER_KEYRING, KEY_SPEC_SESSION_KEYRING) == 0;
    close(go[0]);
    close(go[1]);
    close(done[0]);
    if (child > 0)
        (void)waitpid(child, &status, 0);
    return isolated;
}

static inline int fixture_remove_one(const char *path, _unused_ const struct stat *st,
                                     _unused_ int type, _unused_ struct FTW *ftw)
{
    return remove(path);
}

/* The stand-in keyring, or -1. */
static inline key_serial_t fixture_ring(void)
{
    return (key_serial_t)keyctl_search(KEY_SPEC_USER_KEYRING, "keyring", NAMES_RING_STAND_IN, 0);
}

static inline void fixture_done(Fixture *f)
{
    key_serial_t ring = fixture_ring();

    manager_free(f->m);
    if (setegid(0) < 0)
        abort();
    if (ring >= 0)
        (void)keyctl_unlink(ring, KEY_SPEC_USER_KEYRING);
    if (f->dir[0])
        (void)nftw(f->dir, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    /* setegid(2) made the process undumpable, which LeakSanitizer cannot bear. */
    (void)prctl(PR_SET_DUMPABLE, 1);
}

/* Returns NULL, or why the test cannot run. */
static inline const char *fixture_new(Fixture *f)
{
    if (geteuid() != 0)
        return "needs root";
    if (access("/usr/bin/systemd-creds", X_OK) < 0)
        return "needs systemd-creds";
    if (!fixture_isolate())
        return "needs a user namespace and keyrings";
    unsetenv("CREDENTIALS_DIRECTORY");
    strcpy(f->dir, "/tmp/test-keyd-XXXXXX");
    if (!mkdtemp(f->dir))
        return "needs /tmp";
    f->config = config_default;
    f->config.stand_in = true;
    return manager_new(&f->config, f->dir, &f->m) == 0 ? NULL : "out of memory";
}

#define FIXTURE                                                                                    \
    _cleanup_(fixture_done) Fixture f = {.dir = ""};                                               \
    const char *cannot = fixture_new(&f);                                                          \
                                                                                                   \
    if (cannot)                                                                                    \
    TEST_SKIP(cannot)

/* As the next instance of the daemon: nothing is left but the store and the ring. */
static inline bool fixture_restart(Fixture *f)
{
    f->m = manager_free(f->m);
    return manager_new(&f->config, f->dir, &f->m) == 0;
}

static inline Secret *fixture_psk(uint8_t seed)
{
    Secret *s = secret_new(32);

    for (size_t i = 0; s && i < s->size; i++)
        s->data[i] = (uint8_t)(seed + i);
    return s;
}

static inline int fixture_try_add(Fixture *f, const char *subsysnqn, KeyRole role,
                                  unsigned versions, uint8_t seed, Key **ret)
{
    _cleanup_(secret_freep) Secret *psk = fixture_psk(seed);
    const KeyRequest q = {.hostnqn = HOST,
                          .subsysnqn = subsysnqn,
                          .role = role,
                          .versions = versions,
                          .hash = PSK_HASH_SHA256,
                          .configured = psk};
    _cleanup_(freep) char *detail = NULL;
    int r = manager_add(f->m, &q, ret, &detail);

    if (r < 0)
        printf("# add: %s\n", detail ? detail : strerror(-r));
    return r;
}

/* A key of two versions on a target, of version 1 on a host. */
static inline Key *fixture_add(Fixture *f, const char *subsysnqn, KeyRole role, uint8_t seed)
{
    Key *k = NULL;

    return fixture_try_add(f, subsysnqn, role, 0, seed, &k) == 0 ? k : NULL;
}

static inline Key *fixture_rotate(Fixture *f, const char *id, uint8_t seed)
{
    _cleanup_(secret_freep) Secret *psk = fixture_psk(seed);
    const KeyRequest q = {.hash = PSK_HASH_SHA256, .configured = psk};
    _cleanup_(freep) char *detail = NULL;
    Key *k = NULL;
    int r = manager_rotate(f->m, id, &q, &k, &detail);

    if (r < 0)
        printf("# rotate: %s\n", detail ? detail : strerror(-r));
    return k;
}

static inline int fixture_remove(Fixture *f, const char *id)
{
    _cleanup_(freep) char *detail = NULL;

    return manager_remove(f->m, id, false, &detail);
}

static inline int fixture_sync(Fixture *f, SyncResult *ret)
{
    *ret = (SyncResult){0};
    return manager_sync(f->m, ret);
}

/* The store has a sound record of a key that the manager knows. */
static inline bool fixture_keeps(const Fixture *f, const Key *k)
{
    const StoreRecord *record = store_find((Store *)(uintptr_t)manager_store(f->m), k->id);

    return record && record->error == 0 && key_table_find(manager_keys(f->m), k->id) == k;
}

static inline size_t fixture_keys(const Fixture *f)
{
    return key_table_size(manager_keys(f->m));
}

/* Links in the ring, of whatever type. */
static inline size_t ring_size(void)
{
    long n = keyctl_read(fixture_ring(), NULL, 0);

    return n < 0 ? 0 : (size_t)n / sizeof(key_serial_t);
}

/* The key of exactly this description that the ring has, or 0. Looks without possessing it. */
static inline key_serial_t ring_find(const char *description)
{
    key_serial_t serials[1024];
    long n = keyctl_read(fixture_ring(), (char *)serials, sizeof(serials));

    for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(*serials) && i < ARRAY_SIZE(serials); i++) {
        char text[KEY_DESCRIPTION_MAX + 64], *p = text;
        long length = keyctl_describe(serials[i], text, sizeof(text) - 1);

        if (length < 0 || (size_t)length >= sizeof(text))
            continue;
        text[length] = '\0';
        for (int field = 0; p && field < 4; field++)
            p = strchr(p, ';') ? strchr(p, ';') + 1 : NULL;
        if (p && strcmp(p, description) == 0)
            return serials[i];
    }
    return 0;
}

/* Seconds that a key of the ring still has, as /proc/keys tells; 0: it has no timeout. */
static inline unsigned seconds_left(int32_t serial)
{
    FILE *keys = fopen("/proc/keys", "re");
    unsigned s, n, left = UINT_MAX;
    char line[512], time[8], unit;

    while (keys && fgets(line, sizeof(line), keys))
        if (sscanf(line, "%x %*s %*s %7s", &s, time) == 2 && (int32_t)s == serial)
            left = strcmp(time, "perm") == 0              ? 0
                   : sscanf(time, "%u%c", &n, &unit) == 2 ? n * (unit == 's' ? 1 : 60)
                                                          : UINT_MAX;
    if (keys)
        fclose(keys);
    return left;
}

/* Adds what somebody else with that group would have added. */
static inline key_serial_t ring_put(gid_t gid, const char *description, const char *payload)
{
    gid_t before = getegid();
    key_serial_t s = -1;

    if (setegid(gid) == 0)
        s = add_key("user", description, payload, strlen(payload), fixture_ring());
    return setegid(before) == 0 ? s : -1;
}

/* The ring has this version of the key, with the bytes that the store holds for it. */
static inline bool ring_has_key(const Key *k, unsigned version)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    key_serial_t serial = ring_find(k->identities[version]);
    const uint8_t *bytes;
    size_t size;

    return serial > 0 && serial == k->serials[version] && key_unseal(k, &payload) == 0 &&
           key_payload_tls_psk(payload, version, &bytes, &size) == 0 &&
           ring_key_equals(serial, bytes, size) == 1;
}

/* Makes the stand-in beforehand, so that it can be made read-only. */
static inline bool ring_make(void)
{
    key_serial_t s = add_key("keyring", NAMES_RING_STAND_IN, NULL, 0, KEY_SPEC_USER_KEYRING);

    return s >= 0 && keyctl_setperm(s, KEY_POS_ALL | KEY_USR_ALL) == 0;
}

static inline bool ring_set_writable(bool writable)
{
    key_perm_t all = KEY_POS_ALL | KEY_USR_ALL;

    return keyctl_setperm(fixture_ring(),
                          writable ? all : all & ~(key_perm_t)(KEY_POS_WRITE | KEY_USR_WRITE)) == 0;
}
