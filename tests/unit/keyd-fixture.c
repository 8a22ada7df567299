/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/names.h"
#include "keyd-fixture.h"
#include "tree.h"

uint64_t clock_ahead_usec, uptime_ahead_usec;
bool clock_unsynchronized;

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

static int write_text(const char *path, const char *text)
{
    _cleanup_(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd < 0 ? -errno : io_write_all(fd, text, strlen(text));
}

/* Only a process with CAP_SETUID in the outer namespace may map several ids, so a child does it. */
static _Noreturn void map_ids(pid_t pid, const int go[2], const int done[2])
{
    char path[64], c;

    /* Otherwise the pipe would never end. */
    close(go[1]);
    close(done[0]);
    if (read(go[0], &c, 1) != 1)
        _exit(1);
    snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
    if (write_text(path, "0 0 4294967295") < 0)
        _exit(1);
    snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
    if (write_text(path, "0 0 4294967295") < 0)
        _exit(1);
    _exit(write(done[1], "", 1) != 1);
}

static bool isolate(void)
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
        map_ids(self, go, done);
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

key_serial_t fixture_ring(void)
{
    return (key_serial_t)keyctl_search(KEY_SPEC_USER_KEYRING, "keyring", NAMES_RING_STAND_IN, 0);
}

void fixture_done(Fixture *f)
{
    key_serial_t ring = fixture_ring();

    manager_free(f->m);
    sd_event_unref(f->event);
    if (setegid(0) < 0)
        abort();
    if (ring >= 0)
        (void)keyctl_unlink(ring, KEY_SPEC_USER_KEYRING);
    tree_remove(f->dir);
    /* setegid(2) made the process undumpable, and LeakSanitizer does not work then. */
    (void)prctl(PR_SET_DUMPABLE, 1);
}

bool fixture_new_loop(sd_event **ret)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    return sigprocmask(SIG_BLOCK, &set, NULL) == 0 && sd_event_new(ret) >= 0;
}

const char *fixture_new(Fixture *f)
{
    if (geteuid() != 0)
        return "needs root";
    if (access("/usr/bin/systemd-creds", X_OK) < 0)
        return "needs systemd-creds";
    if (!isolate())
        return "needs a user namespace and keyrings";
    unsetenv("CREDENTIALS_DIRECTORY");
    strcpy(f->dir, "/tmp/test-keyd-XXXXXX");
    if (!mkdtemp(f->dir))
        return "needs /tmp";
    f->config = config_default;
    f->config.stand_in = true;
    if (!fixture_new_loop(&f->event))
        return "needs an event loop";
    return fixture_restart(f) ? NULL : "out of memory";
}

int fixture_open(const Fixture *f, Manager *m)
{
    while (!vault_await(manager_vault(m)))
        if (sd_event_run(f->event, UINT64_MAX) < 0)
            return -ENOTRECOVERABLE;
    return vault_error(manager_vault(m));
}

typedef struct Added {
    int error;
    Key *key;
    char *detail;
} Added;

static void take_added(int error, Key *k, const char *detail, void *userdata)
{
    Added *a = userdata;

    *a = (Added){error, k, detail ? strdup(detail) : NULL};
}

int fixture_add_now(Manager *m, const KeyRequest *q, Key **ret, char **reterr_detail)
{
    Added a = {.error = -EINPROGRESS};

    manager_add(m, q, take_added, &a);
    manager_commit(m);
    if (a.detail) {
        free(*reterr_detail);
        *reterr_detail = a.detail;
    }
    if (a.key)
        *ret = a.key;
    return a.error;
}

int fixture_try(Fixture *f, const KeyRequest *q, Key **ret, char **reterr_detail)
{
    while (!manager_await_add(f->m, q))
        if (sd_event_run(f->event, UINT64_MAX) < 0)
            return -ENOTRECOVERABLE;
    return q->dry_run ? manager_check_add(f->m, q, ret, reterr_detail)
                      : fixture_add_now(f->m, q, ret, reterr_detail);
}

bool fixture_break(const Fixture *f, const char *id)
{
    _cleanup_(closep) int fd = -EBADF;
    _cleanup_(freep) char *text = NULL;
    char path[128], start[32];
    const char *line;
    size_t size;

    snprintf(path, sizeof(path), "%s/store", f->dir);
    snprintf(start, sizeof(start), "\n{\"id\":\"%s", id);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || tree_read(path, &text, &size) < 0)
        return false;
    line = strstr(text, start);
    return line && pwrite(fd, "!", 1, line + 40 - text) == 1;
}

int fixture_new_manager(Fixture *f, const char *dir, Manager **ret)
{
    /* A child process cannot use the loop of its parent. */
    if (sd_event_get_state(f->event) == -ECHILD) {
        f->event = NULL;
        if (!fixture_new_loop(&f->event))
            return -ENOMEM;
    }
    return manager_new(f->event, &f->config, dir, NULL, ret);
}

bool fixture_restart(Fixture *f)
{
    f->m = manager_free(f->m);
    return fixture_new_manager(f, f->dir, &f->m) == 0;
}

void fixture_close(const Fixture *f)
{
    Config other = f->config;

    strcpy(other.store_id, "00112233445566778899aabbccddeeff");
    manager_set_config(f->m, &other);
}

Secret *fixture_psk(uint8_t seed)
{
    Secret *s = secret_new(32);

    for (size_t i = 0; s && i < s->size; i++)
        s->data[i] = (uint8_t)(seed + i);
    return s;
}

int fixture_try_add(Fixture *f, const char *subsysnqn, KeyRole role, unsigned versions,
                    uint8_t seed, Key **ret)
{
    _cleanup_(secret_freep) Secret *psk = fixture_psk(seed);
    const KeyRequest q = {.hostnqn = HOST,
                          .subsysnqn = subsysnqn,
                          .role = role,
                          .versions = versions,
                          .hash = PSK_HASH_SHA256,
                          .configured = psk};
    _cleanup_(freep) char *detail = NULL;
    int r = fixture_try(f, &q, ret, &detail);

    if (r < 0)
        printf("# add: %.*s\n", (int)strcspn(detail ? detail : "", "\n"), detail ? detail : "");
    return r;
}

Key *fixture_add(Fixture *f, const char *subsysnqn, KeyRole role, uint8_t seed)
{
    Key *k = NULL;

    return fixture_try_add(f, subsysnqn, role, 0, seed, &k) == 0 ? k : NULL;
}

Key *fixture_rotate(Fixture *f, const char *id, uint8_t seed)
{
    _cleanup_(secret_freep) Secret *psk = fixture_psk(seed);
    const Rotation q = {.key = {.hash = PSK_HASH_SHA256, .configured = psk, .force = true},
                        .has_hash = true,
                        .at_once = true};
    _cleanup_(freep) char *detail = NULL, *warning = NULL;
    Key *k = NULL;
    int r = fixture_open(f, f->m);

    if (r == 0)
        r = manager_rotate(f->m, id, &q, &k, &warning, &detail);

    if (r < 0)
        printf("# rotate: %s\n", detail ? detail : strerror(-r));
    return k;
}

int fixture_remove(Fixture *f, const char *id)
{
    _cleanup_(freep) char *detail = NULL;

    (void)fixture_open(f, f->m);
    return manager_remove(f->m, id, false, &detail);
}

int fixture_sync(Fixture *f, ReconcileResult *ret)
{
    return fixture_sync_manager(f, f->m, ret);
}

int fixture_sync_manager(const Fixture *f, Manager *m, ReconcileResult *ret)
{
    int r;

    *ret = (ReconcileResult){0};
    /* Earlier changes do not belong to the result. */
    publisher_take_changes(manager_publisher(m), ret);
    *ret = (ReconcileResult){0};
    while (!manager_await_sync(m))
        if (sd_event_run(f->event, UINT64_MAX) < 0)
            return -ENOTRECOVERABLE;
    r = manager_sync(m, ret);
    publisher_take_changes(manager_publisher(m), ret);
    return r;
}

bool fixture_keeps(const Fixture *f, const Key *k)
{
    const StoreRecord *record = store_find((Store *)(uintptr_t)manager_store(f->m), k->id);

    return record && record->error == 0 && key_table_find(manager_keys(f->m), k->id) == k;
}

size_t fixture_keys(const Fixture *f)
{
    return key_table_size(manager_keys(f->m));
}

size_t ring_size(void)
{
    long n = keyctl_read(fixture_ring(), NULL, 0);

    return n < 0 ? 0 : (size_t)n / sizeof(key_serial_t);
}

key_serial_t ring_find(const char *description)
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

unsigned seconds_left(int32_t serial)
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

key_serial_t ring_put(gid_t gid, const char *description, const char *payload)
{
    gid_t before = getegid();
    key_serial_t s = -1;

    if (setegid(gid) == 0)
        s = add_key("user", description, payload, strlen(payload), fixture_ring());
    return setegid(before) == 0 ? s : -1;
}

bool ring_has_key(const Key *k, unsigned version)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    key_serial_t serial = ring_find(k->identities[version]);
    const uint8_t *bytes;
    size_t size;

    return serial > 0 && serial == k->serials[version] && key_unseal(k, &payload) == 0 &&
           key_payload_tls_psk(payload, version, &bytes, &size) == 0 &&
           ring_key_equals(serial, bytes, size) == 1;
}

bool ring_make(void)
{
    key_serial_t s = add_key("keyring", NAMES_RING_STAND_IN, NULL, 0, KEY_SPEC_USER_KEYRING);

    return s >= 0 && keyctl_setperm(s, KEY_POS_ALL | KEY_USR_ALL) == 0;
}

bool ring_set_writable(bool writable)
{
    key_perm_t all = KEY_POS_ALL | KEY_USR_ALL;

    return keyctl_setperm(fixture_ring(),
                          writable ? all : all & ~(key_perm_t)(KEY_POS_WRITE | KEY_USR_WRITE)) == 0;
}
