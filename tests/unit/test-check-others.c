/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/macro.h"
#include "doctor-fixture.h"
#include "test.h"

#define DISCOVERY "nqn.2014-08.org.nvmexpress.discovery"
#define RULE "udev/rules.d/70-nvmf-keys.rules"
#define LINE                                                                                       \
    "NVMe1R01 " MACHINE_HOST " " MACHINE_SUB " iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU= "

TEST(discovery_key)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, "etc/nvme/discovery.conf", "-t tcp -a 10.0.0.1 -s 8009\n");
    ASSERT_STR(machine_lacks(m, "discovery-key", DOCTOR_OK, "no discovery controller with TLS"),
               "");
    machine_write(m, "etc/nvme/discovery.conf", "-t tcp -a 10.0.0.1 -s 8009 --tls\n");
    ASSERT_STR(machine_lacks(m, "discovery-key", DOCTOR_FAIL, DISCOVERY), "");
    machine_keys(m, "[" MACHINE_KEY("1", "host", MACHINE_HOST, DISCOVERY, "") "]");
    ASSERT_EQ(machine_check(m, "discovery-key"), DOCTOR_OK);
    machine_write(m, "etc/nvme/nvme-fabrics.conf",
                  "[Discovery Controller]\nnqn = nqn.x:cdc\ntls = true\n");
    ASSERT_STR(machine_lacks(m, "discovery-key", DOCTOR_FAIL, "nqn.x:cdc"), "");
    m->d.subsysnqn = MACHINE_SUB;
    ASSERT_EQ(machine_check(m, "discovery-key"), DOCTOR_OK);
}

TEST(udev_rule)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, "usr/lib/" RULE, "TEST==\"/etc/nvme/tls-keys\", RUN+=\"nvme\"\n");
    ASSERT_STR(machine_lacks(m, "udev-rule", DOCTOR_OK, "no /etc/nvme/tls-keys"), "");
    machine_write(m, "etc/nvme/tls-keys", LINE MACHINE_PSK "\n");
    ASSERT_STR(machine_lacks(m, "udev-rule", DOCTOR_WARN, "1 keys of pairs of ours"), "");
    machine_write(m, "etc/nvme/tls-keys", "NVMe0R01 nqn.x:h nqn.x:s " MACHINE_PSK "\nnonsense\n");
    ASSERT_STR(machine_lacks(m, "udev-rule", DOCTOR_OK, "no pair of ours"), "");
    /* Masked. */
    machine_write(m, "etc/nvme/tls-keys", LINE MACHINE_PSK "\n");
    machine_link(m, "etc/" RULE, "/dev/null");
    ASSERT_STR(machine_lacks(m, "udev-rule", DOCTOR_OK, "masked"), "");
    machine_write(m, "etc/" RULE, NULL);
    machine_link(m, "etc/nvme/tls-keys", ".");
    ASSERT_STR(machine_lacks(m, "udev-rule", DOCTOR_WARN, "cannot be read"), "");
}

TEST(nvme_keysd)
{
    _cleanup_(machine_freep) Machine *m = machine_new();
    DoctorUnit *keysd = machine_unit(m, "nvme-keysd.service");

    machine_write(m, "etc/nvme/nvme-fabrics.conf",
                  "[Subsystem]\nnqn=" MACHINE_SUB "\nkey-source=systemd-creds\ntls-key=NAME\n");
    ASSERT_STR(machine_lacks(m, "nvme-keysd", DOCTOR_OK, "does not run"), "");
    strcpy(keysd->load, "loaded");
    strcpy(keysd->active, "inactive");
    ASSERT_STR(machine_lacks(m, "nvme-keysd", DOCTOR_FAIL, "revokes our key"), "");
    machine_write(m, "etc/nvme/nvme-fabrics.conf", "[Subsystem]\nnqn=" MACHINE_SUB "\n");
    ASSERT_STR(machine_lacks(m, "nvme-keysd", DOCTOR_OK, "no pair of ours"), "");
    m->d.units_error = -5;
    ASSERT_EQ(machine_check(m, "nvme-keysd"), DOCTOR_WARN);
}
