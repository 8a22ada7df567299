/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/macro.h"
#include "doctor-fixture.h"
#include "test.h"

#define TARGET "sys/kernel/config/nvmet/"
#define SUBSYSTEM TARGET "subsystems/" MACHINE_SUB

TEST(ports)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, TARGET "ports/1/addr_tsas", "none\n");
    ASSERT_STR(machine_lacks(m, "target-ports", DOCTOR_WARN, "port 1 of the target takes"), "");
    machine_write(m, TARGET "ports/1/addr_tsas", "tls1.3\n");
    machine_write(m, TARGET "ports/1/addr_treq", "not specified\n");
    ASSERT_STR(machine_lacks(m, "target-ports", DOCTOR_WARN, "does not require TLS"), "");
    machine_write(m, TARGET "ports/1/addr_trtype", "rdma\n");
    ASSERT_STR(machine_lacks(m, "target-ports", DOCTOR_OK, "no target"), "");
}

TEST(hosts)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, SUBSYSTEM "/allowed_hosts/" MACHINE_HOST, NULL);
    ASSERT_STR(machine_lacks(m, "target-hosts", DOCTOR_FAIL, "does not allow it"), "");
    machine_write(m, SUBSYSTEM "/attr_allow_any_host", "1\n");
    ASSERT_EQ(machine_check(m, "target-hosts"), DOCTOR_OK);
    machine_remove(m, SUBSYSTEM);
    ASSERT_STR(machine_lacks(m, "target-hosts", DOCTOR_WARN, "does not have"), "");
    machine_remove(m, TARGET);
    ASSERT_EQ(machine_check(m, "target-hosts"), DOCTOR_OK);
}

TEST(backlog)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, "proc/net/netstat", "TcpExt: ListenOverflows A\nTcpExt: 12 0\n");
    ASSERT_STR(machine_lacks(m, "target-backlog", DOCTOR_WARN, "12 connections"), "");
    machine_write(m, "proc/net/netstat", "");
    ASSERT_STR(machine_lacks(m, "target-backlog", DOCTOR_WARN, "cannot be read"), "");
    machine_keys(m, "[]");
    machine_remove(m, "sys/module/nvmet_tcp");
    ASSERT_STR(machine_lacks(m, "target-backlog", DOCTOR_OK, "no target"), "");
}
