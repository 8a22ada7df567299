/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "nvme-keyd/controllers/paths.h"
#include "sysfs-fixture.h"
#include "test.h"

#define HOST "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
#define SUBSYSTEM "nqn.2026-11.org.example:a"

/* Other subsystems, and names that begin alike, do not count. */
TEST(single)
{
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();
    ControllerPaths paths;

    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, 7);
    sysfs_put_live(&s, "nvme1", HOST, SUBSYSTEM "b", 7);
    ASSERT_OK(controller_count_paths(s.dir, "nvme0", SUBSYSTEM, &paths));
    ASSERT_EQ(paths.all, 1);
    ASSERT_EQ(paths.others, 0);
    ASSERT_EQ(controller_count_paths("/nonexistent", "nvme0", SUBSYSTEM, &paths), -ENOENT);
}

/* A path may be of another transport, so without an attribute of TLS. */
TEST(others)
{
    static const struct {
        const char *state;
        size_t all, others;
    } cases[] = {
        {"live", 2, 1},     {"connecting", 2, 0},       {"resetting", 2, 0},
        {"deleting", 1, 0}, {"deleting (no IO)", 1, 0}, {"dead", 1, 0},
    };
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();
    ControllerPaths paths;

    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, 7);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        sysfs_put(&s, "nvme1", cases[i].state, HOST, SUBSYSTEM, NULL, NULL);
        ASSERT_OK(controller_count_paths(s.dir, "nvme0", SUBSYSTEM, &paths));
        ASSERT_EQ(paths.all, cases[i].all);
        ASSERT_EQ(paths.others, cases[i].others);
    }
}

/* A live path does not help while its target does not serve a namespace there. */
TEST(asymmetric)
{
    static const struct {
        const char *state;
        size_t others;
    } cases[] = {
        {"optimized\n", 1},       {"non-optimized\n", 1}, {"inaccessible\n", 0},
        {"persistent-loss\n", 0}, {"change\n", 0},        {NULL, 1},
    };
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();
    ControllerPaths paths;

    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, 7);
    sysfs_put_live(&s, "nvme1", HOST, SUBSYSTEM, 7);
    sysfs_mkdir(&s, "nvme1", "nvme0c1n1");
    sysfs_mkdir(&s, "nvme1", "power");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        sysfs_write(&s, "nvme1", "nvme0c1n1/ana_state", cases[i].state);
        ASSERT_OK(controller_count_paths(s.dir, "nvme0", SUBSYSTEM, &paths));
        ASSERT_EQ(paths.all, 2);
        ASSERT_EQ(paths.others, cases[i].others);
    }
}
