/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/macro.h"
#include "doctor-fixture.h"
#include "test.h"

#define DEP "lib/modules/6.12.107-amd64/modules.dep"
#define BUILTIN "lib/modules/6.12.107-amd64/modules.builtin"

TEST(keyring)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_status(m, "keyring", "{\"name\":\".nvme\",\"problems\":[]}");
    ASSERT_STR(machine_lacks(m, "keyring", DOCTOR_FAIL, "no keyring .nvme"), "");
    machine_status(m, "keyring", "{\"name\":\"nvme-keyd-stand-in\",\"serial\":1,\"problems\":[]}");
    ASSERT_STR(machine_lacks(m, "keyring", DOCTOR_WARN, "does not look"), "");
    /* Without the service /proc/keys tells. */
    machine_without_daemon(m);
    ASSERT_EQ(machine_check(m, "keyring"), DOCTOR_OK);
    machine_write(m, "proc/keys", "0b1f0a5c I--- 1 perm 1f1f0000 0 0 keyring   .nvme-x: 1\n");
    ASSERT_EQ(machine_check(m, "keyring"), DOCTOR_FAIL);
}

TEST(modules)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_remove(m, "sys/module/nvme_tcp");
    ASSERT_STR(machine_lacks(m, "modules", DOCTOR_OK, "loaded by the first connect"), "");
    machine_write(m, DEP, "kernel/drivers/nvme/host/nvme-rdma.ko:\n");
    ASSERT_STR(machine_lacks(m, "modules", DOCTOR_FAIL, "nvme_tcp is not there"), "");
    machine_write(m, BUILTIN, "kernel/drivers/nvme/host/nvme-tcp.ko\n");
    ASSERT_STR(machine_lacks(m, "modules", DOCTOR_OK, "built in"), "");
}

TEST(a_target_has_its_module)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_remove(m, "sys/module/nvmet_tcp");
    machine_write(m, DEP, "a/nvme-tcp.ko:\n");
    ASSERT_STR(machine_lacks(m, "modules", DOCTOR_FAIL, "nvmet_tcp is not there"), "");
    /* A host needs none. */
    machine_keys(m, "[" MACHINE_HOST_KEY "]");
    ASSERT_EQ(machine_check(m, "modules"), DOCTOR_OK);
}

TEST(tls)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, "proc/sys/net/ipv4/tcp_available_ulp", "espintcp mptcp\n");
    ASSERT_STR(machine_lacks(m, "tls", DOCTOR_OK, "loaded by the first connection"), "");
    machine_write(m, DEP, "kernel/net/not-tls.ko:\n");
    ASSERT_STR(machine_lacks(m, "tls", DOCTOR_FAIL, "module tls is not there"), "");
}

TEST(modules_load)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    /* A file in /etc masks one of the same name. */
    machine_write(m, "etc/modules-load.d/nvme-keyd.conf", "#nvme_keyring\n");
    ASSERT_STR(machine_lacks(m, "modules-load", DOCTOR_FAIL, "nothing loads"), "");
    machine_write(m, "etc/modules-load.d/other.conf", "nvme-keyring\n");
    ASSERT_EQ(machine_check(m, "modules-load"), DOCTOR_OK);
    machine_write(m, "etc/modules-load.d/other.conf", NULL);
    machine_write(m, BUILTIN, "kernel/drivers/nvme/common/nvme-keyring.ko\n");
    ASSERT_EQ(machine_check(m, "modules-load"), DOCTOR_OK);
}

TEST(modprobe)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, "etc/modprobe.d/a.conf", "blacklist nvme-tcp\n");
    ASSERT_STR(machine_lacks(m, "modprobe", DOCTOR_WARN, "/etc/modprobe.d/a.conf keeps"), "");
    machine_write(m, "etc/modprobe.d/a.conf", "install tls /bin/false\n");
    ASSERT_STR(machine_lacks(m, "modprobe", DOCTOR_FAIL, "does not load it"), "");
    machine_write(m, "etc/modprobe.d/a.conf",
                  "install nvme_keyring /sbin/modprobe --ignore-install nvme_keyring && x\n");
    ASSERT_EQ(machine_check(m, "modprobe"), DOCTOR_OK);
    machine_write(m, "etc/modprobe.d/a.conf", "softdep nvme_keyring post: nvme-tcp\n");
    ASSERT_STR(machine_lacks(m, "modprobe", DOCTOR_WARN, "before it has keys"), "");
    machine_write(m, "etc/modprobe.d/a.conf", "softdep nvme_tcp pre: nvme_keyring\n");
    ASSERT_EQ(machine_check(m, "modprobe"), DOCTOR_OK);
}
