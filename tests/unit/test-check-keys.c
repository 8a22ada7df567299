/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "basic/macro.h"
#include "doctor-fixture.h"
#include "test.h"

#define OTHER_KEY(id, sub) MACHINE_KEY(id, "host", MACHINE_HOST, sub, "")

TEST(published)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_status(m, "missing", "2");
    ASSERT_STR(machine_lacks(m, "keys", DOCTOR_FAIL, "2 keys are not in the keyring"), "");
    machine_status(m, "missing", "0");
    machine_status(m, "expired", "1");
    ASSERT_STR(machine_lacks(m, "keys", DOCTOR_WARN, "1 keys are past"), "");
    machine_status(m, "expired", "0");
    machine_keys(m, "[]");
    ASSERT_STR(machine_lacks(m, "keys", DOCTOR_WARN, "no active key yet"), "");
}

TEST(of_one_subsystem)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    m->d.subsysnqn = "nqn.2024-01.com.example:other";
    ASSERT_STR(machine_lacks(m, "keys", DOCTOR_FAIL, "no active key for nqn.2024-01.com.example:o"),
               "");
    m->d.subsysnqn = MACHINE_SUB;
    ASSERT_EQ(machine_check(m, "keys"), DOCTOR_OK);
}

TEST(two_active_keys)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_keys(m, "[" OTHER_KEY("1", MACHINE_SUB) "," OTHER_KEY("2", MACHINE_SUB) "]");
    ASSERT_STR(machine_lacks(m, "one-key", DOCTOR_FAIL, "two active keys for " MACHINE_SUB), "");
    m->d.subsysnqn = "nqn.2024-01.com.example:other";
    ASSERT_EQ(machine_check(m, "one-key"), DOCTOR_OK);
    m->d.subsysnqn = NULL;
    /* One that has ended is none. */
    machine_keys(m,
                 "[" OTHER_KEY("1", MACHINE_SUB) ",{\"id\":\"2\",\"state\":\"retiring\",\"role\":"
                                                 "\"host\",\"hostNQN\":\"" MACHINE_HOST
                                                 "\",\"subsystemNQN\":\"" MACHINE_SUB "\"}]");
    ASSERT_EQ(machine_check(m, "one-key"), DOCTOR_OK);
}

TEST(shadowed)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_keys(m, "[" OTHER_KEY("1", MACHINE_SUB "2") "," OTHER_KEY("2", MACHINE_SUB) "]");
    ASSERT_STR(machine_lacks(m, "shadowed", DOCTOR_WARN, "the key of " MACHINE_SUB "2"), "");
    machine_write(m, "sys/kernel/livepatch/nvme_keyd_upcall/nvme_keyring/nvme_tls_psk_match,1/x",
                  "");
    ASSERT_EQ(machine_check(m, "shadowed"), DOCTOR_OK);
}

TEST(foreign)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_keys(
        m, "[" MACHINE_KEY("1", "host", MACHINE_HOST, MACHINE_SUB, ",\"rivals\":[305419896]") "]");
    ASSERT_STR(machine_lacks(m, "foreign", DOCTOR_FAIL, "(12345678)"), "");
    machine_keys(m, "[]");
    machine_status(m, "keyring", "{\"name\":\".nvme\",\"serial\":1,\"problems\":[\"odd key\"]}");
    ASSERT_STR(machine_lacks(m, "foreign", DOCTOR_WARN, "odd key"), "");
}

TEST(derivation)
{
    static const struct {
        const char *library, *text;
        unsigned openssl;
    } cases[] = {
        {"libnvme.so.1.13.0", "libnvme 1.13 (compat)", 0x30301},
        {"libnvme.so.1.13.0", "libnvme 1.13 (lastfrag)", 0x30300},
        {"libnvme.so.1.7.0", "libnvme 1.7 (by no standard)", 0x30500},
        {"libnvme.so.1.3.0", "libnvme 1.3 (identity version 0 only, by no standard)", 0x30500},
    };
    _cleanup_(machine_freep) Machine *m = machine_new();
    char path[128];

    ASSERT_STR(machine_lacks(m, "derivation", DOCTOR_OK, "libnvme 1.16.1"), "");
    machine_remove(m, "usr/lib/x86_64-linux-gnu");
    ASSERT_STR(machine_lacks(m, "derivation", DOCTOR_OK, "not installed"), "");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        machine_remove(m, "usr/lib/x86_64-linux-gnu");
        snprintf(path, sizeof(path), "usr/lib/x86_64-linux-gnu/%s", cases[i].library);
        machine_write(m, path, "");
        m->d.openssl_version = cases[i].openssl;
        ASSERT_STR(machine_lacks(m, "derivation", DOCTOR_WARN, cases[i].text), "");
    }
    /* A key that has worked is right. */
    machine_keys(m,
                 "[" MACHINE_KEY("1", "host", MACHINE_HOST, MACHINE_SUB, ",\"confirmed\":1") "]");
    ASSERT_EQ(machine_check(m, "derivation"), DOCTOR_OK);
}

TEST(controllers)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_status(m, "controllers", "{\"total\":2,\"old\":1,\"problems\":[]}");
    ASSERT_STR(machine_lacks(m, "controllers", DOCTOR_WARN, "1 controllers use an old key"), "");
    machine_status(m, "controllers",
                   "{\"total\":2,\"problems\":[\"requests of nvme0 do not end\"]}");
    ASSERT_STR(machine_lacks(m, "controllers", DOCTOR_FAIL, "nvme0"), "");
}

/* A run is for people who wait: less than a second, also with sanitizers. */
TEST(ten_thousand_keys)
{
    _cleanup_(machine_freep) Machine *m = machine_new();
    json_object *keys = json_object_new_array();
    char text[512];
    uint64_t start;

    for (int i = 0; i < 10000; i++) {
        snprintf(text, sizeof(text), OTHER_KEY("%d", "nqn.2024-01.com.example:%dx"), i, i);
        ASSERT_OK(json_object_array_add(keys, json_tokener_parse(text)));
    }
    json_object_put(m->d.keys);
    m->d.keys = keys;
    start = now_monotonic();
    ASSERT_EQ(machine_check(m, "shadowed"), DOCTOR_OK);
    start = now_monotonic() - start;
    printf("# %llu ms\n", (unsigned long long)(start / 1000));
    ASSERT_TRUE(start < 5 * USEC_PER_SEC);
}
