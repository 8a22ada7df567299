/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <unistd.h>

#include "basic/macro.h"
#include "nvme-keyd/controllers/ports.h"
#include "sysfs-fixture.h"
#include "test.h"

/* Ports look like controllers: directories with attributes. */
static void put_port(const Sysfs *s, const char *name, const char *address, const char *port)
{
    sysfs_mkdir(s, "", name);
    sysfs_write(s, name, "addr_trtype", "tcp\n");
    sysfs_write(s, name, "addr_tsas", "tls1.3\n");
    sysfs_write(s, name, "addr_traddr", address);
    sysfs_write(s, name, "addr_trsvcid", port);
    sysfs_mkdir(s, name, "subsystems");
    sysfs_mkdir(s, name, "subsystems/nqn.x:s");
}

TEST(addresses)
{
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();

    ASSERT_TRUE(!target_port_is_ours(s.dir, "192.0.2.1", 4420));
    put_port(&s, "1", "192.0.2.1\n", "4420\n");
    put_port(&s, "2", "2001:db8:0::1\n", "4420\n");
    ASSERT_TRUE(target_port_is_ours(s.dir, "192.0.2.1", 4420));
    ASSERT_TRUE(!target_port_is_ours(s.dir, "192.0.2.1", 4421));
    ASSERT_TRUE(!target_port_is_ours(s.dir, "192.0.2.2", 4420));
    ASSERT_TRUE(target_port_is_ours(s.dir, "2001:db8::1", 4420));
    ASSERT_TRUE(target_port_is_ours(s.dir, "2001:db8::1%eth0", 4420));
    ASSERT_TRUE(!target_port_is_ours(s.dir, "2001:db8::2", 4420));
    ASSERT_TRUE(!target_port_is_ours(s.dir, "name", 4420));
}

TEST(all_addresses)
{
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();

    put_port(&s, "1", "0.0.0.0\n", "4420\n");
    put_port(&s, "2", "::\n", "4421\n");
    ASSERT_TRUE(target_port_is_ours(s.dir, "192.0.2.1", 4420));
    ASSERT_TRUE(!target_port_is_ours(s.dir, "2001:db8::1", 4420));
    ASSERT_TRUE(target_port_is_ours(s.dir, "192.0.2.1", 4421));
    ASSERT_TRUE(target_port_is_ours(s.dir, "2001:db8::1", 4421));
}

/* Another program may listen where a port is configured, but not enabled. */
TEST(not_with_tls)
{
    static const char *const bad[][2] = {
        {"addr_tsas", "none\n"}, {"addr_trtype", "rdma\n"}, {"addr_trsvcid", "44200\n"}};
    static const char *const good[] = {"tls1.3\n", "tcp\n", "4420\n"};
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();
    char path[128];

    put_port(&s, "1", "192.0.2.1\n", "4420\n");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        sysfs_write(&s, "1", bad[i][0], bad[i][1]);
        ASSERT_TRUE(!target_port_is_ours(s.dir, "192.0.2.1", 4420));
        sysfs_write(&s, "1", bad[i][0], good[i]);
        ASSERT_TRUE(target_port_is_ours(s.dir, "192.0.2.1", 4420));
    }
    (void)snprintf(path, sizeof(path), "%s/1/subsystems/nqn.x:s", s.dir);
    ASSERT_OK(rmdir(path));
    ASSERT_TRUE(!target_port_is_ours(s.dir, "192.0.2.1", 4420));
    ASSERT_TRUE(!target_port_is_ours("/nonexistent", "192.0.2.1", 4420));
}
