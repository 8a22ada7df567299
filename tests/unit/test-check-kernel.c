/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/macro.h"
#include "doctor-fixture.h"
#include "test.h"

TEST(kernel_version)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, "proc/sys/kernel/osrelease", "6.6.40\n");
    ASSERT_STR(machine_lacks(m, "kernel-version", DOCTOR_FAIL, "Linux 6.6.40"), "");
    machine_write(m, "proc/sys/kernel/osrelease", "6.7.0-rc1\n");
    ASSERT_EQ(machine_check(m, "kernel-version"), DOCTOR_OK);
    machine_write(m, "proc/sys/kernel/osrelease", NULL);
    ASSERT_EQ(machine_check(m, "kernel-version"), DOCTOR_WARN);
}

TEST(kernel_options)
{
    static const char config[] = "boot/config-6.12.107-amd64";
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, config,
                  "CONFIG_KEYS=y\nCONFIG_TLS=m\nCONFIG_NET_HANDSHAKE=y\n"
                  "# CONFIG_NVME_TCP_TLS is not set\nCONFIG_NVME_TARGET_TCP_TLS=y\n");
    ASSERT_STR(machine_lacks(m, "kernel-options", DOCTOR_FAIL, "CONFIG_NVME_TCP_TLS"), "");
    machine_write(m, config,
                  "CONFIG_KEYS=y\nCONFIG_TLS=m\nCONFIG_NVME_TCP_TLS=y\n"
                  "CONFIG_NVME_TARGET_TCP_TLS=y\n");
    ASSERT_STR(machine_lacks(m, "kernel-options", DOCTOR_FAIL, "CONFIG_NET_HANDSHAKE"), "");
    /* A target needs one more. */
    machine_write(m, config,
                  "CONFIG_KEYS=y\nCONFIG_TLS=m\nCONFIG_NET_HANDSHAKE=y\n"
                  "CONFIG_NVME_TCP_TLS=m\n");
    ASSERT_STR(machine_lacks(m, "kernel-options", DOCTOR_FAIL, "CONFIG_NVME_TARGET_TCP_TLS"), "");
    machine_write(m, "sys/module/nvmet_tcp/refcnt", NULL);
    machine_keys(m, "[" MACHINE_HOST_KEY "]");
    ASSERT_EQ(machine_check(m, "kernel-options"), DOCTOR_FAIL);
    /* Another place, and none at all. */
    machine_write(m, config, NULL);
    machine_write(m, "lib/modules/6.12.107-amd64/config", "CONFIG_KEYS=y\n");
    ASSERT_STR(machine_lacks(m, "kernel-options", DOCTOR_FAIL, "CONFIG_TLS"), "");
    machine_write(m, "lib/modules/6.12.107-amd64/config", NULL);
    ASSERT_STR(machine_lacks(m, "kernel-options", DOCTOR_OK, "not on the disk"), "");
}

TEST(key_quota)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, "proc/key-users", "    0:    56 55/55 850000/1000000 1234/25000000\n");
    ASSERT_STR(machine_lacks(m, "key-quota", DOCTOR_WARN, "850000 of 1000000 keys"), "");
    machine_write(m, "proc/key-users", "    0:    56 55/55 8/1000000 24000000/25000000\n");
    ASSERT_STR(machine_lacks(m, "key-quota", DOCTOR_WARN, "24000000 of 25000000 bytes"), "");
    machine_write(m, "proc/key-users", " 1000:    56 55/55 8/1000000 24000000/25000000\n");
    ASSERT_STR(machine_lacks(m, "key-quota", DOCTOR_WARN, "cannot be read"), "");
}
