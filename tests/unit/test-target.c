/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "nvme-keyd/controllers/target.h"
#include "sysfs-fixture.h"
#include "test.h"

#define HOST "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
#define SUBSYSTEM "nqn.2026-11.org.example:a"

static void put(const Sysfs *s, const char *subsysnqn, const char *name, const char *tls_key)
{
    char path[300];

    snprintf(path, sizeof(path), "%s/%s", subsysnqn, name);
    sysfs_mkdir(s, "", subsysnqn);
    sysfs_mkdir(s, subsysnqn, name);
    sysfs_write(s, path, "hostnqn", HOST "\n");
    sysfs_write(s, path, "tls_key", tls_key);
}

TEST(none)
{
    _cleanup_(target_host_list_done) TargetHostList l = {NULL, 0};
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();

    ASSERT_EQ(target_hosts_read("/nonexistent", &l), -ENOENT);
    ASSERT_OK(target_hosts_read(s.dir, &l));
    ASSERT_EQ(l.n, 0);
}

/* Hosts without TLS have the serial 0. */
TEST(read)
{
    _cleanup_(target_host_list_done) TargetHostList l = {NULL, 0};
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();

    put(&s, SUBSYSTEM, "ctrl12", "2a3b4c5d\n");
    put(&s, SUBSYSTEM, "ctrl13", "00000000\n");
    put(&s, SUBSYSTEM, "ctrl", "00000001\n");
    put(&s, SUBSYSTEM, "ctrl99999", "00000001\n");
    put(&s, SUBSYSTEM, "other", "00000001\n");
    sysfs_write(&s, SUBSYSTEM "/ctrl12", "host_traddr", "192.0.2.7:38412\n");
    ASSERT_OK(target_hosts_read(s.dir, &l));
    ASSERT_EQ(l.n, 1);
    ASSERT_STR(l.items[0].subsysnqn, SUBSYSTEM);
    ASSERT_STR(l.items[0].hostnqn, HOST);
    ASSERT_STR(l.items[0].address, "192.0.2.7:38412");
    ASSERT_EQ(l.items[0].cntlid, 12);
    ASSERT_EQ(l.items[0].tls_key, 0x2a3b4c5d);
}

/* Linux 6.12 shows the hosts but not their keys. */
TEST(no_keys)
{
    _cleanup_(target_host_list_done) TargetHostList l = {NULL, 0};
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();

    put(&s, SUBSYSTEM, "ctrl1", NULL);
    ASSERT_EQ(target_hosts_read(s.dir, &l), -EOPNOTSUPP);
    ASSERT_EQ(l.n, 0);
    /* It is just being removed. */
    sysfs_write(&s, SUBSYSTEM "/ctrl1", "hostnqn", NULL);
    ASSERT_OK(target_hosts_read(s.dir, &l));
    ASSERT_EQ(l.n, 0);
}
