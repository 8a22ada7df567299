/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/exit-code.h"
#include "basic/limits.h"
#include "basic/log.h"
#include "keyd-fixture.h"
#include "nvme-keyd/daemon.h"

/* The idle exit of the service, the conditions that delay it, and the result of --preload. The idle
 * time is short here, because a configuration file allows no less than 30 s. */
#define IDLE_USEC (USEC_PER_SEC / 4)
/* several times IDLE_USEC */
#define LONG_USEC (2 * USEC_PER_SEC)
/* limit for an expected event, also on a slow machine */
#define LIMIT_USEC (60 * USEC_PER_SEC)

typedef struct Service {
    sd_event *event;
    Daemon *daemon;
} Service;

static void service_done(Service *s)
{
    daemon_free(s->daemon);
    sd_event_unref(s->event);
}

static int service_new(Fixture *f, Service *s)
{
    int r;

    /* The manager of the fixture has the lock of the store, which the daemon needs. */
    f->m = manager_free(f->m);
    f->config.idle_exit_usec = IDLE_USEC;
    f->config.guard = f->guard;
    (void)setenv(NAMES_ENV_LOG_LEVEL, "emerg", 1);
    log_setup(NULL);
    r = sd_event_new(&s->event);
    if (r >= 0)
        r = daemon_new(s->event, &f->config, "/nonexistent", f->dir, &s->daemon);
    return r < 0 ? r : 0;
}

static int service_start(Fixture *f, Service *s)
{
    int r = service_new(f, s);

    if (r == 0)
        daemon_start(s->daemon);
    return r;
}

/* True if the service ends within that time. */
static bool ends(const Service *s, uint64_t usec)
{
    uint64_t end = now_monotonic() + usec;

    while (now_monotonic() < end && sd_event_get_state(s->event) != SD_EVENT_FINISHED)
        if (sd_event_run(s->event, USEC_PER_SEC / 10) < 0)
            break;
    return sd_event_get_state(s->event) == SD_EVENT_FINISHED;
}

static bool store_path(const Fixture *f, char *ret, size_t size, const char *suffix)
{
    return (size_t)snprintf(ret, size, "%s/store%s", f->dir, suffix) < size;
}

static bool rename_store(const Fixture *f, const char *from, const char *to)
{
    char a[128], b[128];

    return store_path(f, a, sizeof(a), from) && store_path(f, b, sizeof(b), to) &&
           rename(a, b) == 0;
}

TEST(idle)
{
    _cleanup_(service_done) Service s = {NULL, NULL};
    FIXTURE;

    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    ASSERT_OK(service_start(&f, &s));
    ASSERT_TRUE(ends(&s, LIMIT_USEC));
}

/* As long as there is a key to guard, the service stays, and puts back what is taken out. */
TEST(guards)
{
    _cleanup_(service_done) Service s = {NULL, NULL};
    uint64_t end = now_monotonic() + LIMIT_USEC;
    Key *k;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    f.guard = true;
    ASSERT_OK(service_start(&f, &s));
    ASSERT_TRUE(!ends(&s, LONG_USEC));
    ASSERT_OK(keyctl_clear(fixture_ring()));
    while (ring_size() == 0 && now_monotonic() < end)
        ASSERT_TRUE(sd_event_run(s.event, USEC_PER_SEC / 10) >= 0);
    ASSERT_EQ(ring_size(), 1);
}

/* Without a key there is nothing to guard. */
TEST(nothing_to_guard)
{
    _cleanup_(service_done) Service s = {NULL, NULL};
    FIXTURE;

    f.guard = true;
    ASSERT_TRUE(ring_make());
    ASSERT_OK(service_start(&f, &s));
    ASSERT_TRUE(ends(&s, LIMIT_USEC));
}

/* A TPM may appear later, so the service keeps trying by itself to open the store. */
TEST(store_unavailable)
{
    _cleanup_(service_done) Service s = {NULL, NULL};
    char path[128];
    Key *k;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k && keyctl_clear(fixture_ring()) == 0);
    ASSERT_TRUE(rename_store(&f, "", ".away") && store_path(&f, path, sizeof(path), ""));
    ASSERT_OK(close(creat(path, 0600)));
    ASSERT_OK(service_start(&f, &s));
    ASSERT_TRUE(!ends(&s, LONG_USEC));
    ASSERT_EQ(ring_size(), 0);

    ASSERT_TRUE(rename_store(&f, ".away", ""));
    ASSERT_TRUE(ends(&s, LIMIT_USEC));
    ASSERT_EQ(ring_size(), 1);
}

/* The kernel refuses keys: a quota, or a key type that is still missing. */
TEST(ring_refuses)
{
    _cleanup_(service_done) Service s = {NULL, NULL};
    FIXTURE;

    ASSERT_TRUE(ring_make() && fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_TRUE(ring_set_writable(false));
    ASSERT_OK(service_start(&f, &s));
    ASSERT_TRUE(!ends(&s, LONG_USEC));
    ASSERT_TRUE(ring_set_writable(true));
    ASSERT_TRUE(ends(&s, LIMIT_USEC));
    ASSERT_EQ(ring_size(), 1);
}

/* A key that the ring refused keeps the service running. */
TEST(unpublished)
{
    ReconcileResult synced;
    FIXTURE;

    ASSERT_TRUE(ring_make() && fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    ASSERT_TRUE(!publisher_has_unpublished(manager_publisher(f.m)));
    ASSERT_TRUE(ring_set_writable(false));
    ASSERT_TRUE(fixture_add(&f, "nqn.2026-11.org.example:b", KEY_ROLE_HOST, 2));
    ASSERT_TRUE(publisher_has_unpublished(manager_publisher(f.m)));
    ASSERT_TRUE(fixture_sync(&f, &synced) < 0 && publisher_has_unpublished(manager_publisher(f.m)));
    ASSERT_TRUE(ring_set_writable(true));
    ASSERT_OK(fixture_sync(&f, &synced));
    ASSERT_TRUE(!publisher_has_unpublished(manager_publisher(f.m)));
}

/* So does a key that was removed from the store and could not be withdrawn. */
TEST(not_withdrawn)
{
    ReconcileResult synced;
    Key *k;
    FIXTURE;

    ASSERT_TRUE(ring_make());
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k && ring_set_writable(false));
    ASSERT_EQ(fixture_remove(&f, k->id), -ENOTCONN);
    ASSERT_TRUE(publisher_has_unpublished(manager_publisher(f.m)));
    ASSERT_TRUE(ring_set_writable(true));
    ASSERT_OK(fixture_sync(&f, &synced));
    ASSERT_TRUE(!publisher_has_unpublished(manager_publisher(f.m)));
}

/* Runs --preload to its end. Returns its ExitCode, or an error. */
static int preload(Fixture *f)
{
    _cleanup_(service_done) Service s = {NULL, NULL};
    int r = service_new(f, &s);

    if (r < 0)
        return r;
    daemon_preload(s.daemon, LIMIT_USEC);
    return sd_event_loop(s.event);
}

TEST(preload_changes_no_store)
{
    Key *k;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k && fixture_rotate(&f, k->id, 2));
    clock_ahead_usec += f.config.retire_usec + USEC_PER_SEC;
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_EQ(preload(&f), EXIT_OK);
    ASSERT_EQ(ring_size(), 2);
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_OK(fixture_open(&f, f.m));
    ASSERT_EQ(fixture_keys(&f), 2);

    /* The service removes the old key. */
    _cleanup_(service_done) Service s = {NULL, NULL};
    ASSERT_OK(service_start(&f, &s));
    ASSERT_TRUE(ends(&s, LIMIT_USEC));
    service_done(&s);
    s = (Service){NULL, NULL};
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_OK(fixture_open(&f, f.m));
    ASSERT_EQ(fixture_keys(&f), 1);
}

TEST(preload_status)
{
    char path[128];
    Key *k;
    FIXTURE;

    ASSERT_EQ(preload(&f), EXIT_STORE);
    ASSERT_TRUE(fixture_restart(&f) && ring_make());
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k && keyctl_clear(fixture_ring()) == 0);
    ASSERT_TRUE(ring_set_writable(false));
    ASSERT_EQ(preload(&f), EXIT_KEYRING);
    ASSERT_TRUE(ring_set_writable(true));
    ASSERT_EQ(preload(&f), EXIT_OK);
    ASSERT_EQ(ring_size(), 1);

    ASSERT_TRUE(rename_store(&f, "", ".away") && store_path(&f, path, sizeof(path), ""));
    ASSERT_OK(close(creat(path, 0600)));
    ASSERT_EQ(preload(&f), EXIT_STORE);
    ASSERT_TRUE(rename_store(&f, ".away", ""));
}
