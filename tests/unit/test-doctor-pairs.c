/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/json.h"
#include "basic/macro.h"
#include "doctor-fixture.h"
#include "nvme-keyctl/doctor/pairs.h"
#include "test.h"

TEST(active_keys_in_order)
{
    _cleanup_(machine_freep) Machine *m = machine_new();
    _cleanup_(pairs_done) Pairs host = {NULL, 0}, target = {NULL, 0};

    machine_keys(m, "[" MACHINE_KEY("1", "host", "nqn.h", "nqn.b", "") "," MACHINE_KEY(
                        "2", "both", "nqn.h", "nqn.a",
                        "") "," MACHINE_KEY("3", "target", "nqn.h", "nqn.c",
                                            "") ",{\"state\":\"broken\"},"
                                                "{\"state\":\"revoked\",\"role\":\"host\","
                                                "\"hostNQN\":\"nqn.h\","
                                                "\"subsystemNQN\":\"nqn.d\"}]");
    ASSERT_OK(pairs_read(&m->d, true, &host));
    ASSERT_OK(pairs_read(&m->d, false, &target));
    ASSERT_EQ(host.n, 2);
    ASSERT_STR(host.items[0].text, "nqn.h nqn.a");
    ASSERT_STR(host.items[1].text, "nqn.h nqn.b");
    ASSERT_EQ(target.n, 2);
    ASSERT_STR(json_string_or(pairs_find(&target, "nqn.h", "nqn.c"), "id", ""), "3");
    ASSERT_TRUE(!pairs_find(&host, "nqn.h", "nqn.c"));
    ASSERT_TRUE(!pairs_find(&host, "nqn.h", "nqn.d"));
}
