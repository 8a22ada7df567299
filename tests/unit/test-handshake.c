/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <sys/random.h>

#include "keyd-fixture.h"
#include "keyring/session.h"
#include "nvme-keyd/handshake.h"

#define TLSHD "tlshd.service"
#define OURS "nvme-keyd-tlshd.service"

/* Of an invocation. No two tests use the same: a session goes a moment after its process. */
typedef struct Id {
    uint8_t bytes[SESSION_INVOCATION_SIZE];
} Id;

static Id id_new(void)
{
    Id id;

    if (getrandom(&id, sizeof(id), 0) != sizeof(id))
        abort();
    return id;
}

/* A process of a service: a session keyring of its own, as systemd makes it, until it is ended. */
typedef struct Service {
    pid_t pid;
    int pipe;
} Service;

static void service_stop(Service *s)
{
    if (s->pid <= 0)
        return;
    kill(s->pid, SIGKILL);
    (void)waitpid(s->pid, NULL, 0);
    close(s->pipe);
    s->pid = 0;
}

static bool service_setup(const Id *id, size_t size, key_serial_t ring)
{
    key_perm_t perm =
        KEY_POS_VIEW | KEY_POS_READ | KEY_POS_SEARCH | KEY_USR_VIEW | KEY_USR_READ | KEY_USR_SEARCH;
    key_serial_t k;

    /* For good: the session is of the real uid. */
    if (setresuid(geteuid(), geteuid(), geteuid()) < 0 || keyctl_join_session_keyring(NULL) < 0)
        return false;
    k = id ? add_key("user", "invocation_id", id, size, KEY_SPEC_SESSION_KEYRING) : 0;
    /* Another user who wants to be seen. */
    if (geteuid() != 0) {
        perm |= KEY_OTH_ALL;
        if (keyctl_setperm(KEY_SPEC_SESSION_KEYRING, KEY_POS_ALL | KEY_USR_ALL | KEY_OTH_ALL) < 0)
            return false;
    }
    return k >= 0 && (k == 0 || keyctl_setperm(k, perm) == 0) &&
           (ring == 0 || keyctl_link(ring, KEY_SPEC_SESSION_KEYRING) == 0);
}

/* Returns when its session is as it will be. size: how much of the id it has. */
static bool service_start_with(Service *s, const Id *id, size_t size, key_serial_t ring)
{
    int p[2];
    char c;

    if (pipe2(p, O_CLOEXEC) < 0)
        return false;
    s->pid = fork();
    if (s->pid == 0) {
        if (service_setup(id, size, ring) && write(p[1], "", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    close(p[1]);
    s->pipe = p[0];
    return s->pid > 0 && read(p[0], &c, 1) == 1;
}

static bool service_start(Service *s, const Id *id, key_serial_t ring)
{
    return service_start_with(s, id, sizeof(id->bytes), ring);
}

static bool unit_links_to(const Fixture *f, const char *unit, const char *target)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/invocation:%s", f->dir, unit);
    (void)unlink(path);
    return symlink(target, path) == 0;
}

/* As the service manager does it. */
static bool unit_runs(const Fixture *f, const char *unit, const Id *id)
{
    char target[2 * SESSION_INVOCATION_SIZE + 1];

    for (size_t i = 0; i < SESSION_INVOCATION_SIZE; i++)
        snprintf(target + 2 * i, 3, "%02x", id->bytes[i]);
    return unit_links_to(f, unit, target);
}

/* With permissions as the kernel gives them to `.nvme`. */
static key_serial_t keyring(void)
{
    key_perm_t perm = (KEY_POS_ALL | KEY_USR_ALL) & ~(key_perm_t)KEY_USR_SETATTR;
    key_serial_t s = add_key("keyring", "ring", NULL, 0, KEY_SPEC_PROCESS_KEYRING);

    return s > 0 && keyctl_setperm(s, perm) == 0 ? s : -1;
}

static bool looks(const Fixture *f, key_serial_t ring, const char *unit, HandshakeState state,
                  bool starting)
{
    Handshake h;

    if (handshake_look(f->dir, ring, &h) < 0)
        return false;
    if (strcmp(h.unit, unit) == 0 && h.state == state && h.starting == starting)
        return true;
    printf("# %s is %s%s\n", h.unit, handshake_state_to_string(h.state),
           h.starting ? ", starting" : "");
    return false;
}

#define SERVICE                                                                                    \
    _cleanup_(service_stop) _unused_ Service s = {0};                                              \
    Id id = id_new();                                                                              \
    key_serial_t ring;                                                                             \
    FIXTURE;                                                                                       \
                                                                                                   \
    ring = keyring();                                                                              \
    ASSERT_TRUE(ring > 0)

TEST(stopped)
{
    SERVICE;

    ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_STOPPED, false));
    /* Somebody has the keyring, but it is no handshake daemon. */
    ASSERT_TRUE(service_start(&s, &id, ring));
    ASSERT_TRUE(unit_runs(&f, "other.service", &id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_STOPPED, false));
}

TEST(ready)
{
    SERVICE;

    ASSERT_TRUE(service_start(&s, &id, ring));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_READY, false));
}

/* The module was unloaded, which revokes its keyring, and loaded again. */
TEST(stale)
{
    SERVICE;

    ASSERT_TRUE(service_start(&s, &id, ring));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_OK(keyctl_revoke(ring));
    ring = keyring();
    ASSERT_TRUE(ring > 0);
    ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_STALE, false));
}

/* It was started before there was a keyring, or a moment ago. */
TEST(starting)
{
    SERVICE;

    ASSERT_TRUE(service_start(&s, &id, 0));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_STALE, true));
}

/* The session of another invocation does not count, whatever it has. */
TEST(another_invocation)
{
    Id other = id_new();
    SERVICE;

    ASSERT_TRUE(service_start(&s, &other, ring));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_UNKNOWN, false));
}

TEST(no_invocation)
{
    SERVICE;

    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_UNKNOWN, false));
    ASSERT_TRUE(service_start(&s, NULL, ring));
    ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_UNKNOWN, false));
    service_stop(&s);
    ASSERT_TRUE(service_start_with(&s, &id, sizeof(id) - 1, ring));
    ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_UNKNOWN, false));
}

TEST(longer_invocation)
{
    Id ids[2] = {id_new(), id_new()};
    SERVICE;

    ASSERT_TRUE(unit_runs(&f, TLSHD, &ids[0]));
    ASSERT_TRUE(service_start_with(&s, ids, sizeof(*ids) + 1, ring));
    ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_UNKNOWN, false));
    (void)id;
}

static void service_stop_all(Service (*all)[3])
{
    for (size_t i = 0; i < ARRAY_SIZE(*all); i++)
        service_stop(&(*all)[i]);
}

/* A process that the unit has started besides, as for a reload, has no keyring linked. In which
 * order they are found is by chance. */
TEST(several_processes)
{
    SERVICE;

    for (unsigned round = 0; round < 6; round++) {
        _cleanup_(service_stop_all) Service all[3] = {{0}};

        id = id_new();
        ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
        ASSERT_TRUE(service_start(&all[0], &id, 0));
        ASSERT_TRUE(service_start(&all[1], &id, ring));
        ASSERT_TRUE(service_start(&all[2], &id, 0));
        ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_READY, false));
    }
}

/* The one from memory counts as well; of two the one that is worse off. */
TEST(two_units)
{
    _cleanup_(service_stop) Service other = {0};
    Id other_id = id_new();
    SERVICE;

    ASSERT_TRUE(service_start(&s, &id, ring));
    ASSERT_TRUE(unit_runs(&f, OURS, &id));
    ASSERT_TRUE(looks(&f, ring, OURS, HANDSHAKE_READY, false));
    ASSERT_TRUE(service_start(&other, &other_id, ring));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &other_id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_READY, false));
    service_stop(&other);
    other_id = id_new();
    ASSERT_TRUE(service_start(&other, &other_id, 0));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &other_id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_STALE, true));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(unit_runs(&f, OURS, &other_id));
    ASSERT_TRUE(looks(&f, ring, OURS, HANDSHAKE_STALE, true));
}

/* What is no id is not one of nobody. */
TEST(bad_links)
{
    static const char *const targets[] = {
        "x",
        "30313233343536373839616263646500x",
        "3031323334353637383961626364650",
        "../../../../../../../../../../../../../../../../../../../../etc/passwd",
    };
    SERVICE;

    ASSERT_TRUE(service_start(&s, &id, ring));
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        ASSERT_TRUE(unit_links_to(&f, TLSHD, targets[i]));
        ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_UNKNOWN, false));
    }
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_READY, false));
}

/* /proc/keys prints descriptions as they are, and anyone may put a line of its own into one. */
TEST(forged)
{
    char description[128];
    key_serial_t key, forged;
    SERVICE;

    forged = add_key("keyring", "forged", NULL, 0, KEY_SPEC_PROCESS_KEYRING);
    ASSERT_TRUE(forged > 0);
    ASSERT_TRUE(add_key("user", "invocation_id", &id, sizeof(id), forged) > 0);
    ASSERT_OK(keyctl_link(ring, forged));
    snprintf(description, sizeof(description),
             "x\n%08x I--Q---     1 perm 3f030000     0     0 keyring   _ses: 2\ny",
             (unsigned)forged);
    key = add_key("user", description, "x", 1, KEY_SPEC_PROCESS_KEYRING);
    ASSERT_TRUE(key > 0);
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_UNKNOWN, false));
    ASSERT_OK(keyctl_unlink(key, KEY_SPEC_PROCESS_KEYRING));
    ASSERT_OK(keyctl_unlink(forged, KEY_SPEC_PROCESS_KEYRING));
}

/* The session of another user, who says to be the service, is not looked at. */
TEST(another_user)
{
    bool started;
    SERVICE;

    ASSERT_OK(seteuid(12345));
    started = service_start(&s, &id, 0);
    ASSERT_OK(seteuid(0));
    (void)prctl(PR_SET_DUMPABLE, 1);
    ASSERT_TRUE(started);
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, HANDSHAKE_UNKNOWN, false));
}

/* The manager looks for its ring, where that is one that handshakes use, or it is told where. */
TEST(manager)
{
    SyncResult result;
    Handshake h;
    SERVICE;

    ASSERT_EQ(manager_ring_serial(f.m), 0);
    setenv(NAMES_ENV_RUNNING_UNITS, f.dir, 1);
    ASSERT_TRUE(!manager_handshake(f.m, &h));
    ASSERT_OK(fixture_sync(&f, &result));
    ASSERT_EQ(manager_ring_serial(f.m), fixture_ring());
    ASSERT_TRUE(service_start(&s, &id, fixture_ring()));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(manager_handshake(f.m, &h));
    ASSERT_EQ(h.state, HANDSHAKE_READY);
    unsetenv(NAMES_ENV_RUNNING_UNITS);
    ASSERT_TRUE(!manager_handshake(f.m, &h));
}

TEST_MAIN(TEST_ENTRY(stopped), TEST_ENTRY(ready), TEST_ENTRY(stale), TEST_ENTRY(starting),
          TEST_ENTRY(another_invocation), TEST_ENTRY(no_invocation), TEST_ENTRY(longer_invocation),
          TEST_ENTRY(several_processes), TEST_ENTRY(two_units), TEST_ENTRY(bad_links),
          TEST_ENTRY(forged), TEST_ENTRY(another_user), TEST_ENTRY(manager))
