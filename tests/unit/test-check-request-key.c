/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/macro.h"
#include "doctor-fixture.h"
#include "test.h"

TEST(program)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, "sbin/request-key", NULL);
    ASSERT_STR(machine_lacks(m, "request-key", DOCTOR_WARN, "is missing"), "");
    /* Keys on demand depend on it. */
    machine_status(m, "provision", "{\"mode\":\"on_demand\",\"timeoutSec\":60}");
    ASSERT_STR(machine_lacks(m, "request-key", DOCTOR_FAIL, "keys on demand"), "");
}

TEST(rule)
{
    static const struct {
        const char *file, *text, *fault;
    } cases[] = {
        {"etc/request-key.d/nvme-keyd.conf", NULL, "no rule for requests of type psk"},
        {"etc/request-key.d/x.conf", "create psk NVMe1R01* * /bin/x\n",
         "/etc/request-key.d/x.conf"},
        {"etc/request-key.conf", "create user nvme-tls-psk:nqn* * /bin/x\n", "of type user"},
        {"etc/request-key.conf", "# good\ncreate user\n", "line /etc/request-key.conf:2"},
        {"usr/lib/nvme-keyd/request-key-shim", NULL, "request-key-shim is missing"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(machine_freep) Machine *m = machine_new();

        machine_write(m, cases[i].file, cases[i].text);
        ASSERT_STR(machine_lacks(m, "request-key-rule", DOCTOR_WARN, cases[i].fault), "");
    }
}

TEST(wider_rules_lose)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, "etc/request-key.conf",
                  "create psk * * /bin/x\ncreate user * * /bin/x\n"
                  "* * NVMe1R01* * /bin/x\n");
    ASSERT_EQ(machine_check(m, "request-key-rule"), DOCTOR_OK);
}
