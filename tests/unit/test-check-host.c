/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/macro.h"
#include "doctor-fixture.h"
#include "test.h"

#define UPPER "nqn.2014-08.org.nvmexpress:uuid:0D4E0C5A-70A4-4B5E-9A5C-2F6F2A1B3C4D"

TEST(hostnqn)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    ASSERT_STR(machine_lacks(m, "hostnqn", DOCTOR_OK, MACHINE_HOST), "");
    machine_write(m, "etc/nvme/hostnqn", UPPER "\n");
    ASSERT_STR(machine_lacks(m, "hostnqn", DOCTOR_WARN, "upper-case"), "");
    machine_write(m, "etc/nvme/hostnqn", "nqn.with blank\n");
    ASSERT_STR(machine_lacks(m, "hostnqn", DOCTOR_FAIL, "host NQN"), "");
    machine_write(m, "etc/nvme/hostnqn", "\n");
    ASSERT_STR(machine_lacks(m, "hostnqn", DOCTOR_FAIL, "it is empty"), "");
    machine_write(m, "etc/nvme/hostnqn", NULL);
    ASSERT_STR(machine_lacks(m, "hostnqn", DOCTOR_FAIL, "No such file"), "");
    /* A target needs none. */
    machine_keys(m, "[]");
    ASSERT_EQ(machine_check(m, "hostnqn"), DOCTOR_OK);
}

TEST(configuration_of_nvme_cli)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, "etc/nvme/config.json", "[{\"hostnqn\":\"" MACHINE_HOST "\"}]");
    ASSERT_STR(machine_lacks(m, "hostnqn-config", DOCTOR_OK, "the same"), "");
    machine_write(m, "etc/nvme/config.json", "[{\"hostnqn\":\"" UPPER "\"}]");
    ASSERT_STR(machine_lacks(m, "hostnqn-config", DOCTOR_FAIL, "its case"), "");
    machine_write(m, "etc/nvme/config.json", "[{\"hostnqn\":");
    ASSERT_STR(machine_lacks(m, "hostnqn-config", DOCTOR_WARN, "/etc/nvme/config.json"), "");
    machine_write(m, "etc/nvme/config.json", NULL);
    machine_write(m, "etc/nvme/nvme-fabrics.conf", "[Host]\nhostnqn = nqn.2024-01.x:other\n");
    ASSERT_STR(machine_lacks(m, "hostnqn-config", DOCTOR_WARN, "nqn.2024-01.x:other"), "");
}

TEST(keys_of_other_hosts)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_keys(m, "[" MACHINE_KEY("1", "host", UPPER, MACHINE_SUB, "") "]");
    ASSERT_STR(machine_lacks(m, "hostnqn-keys", DOCTOR_FAIL, "differs in its case"), "");
    machine_keys(m, "[" MACHINE_KEY("1", "host", "nqn.2024-01.x:other", MACHINE_SUB, "") "]");
    ASSERT_STR(machine_lacks(m, "hostnqn-keys", DOCTOR_WARN, "nqn.2024-01.x:other"), "");
    /* nvme-cli connects as this host. */
    machine_write(m, "etc/nvme/nvme-fabrics.conf.d/a.conf",
                  "[Subsystem]\nnqn=x\n[Host]\nhostnqn = nqn.2024-01.x:other\n");
    ASSERT_EQ(machine_check(m, "hostnqn-keys"), DOCTOR_OK);
    /* A target has keys of all its hosts. */
    machine_keys(m, "[" MACHINE_KEY("1", "target", "nqn.2024-01.x:h", MACHINE_SUB, "") "]");
    ASSERT_EQ(machine_check(m, "hostnqn-keys"), DOCTOR_OK);
    machine_keys(m, NULL);
    ASSERT_STR(machine_lacks(m, "hostnqn-keys", DOCTOR_WARN, "not checked"), "");
}
