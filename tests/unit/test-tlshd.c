/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <sys/random.h>

#include "keyd-fixture.h"
#include "keyring/session.h"
#include "nvme-keyd/tlshd/tlshd.h"

#define TLSHD "tlshd.service"
#define OURS "nvme-keyd-tlshd.service"

/* The id of an invocation. Each test has its own, because a session keyring survives its process
 * for a moment. */
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

/* A process of a service, with a session keyring of its own, as systemd makes it. */
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

/* The links in the session of a service. */
typedef struct Links {
    const Id *id;
    size_t size;       /* bytes of the id */
    key_serial_t ring; /* 0 for none */
    bool held;         /* through a keyring in between */
} Links;

static bool service_link(const Links *l)
{
    key_serial_t held;

    if (l->ring == 0)
        return true;
    if (!l->held)
        return keyctl_link(l->ring, KEY_SPEC_SESSION_KEYRING) == 0;
    held = add_key("keyring", "held", NULL, 0, KEY_SPEC_SESSION_KEYRING);
    return held > 0 && keyctl_setperm(held, KEY_POS_ALL | KEY_USR_VIEW | KEY_USR_READ) == 0 &&
           keyctl_link(l->ring, held) == 0;
}

static bool service_setup(const Links *l)
{
    key_perm_t perm =
        KEY_POS_VIEW | KEY_POS_READ | KEY_POS_SEARCH | KEY_USR_VIEW | KEY_USR_READ | KEY_USR_SEARCH;
    key_serial_t k;

    /* Permanently, because the session belongs to the real uid. */
    if (setresuid(geteuid(), geteuid(), geteuid()) < 0 || keyctl_join_session_keyring(NULL) < 0)
        return false;
    k = l->id ? add_key("user", "invocation_id", l->id, l->size, KEY_SPEC_SESSION_KEYRING) : 0;
    /* Another user makes its session visible to us. */
    if (geteuid() != 0) {
        perm |= KEY_OTH_ALL;
        if (keyctl_setperm(KEY_SPEC_SESSION_KEYRING, KEY_POS_ALL | KEY_USR_ALL | KEY_OTH_ALL) < 0)
            return false;
    }
    return k >= 0 && (k == 0 || keyctl_setperm(k, perm) == 0) && service_link(l);
}

/* Answers once when its session is ready, and again when SIGUSR1 has made it unlink the ring. */
static void service_run(const Links *l, int answers)
{
    sigset_t set;
    int sig;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || !service_setup(l))
        _exit(1);
    while (write(answers, "", 1) == 1 && sigwait(&set, &sig) == 0 &&
           keyctl_unlink(l->ring, KEY_SPEC_SESSION_KEYRING) == 0)
        ;
    _exit(1);
}

static bool service_start_as(Service *s, const Links *l)
{
    int p[2];
    char c;

    if (pipe2(p, O_CLOEXEC) < 0)
        return false;
    s->pid = fork();
    if (s->pid == 0)
        service_run(l, p[1]);
    close(p[1]);
    s->pipe = p[0];
    return s->pid > 0 && read(p[0], &c, 1) == 1;
}

static bool service_start_with(Service *s, const Id *id, size_t size, key_serial_t ring)
{
    return service_start_as(s, &(Links){id, size, ring, false});
}

static bool service_start(Service *s, const Id *id, key_serial_t ring)
{
    return service_start_with(s, id, sizeof(id->bytes), ring);
}

/* Newer versions do this after each handshake. */
static bool service_lets_go(const Service *s)
{
    char c;

    return kill(s->pid, SIGUSR1) == 0 && read(s->pipe, &c, 1) == 1;
}

static bool unit_links_to(const Fixture *f, const char *unit, const char *target)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/invocation:%s", f->dir, unit);
    (void)unlink(path);
    return symlink(target, path) == 0;
}

/* Makes the link that the service manager makes for a running unit. */
static bool unit_runs(const Fixture *f, const char *unit, const Id *id)
{
    char target[2 * SESSION_INVOCATION_SIZE + 1];

    for (size_t i = 0; i < SESSION_INVOCATION_SIZE; i++)
        snprintf(target + 2 * i, 3, "%02x", id->bytes[i]);
    return unit_links_to(f, unit, target);
}

/* With the permissions that the kernel gives `.nvme`. */
static key_serial_t keyring_named(const char *name)
{
    key_perm_t perm = (KEY_POS_ALL | KEY_USR_ALL) & ~(key_perm_t)KEY_USR_SETATTR;
    key_serial_t s = add_key("keyring", name, NULL, 0, KEY_SPEC_PROCESS_KEYRING);

    return s > 0 && keyctl_setperm(s, perm) == 0 ? s : -1;
}

static key_serial_t keyring(void)
{
    return keyring_named("ring");
}

/* A controller in sysfs. key: the text of its tls_key. */
static bool controller(const Fixture *f, const char *name, const char *state, const char *key)
{
    const char *const values[][2] = {
        {"state", state}, {"tls_key", key}, {"hostnqn", HOST}, {"subsysnqn", SUBSYSTEM}};
    char path[256];

    snprintf(path, sizeof(path), "%s/controllers", f->dir);
    (void)mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/controllers/%s", f->dir, name);
    (void)mkdir(path, 0755);
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        _cleanup_(closep) int fd = -EBADF;

        snprintf(path, sizeof(path), "%s/controllers/%s/%s", f->dir, name, values[i][0]);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0 || io_write_all(fd, values[i][1], strlen(values[i][1])) < 0)
            return false;
    }
    return true;
}

static bool looks_after(const Fixture *f, key_serial_t ring, TlshdMemory *memory, const char *unit,
                        TlshdState state, TlshdRemedy remedy)
{
    char controllers[128];
    TlshdPlaces places = {f->dir, controllers};
    TlshdStatus h;

    snprintf(controllers, sizeof(controllers), "%s/controllers", f->dir);
    if (tlshd_look(&places, ring, memory, &h) < 0)
        return false;
    if (strcmp(h.unit, unit) == 0 && h.state == state && h.remedy == remedy)
        return true;
    printf("# %s is %s, remedy: %s\n", h.unit, tlshd_state_to_string(h.state),
           tlshd_remedy_to_string(h.remedy));
    return false;
}

/* Looks without a history. */
static bool looks(const Fixture *f, key_serial_t ring, const char *unit, TlshdState state,
                  TlshdRemedy remedy)
{
    return looks_after(f, ring, &(TlshdMemory){0}, unit, state, remedy);
}

#define SERVICE                                                                                    \
    _cleanup_(service_stop) _unused_ Service s = {0};                                              \
    Id id = id_new();                                                                              \
    _unused_ TlshdMemory memory = {0};                                                             \
    key_serial_t ring;                                                                             \
    FIXTURE;                                                                                       \
                                                                                                   \
    ring = keyring();                                                                              \
    ASSERT_TRUE(ring > 0)

TEST(stopped)
{
    SERVICE;

    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_STOPPED, TLSHD_NO_REMEDY));
    /* Another process than tlshd has the keyring. */
    ASSERT_TRUE(service_start(&s, &id, ring));
    ASSERT_TRUE(unit_runs(&f, "other.service", &id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_STOPPED, TLSHD_NO_REMEDY));
}

TEST(ready)
{
    SERVICE;

    ASSERT_TRUE(service_start(&s, &id, ring));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_READY, TLSHD_NO_REMEDY));
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
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_STALE, TLSHD_RESTART));
}

/* KeyringMode=shared, with the ring in the user keyring. The service may unlink whatever it
 * likes. */
TEST(held)
{
    SERVICE;

    ASSERT_TRUE(service_start_as(&s, &(Links){&id, sizeof(id.bytes), ring, true}));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_READY, TLSHD_NO_REMEDY));
    /* The keyring in between does not lead to the ring. */
    ASSERT_TRUE(looks(&f, keyring(), TLSHD, TLSHD_UNKNOWN, TLSHD_RESTART));
}

/* After its first handshake a newer version has no link any more. */
TEST(let_go)
{
    key_serial_t newer;
    SERVICE;

    ASSERT_TRUE(service_start(&s, &id, ring));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(looks_after(&f, ring, &memory, TLSHD, TLSHD_READY, TLSHD_NO_REMEDY));
    ASSERT_TRUE(service_lets_go(&s));
    ASSERT_TRUE(looks_after(&f, ring, &memory, TLSHD, TLSHD_READY, TLSHD_NO_REMEDY));
    ASSERT_TRUE(looks_after(&f, ring, &memory, TLSHD, TLSHD_READY, TLSHD_NO_REMEDY));
    /* Without a history the link is unknown. */
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_UNKNOWN, TLSHD_RESTART));
    /* The history is about another ring or another invocation, so it does not count. */
    newer = keyring_named("newer");
    ASSERT_TRUE(looks_after(&f, newer, &memory, TLSHD, TLSHD_UNKNOWN, TLSHD_RESTART));
    service_stop(&s);
    id = id_new();
    ASSERT_TRUE(service_start(&s, &id, 0));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(looks_after(&f, ring, &memory, TLSHD, TLSHD_UNKNOWN, TLSHD_RESTART));
}

/* A handshake succeeded with this ring before the first look. */
TEST(live_controller)
{
    key_serial_t key;
    char text[16];
    SERVICE;

    ASSERT_TRUE(service_start(&s, &id, 0));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    key = add_key("user", "psk", "x", 1, ring);
    ASSERT_TRUE(key > 0);
    snprintf(text, sizeof(text), "%08x\n", (unsigned)key);
    ASSERT_TRUE(controller(&f, "nvme0", "live\n", ""));
    ASSERT_TRUE(controller(&f, "nvme1", "connecting\n", text));
    ASSERT_TRUE(controller(&f, "nvme2", "live\n", "00000001\n"));
    ASSERT_TRUE(controller(&f, "nvme3", "live\n", "none\n"));
    ASSERT_TRUE(controller(&f, "nvme4", "live\n", "ffffffffffff\n"));
    ASSERT_TRUE(looks_after(&f, ring, &memory, TLSHD, TLSHD_UNKNOWN, TLSHD_RESTART));
    ASSERT_TRUE(controller(&f, "nvme1", "live\n", text));
    ASSERT_TRUE(looks_after(&f, ring, &memory, TLSHD, TLSHD_READY, TLSHD_NO_REMEDY));
    /* It is remembered from then on. */
    ASSERT_TRUE(controller(&f, "nvme1", "deleting\n", text));
    ASSERT_TRUE(looks_after(&f, ring, &memory, TLSHD, TLSHD_READY, TLSHD_NO_REMEDY));
    ASSERT_TRUE(looks(&f, keyring(), TLSHD, TLSHD_UNKNOWN, TLSHD_RESTART));
}

/* A live controller proves nothing for a tlshd that links a revoked ring. */
TEST(stale_with_controller)
{
    key_serial_t key;
    char text[16];
    SERVICE;

    ASSERT_TRUE(service_start(&s, &id, ring));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_OK(keyctl_revoke(ring));
    ring = keyring();
    key = add_key("user", "psk", "x", 1, ring);
    ASSERT_TRUE(key > 0);
    snprintf(text, sizeof(text), "%08x\n", (unsigned)key);
    ASSERT_TRUE(controller(&f, "nvme0", "live\n", text));
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_STALE, TLSHD_RESTART));
}

/* tlshd also links other kernel keyrings at its start, and their modules may be unloaded as
 * well. */
TEST(another_keyring_revoked)
{
    SERVICE;

    ASSERT_TRUE(service_start(&s, &id, ring));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_OK(keyctl_revoke(ring));
    ring = keyring_named("another");
    ASSERT_TRUE(ring > 0);
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_UNKNOWN, TLSHD_RESTART));
}

/* Before 0.12 tlshd links nothing at its start unless configured, so a restart does not help. */
TEST(restarted_in_vain)
{
    SERVICE;

    ASSERT_TRUE(service_start(&s, &id, 0));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(looks_after(&f, ring, &memory, TLSHD, TLSHD_UNKNOWN, TLSHD_RESTART));
    ASSERT_TRUE(looks_after(&f, ring, &memory, TLSHD, TLSHD_UNKNOWN, TLSHD_RESTART));
    for (unsigned i = 0; i < 2; i++) {
        service_stop(&s);
        id = id_new();
        ASSERT_TRUE(service_start(&s, &id, 0));
        ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
        ASSERT_TRUE(looks_after(&f, ring, &memory, TLSHD, TLSHD_UNKNOWN, TLSHD_CONFIGURE));
    }
    /* A restart may help with another ring. */
    ring = keyring();
    ASSERT_TRUE(looks_after(&f, ring, &memory, TLSHD, TLSHD_UNKNOWN, TLSHD_RESTART));
}

/* tlshd was started before there was a keyring, or a moment ago. */
TEST(starting)
{
    SERVICE;

    ASSERT_TRUE(service_start(&s, &id, 0));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_UNKNOWN, TLSHD_RESTART));
}

/* The session of another invocation does not count. */
TEST(another_invocation)
{
    Id other = id_new();
    SERVICE;

    ASSERT_TRUE(service_start(&s, &other, ring));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_UNKNOWN, TLSHD_NO_REMEDY));
}

TEST(no_invocation)
{
    SERVICE;

    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_UNKNOWN, TLSHD_NO_REMEDY));
    ASSERT_TRUE(service_start(&s, NULL, ring));
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_UNKNOWN, TLSHD_NO_REMEDY));
    service_stop(&s);
    ASSERT_TRUE(service_start_with(&s, &id, sizeof(id) - 1, ring));
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_UNKNOWN, TLSHD_NO_REMEDY));
}

TEST(longer_invocation)
{
    Id ids[2] = {id_new(), id_new()};
    SERVICE;

    ASSERT_TRUE(unit_runs(&f, TLSHD, &ids[0]));
    ASSERT_TRUE(service_start_with(&s, ids, sizeof(*ids) + 1, ring));
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_UNKNOWN, TLSHD_NO_REMEDY));
    (void)id;
}

static void service_stop_all(Service (*all)[3])
{
    for (size_t i = 0; i < ARRAY_SIZE(*all); i++)
        service_stop(&(*all)[i]);
}

/* Another process of the unit, for example for a reload, has no link, and may be found first. */
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
        ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_READY, TLSHD_NO_REMEDY));
    }
}

/* tlshd from memory counts as well, and the unit in the worse state is reported. */
TEST(two_units)
{
    _cleanup_(service_stop) Service other = {0};
    Id other_id = id_new();
    SERVICE;

    ASSERT_TRUE(service_start(&s, &id, ring));
    ASSERT_TRUE(unit_runs(&f, OURS, &id));
    ASSERT_TRUE(looks(&f, ring, OURS, TLSHD_READY, TLSHD_NO_REMEDY));
    ASSERT_TRUE(service_start(&other, &other_id, ring));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &other_id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_READY, TLSHD_NO_REMEDY));
    service_stop(&other);
    other_id = id_new();
    ASSERT_TRUE(service_start(&other, &other_id, 0));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &other_id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_UNKNOWN, TLSHD_RESTART));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(unit_runs(&f, OURS, &other_id));
    ASSERT_TRUE(looks(&f, ring, OURS, TLSHD_UNKNOWN, TLSHD_RESTART));
}

/* A malformed id is not that of any session. */
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
        ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_UNKNOWN, TLSHD_NO_REMEDY));
    }
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_READY, TLSHD_NO_REMEDY));
}

/* /proc/keys prints descriptions unescaped, so any user can put a forged line into one. */
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
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_UNKNOWN, TLSHD_NO_REMEDY));
    ASSERT_OK(keyctl_unlink(key, KEY_SPEC_PROCESS_KEYRING));
    ASSERT_OK(keyctl_unlink(forged, KEY_SPEC_PROCESS_KEYRING));
}

/* The session of another user is not looked at, even if it claims to be the service's. */
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
    ASSERT_TRUE(looks(&f, ring, TLSHD, TLSHD_UNKNOWN, TLSHD_NO_REMEDY));
}

/* The manager looks for its own ring, if handshakes use that one or a test says so. */
TEST(manager)
{
    ReconcileResult result;
    TlshdStatus h;
    SERVICE;

    ASSERT_EQ(publisher_ring_serial(manager_publisher(f.m)), 0);
    setenv(NAMES_ENV_RUNNING_UNITS, f.dir, 1);
    ASSERT_TRUE(!manager_look_tlshd(f.m, &h));
    ASSERT_OK(fixture_sync(&f, &result));
    ASSERT_EQ(publisher_ring_serial(manager_publisher(f.m)), fixture_ring());
    /* A session that leads to the user keyring gets the ring again with the next change. */
    ASSERT_OK(keyctl_clear(KEY_SPEC_USER_KEYRING));
    ASSERT_OK(fixture_sync(&f, &result));
    ASSERT_EQ(publisher_ring_serial(manager_publisher(f.m)), fixture_ring());
    ASSERT_OK(keyctl_clear(KEY_SPEC_USER_KEYRING));
    ASSERT_OK(publisher_keep(manager_publisher(f.m)));
    ASSERT_EQ(publisher_ring_serial(manager_publisher(f.m)), fixture_ring());
    ASSERT_TRUE(service_start(&s, &id, fixture_ring()));
    ASSERT_TRUE(unit_runs(&f, TLSHD, &id));
    ASSERT_TRUE(manager_look_tlshd(f.m, &h));
    ASSERT_EQ(h.state, TLSHD_READY);
    unsetenv(NAMES_ENV_RUNNING_UNITS);
    ASSERT_TRUE(!manager_look_tlshd(f.m, &h));
}
