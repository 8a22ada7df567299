/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/macro.h"
#include "doctor-fixture.h"
#include "test.h"

#define PROGRAM "usr/sbin/tlshd"
#define CONFIG "etc/tlshd/config"
#define OLD_CONFIG "etc/tlshd.conf"

TEST(program)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    ASSERT_STR(machine_lacks(m, "tlshd", DOCTOR_OK, "tlshd 1.3 is installed"), "");
    machine_write(m, PROGRAM, "ktls-utils is a name without a version");
    ASSERT_STR(machine_lacks(m, "tlshd", DOCTOR_OK, "unknown version"), "");
    machine_write(m, PROGRAM, NULL);
    ASSERT_STR(machine_lacks(m, "tlshd", DOCTOR_FAIL, "not installed"), "");
}

TEST(configuration)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, CONFIG, NULL);
    ASSERT_STR(machine_lacks(m, "tlshd-config", DOCTOR_FAIL, "/etc/tlshd/config"), "");
    machine_link(m, CONFIG, ".");
    ASSERT_STR(machine_lacks(m, "tlshd-config", DOCTOR_WARN, "cannot be read"), "");
    machine_write(m, OLD_CONFIG, "[authenticate]\n");
    ASSERT_EQ(machine_check(m, "tlshd-config"), DOCTOR_OK);
    /* An older version reads only the old file. */
    machine_write(m, CONFIG, "[authenticate]\n");
    machine_write(m, OLD_CONFIG, NULL);
    machine_write(m, PROGRAM, "Built from ktls-utils 1.2.1 on");
    ASSERT_STR(machine_lacks(m, "tlshd-config", DOCTOR_FAIL, "without /etc/tlshd.conf"), "");
}

TEST(old_versions_need_the_name_of_the_keyring)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, PROGRAM, "Built from ktls-utils 0.11 on");
    machine_write(m, OLD_CONFIG, "[authenticate]\nkeyrings = .nfs\n[other]\nkeyrings=.nvme\n");
    ASSERT_STR(machine_lacks(m, "tlshd-config", DOCTOR_FAIL, "before 0.12"), "");
    machine_write(m, OLD_CONFIG, "[authenticate]\nkeyrings = .nfs;.nvme\n");
    ASSERT_EQ(machine_check(m, "tlshd-config"), DOCTOR_OK);
    machine_write(m, PROGRAM, "Built from ktls-utils 0.12 on");
    machine_write(m, OLD_CONFIG, "[authenticate]\n");
    ASSERT_EQ(machine_check(m, "tlshd-config"), DOCTOR_OK);
}

TEST(service)
{
    static const struct {
        const char *load, *active, *file, *text;
        DoctorResult result;
    } cases[] = {
        {"not-found", "inactive", "", "there is no", DOCTOR_FAIL},
        {"masked", "inactive", "masked", "masked", DOCTOR_FAIL},
        {"loaded", "failed", "enabled", "has failed", DOCTOR_FAIL},
        {"loaded", "inactive", "enabled", "not active", DOCTOR_FAIL},
        {"loaded", "active", "disabled", "not enabled", DOCTOR_WARN},
        {"loaded", "active", "enabled", "active and enabled", DOCTOR_OK},
    };
    _cleanup_(machine_freep) Machine *m = machine_new();
    DoctorUnit *u = machine_unit(m, "tlshd.service");

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        strcpy(u->load, cases[i].load);
        strcpy(u->active, cases[i].active);
        strcpy(u->file, cases[i].file);
        ASSERT_STR(machine_lacks(m, "tlshd-service", cases[i].result, cases[i].text), "");
    }
    /* Ours from memory takes its place. */
    strcpy(u->active, "inactive");
    strcpy(machine_unit(m, "nvme-keyd-tlshd.service")->load, "loaded");
    ASSERT_EQ(machine_check(m, "tlshd-service"), DOCTOR_OK);
    m->d.units_error = -5;
    ASSERT_STR(machine_lacks(m, "tlshd-service", DOCTOR_WARN, "not checked"), "");
}

TEST(has_the_keyring)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_status(m, "tlshd", "{\"unit\":\"tlshd.service\",\"state\":\"stale\"}");
    ASSERT_STR(machine_lacks(m, "tlshd-keyring", DOCTOR_FAIL, "revoked"), "");
    machine_status(m, "tlshd", "{\"unit\":\"tlshd.service\",\"state\":\"stopped\"}");
    ASSERT_STR(machine_lacks(m, "tlshd-keyring", DOCTOR_FAIL, "does not run"), "");
    /* From 1.1 on it has no link between handshakes. */
    machine_status(m, "tlshd", "{\"unit\":\"tlshd.service\",\"state\":\"unknown\"}");
    ASSERT_STR(machine_lacks(m, "tlshd-keyring", DOCTOR_OK, "only during a handshake"), "");
    machine_write(m, PROGRAM, "Built from ktls-utils 1.0.0 on");
    ASSERT_STR(machine_lacks(m, "tlshd-keyring", DOCTOR_WARN, "cannot be seen"), "");
    machine_status(m, "tlshd", NULL);
    ASSERT_STR(machine_lacks(m, "tlshd-keyring", DOCTOR_WARN, "no keyring"), "");
}

TEST(keyring_mode)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    strcpy(machine_unit(m, "tlshd.service")->keyring_mode, "private");
    ASSERT_STR(machine_lacks(m, "tlshd-keyring", DOCTOR_WARN, "KeyringMode=private"), "");
}
