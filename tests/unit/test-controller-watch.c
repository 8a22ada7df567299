/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keyd-fixture.h"
#include "nvme-keyd/controllers/limits.h"
#include "nvme-keyd/manager/controllers.h"
#include "sysfs-fixture.h"

#define START (1000 * USEC_PER_SEC)

static void place_done(const Sysfs *s)
{
    (void)unsetenv(NAMES_ENV_CONTROLLERS);
    (void)unsetenv(NAMES_ENV_TLS_STAT);
    sysfs_done(s);
}

/* A live controller with one request in flight, and the counters of the kernel beside it. */
#define PLACE                                                                                      \
    _cleanup_(place_done) Sysfs s = sysfs_new();                                                   \
    char stat[64];                                                                                 \
    FIXTURE;                                                                                       \
                                                                                                   \
    (void)snprintf(stat, sizeof(stat), "%s/tls_stat", s.dir);                                      \
    ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, s.dir, 1));                                            \
    ASSERT_OK(setenv(NAMES_ENV_TLS_STAT, stat, 1));                                                \
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, 7);                                               \
    sysfs_mkdir(&s, "nvme0", "nvme0n1");                                                           \
    sysfs_write(&s, "nvme0", "nvme0n1/stat", "9 0 0 0 0 0 0 0 1 0 0")

TEST(no_counters)
{
    PLACE;

    for (uint64_t i = 0; i < 3; i++)
        ASSERT_TRUE(!manager_watch_controllers(f.m, START + i * STALLED_USEC));
    ASSERT_TRUE(!manager_key_updates(f.m)->counted);
    ASSERT_EQ(manager_stalls(f.m)->n, 0);
}

/* Requests that do not end are common until a peer has sent a KeyUpdate. */
TEST(stalled)
{
    const StallDevice *d;
    PLACE;

    sysfs_write(&s, "", "tls_stat", "TlsRxRekeyReceived 3\nTlsRxRekeyOk 3\n");
    for (uint64_t i = 0; i < 3; i++)
        ASSERT_TRUE(!manager_watch_controllers(f.m, START + i * STALLED_USEC));
    ASSERT_TRUE(manager_key_updates(f.m)->counted);
    ASSERT_TRUE(!manager_next_stalled(f.m));
    sysfs_write(&s, "", "tls_stat", "TlsRxRekeyReceived 4\nTlsRxRekeyOk 3\n");
    ASSERT_TRUE(manager_watch_controllers(f.m, START + 3 * STALLED_USEC));
    ASSERT_TRUE(!manager_next_stalled(f.m));
    ASSERT_TRUE(manager_watch_controllers(f.m, START + 4 * STALLED_USEC));
    d = manager_next_stalled(f.m);
    ASSERT_TRUE(d);
    ASSERT_STR(d->controller, "nvme0");
    ASSERT_STR(d->subsysnqn, SUBSYSTEM);
    ASSERT_TRUE(!manager_next_stalled(f.m));
    ASSERT_TRUE(stalls_has(manager_stalls(f.m), "nvme0"));
    /* It was reset. */
    sysfs_write(&s, "nvme0", "nvme0n1/stat", "10 0 0 0 0 0 0 0 0 0 0");
    ASSERT_TRUE(manager_watch_controllers(f.m, START + 5 * STALLED_USEC));
    ASSERT_TRUE(!stalls_has(manager_stalls(f.m), "nvme0"));
}

TEST(no_controllers)
{
    PLACE;

    sysfs_write(&s, "", "tls_stat", "TlsRxRekeyReceived 4\nTlsRxRekeyOk 3\n");
    ASSERT_TRUE(manager_watch_controllers(f.m, START));
    ASSERT_EQ(manager_stalls(f.m)->n, 1);
    sysfs_write(&s, "nvme0", "state", "deleting\n");
    ASSERT_TRUE(manager_watch_controllers(f.m, START + STALLED_USEC));
    ASSERT_EQ(manager_stalls(f.m)->n, 0);
}
