/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "basic/limits.h"
#include "nvme-keyd/controllers/limits.h"
#include "nvme-keyd/controllers/stall.h"
#include "sysfs-fixture.h"
#include "test.h"

#define HOST "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
#define SUBSYSTEM "nqn.2026-11.org.example:a"
#define START (1000 * USEC_PER_SEC)

static void put_requests(const Sysfs *s, const char *controller, const char *device, int completed,
                         int in_flight)
{
    char text[128], path[64];

    snprintf(text, sizeof(text), "%d 0 0 0 0 0 0 0 %d 0 0 0 0 0 0 0 0\n", completed, in_flight);
    snprintf(path, sizeof(path), "%s/stat", device);
    sysfs_mkdir(s, controller, device);
    sysfs_write(s, controller, path, text);
}

static int sample(Stalls *stalls, const Sysfs *s, uint64_t now_usec)
{
    _cleanup_(controller_list_done) ControllerList l = {NULL, 0};
    int r = controllers_read(s->dir, &l);

    return r < 0 ? r : stalls_sample(stalls, s->dir, &l, now_usec);
}

/* Stalled from STALLED_USEC after the first sample on, until a request ends. */
TEST(stalled)
{
    _cleanup_(stalls_done) Stalls stalls = {NULL, 0};
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();

    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, 7);
    put_requests(&s, "nvme0", "nvme0c0n1", 100, 2);
    put_requests(&s, "nvme0", "nvme0c0n2", 100, 0);
    ASSERT_OK(sample(&stalls, &s, START));
    ASSERT_EQ(stalls.n, 2);
    ASSERT_TRUE(!stalls_has(&stalls, "nvme0"));
    ASSERT_OK(sample(&stalls, &s, START + STALLED_USEC - 1));
    ASSERT_TRUE(!stalls_has(&stalls, "nvme0"));
    ASSERT_OK(sample(&stalls, &s, START + STALLED_USEC));
    ASSERT_TRUE(stalls_has(&stalls, "nvme0"));
    ASSERT_TRUE(!stalls_has(&stalls, "nvme1"));
    put_requests(&s, "nvme0", "nvme0c0n1", 101, 1);
    ASSERT_OK(sample(&stalls, &s, START + 2 * STALLED_USEC));
    ASSERT_TRUE(!stalls_has(&stalls, "nvme0"));
}

/* A device that is busy all the time completes requests. */
TEST(busy)
{
    _cleanup_(stalls_done) Stalls stalls = {NULL, 0};
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();

    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, 7);
    for (int i = 0; i < 5; i++) {
        put_requests(&s, "nvme0", "nvme0n1", 100 + i, 32);
        ASSERT_OK(sample(&stalls, &s, START + (uint64_t)i * STALLED_USEC));
        ASSERT_TRUE(!stalls_has(&stalls, "nvme0"));
    }
    put_requests(&s, "nvme0", "nvme0n1", 104, 0);
    ASSERT_OK(sample(&stalls, &s, START + 6 * STALLED_USEC));
    ASSERT_OK(sample(&stalls, &s, START + 8 * STALLED_USEC));
    ASSERT_TRUE(!stalls_has(&stalls, "nvme0"));
}

/* While a controller connects again its requests wait, and another of its name starts afresh. */
TEST(only_live)
{
    _cleanup_(stalls_done) Stalls stalls = {NULL, 0};
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();
    char from[128], to[128];

    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, 7);
    put_requests(&s, "nvme0", "nvme0n1", 100, 1);
    ASSERT_OK(sample(&stalls, &s, START));
    ASSERT_OK(sample(&stalls, &s, START + STALLED_USEC));
    ASSERT_TRUE(stalls_has(&stalls, "nvme0"));
    sysfs_write(&s, "nvme0", "state", "resetting\n");
    ASSERT_OK(sample(&stalls, &s, START + 2 * STALLED_USEC));
    ASSERT_EQ(stalls.n, 0);
    sysfs_write(&s, "nvme0", "state", "live\n");
    ASSERT_OK(sample(&stalls, &s, START + 3 * STALLED_USEC));
    ASSERT_TRUE(!stalls_has(&stalls, "nvme0"));
    snprintf(from, sizeof(from), "%s/nvme0", s.dir);
    snprintf(to, sizeof(to), "%s/.gone", s.dir);
    ASSERT_OK(rename(from, to));
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, 7);
    put_requests(&s, "nvme0", "nvme0n1", 100, 1);
    ASSERT_OK(sample(&stalls, &s, START + 4 * STALLED_USEC));
    ASSERT_TRUE(!stalls_has(&stalls, "nvme0"));
}

/* A controller is named once, whichever of its devices stall. */
TEST(next)
{
    _cleanup_(stalls_done) Stalls stalls = {NULL, 0};
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();
    const StallDevice *first, *second;

    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, 7);
    sysfs_put_live(&s, "nvme1", HOST, SUBSYSTEM "b", 8);
    put_requests(&s, "nvme0", "nvme0n1", 1, 1);
    put_requests(&s, "nvme0", "nvme0n2", 1, 1);
    put_requests(&s, "nvme1", "nvme1n1", 1, 1);
    ASSERT_OK(sample(&stalls, &s, START));
    ASSERT_TRUE(!stalls_next(&stalls));
    ASSERT_OK(sample(&stalls, &s, START + STALLED_USEC));
    first = stalls_next(&stalls);
    second = stalls_next(&stalls);
    ASSERT_TRUE(first && second && !stalls_next(&stalls));
    ASSERT_TRUE(strcmp(first->controller, second->controller) != 0);
    ASSERT_STR(first->subsysnqn,
               strcmp(first->controller, "nvme0") == 0 ? SUBSYSTEM : SUBSYSTEM "b");
    ASSERT_OK(sample(&stalls, &s, START + 2 * STALLED_USEC));
    ASSERT_TRUE(!stalls_next(&stalls));
    ASSERT_TRUE(stalls_has(&stalls, "nvme0"));
}
