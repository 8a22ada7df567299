/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "probe/target.h"
#include "test.h"

TEST(attributes_of_the_kernel)
{
    char text[PROBE_TARGET_TEXT_SIZE];
    ProbeTarget t;

    ASSERT_OK(probe_target_parse("traddr=10.9.0.1,trsvcid=4420,src_addr=10.9.0.2", &t));
    ASSERT_STR(t.address, "10.9.0.1");
    ASSERT_EQ(t.port, 4420);
    ASSERT_STR(t.source, "");
    ASSERT_STR(t.interface, "");
    probe_target_format(&t, text);
    ASSERT_STR(text, "10.9.0.1:4420");

    ASSERT_OK(probe_target_parse("traddr=fe80::1%eth0.5,trsvcid=8009,host_traddr=fe80::2%eth0.5,"
                                 "host_iface=eth0.5,src_addr=[fe80::2%eth0.5]:51234",
                                 &t));
    ASSERT_STR(t.address, "fe80::1%eth0.5");
    ASSERT_EQ(t.port, 8009);
    ASSERT_STR(t.source, "fe80::2%eth0.5");
    ASSERT_STR(t.interface, "eth0.5");
    probe_target_format(&t, text);
    ASSERT_STR(text, "[fe80::1%eth0.5]:8009");

    /* Another order, and a member of a later kernel. */
    ASSERT_OK(probe_target_parse("new_1=x,trsvcid=1,traddr=::", &t));
    ASSERT_EQ(t.port, 1);
}

TEST(malformed_attributes)
{
    static const char *const bad[] = {
        "",
        "traddr=10.9.0.1",
        "trsvcid=4420",
        "traddr=,trsvcid=4420",
        "traddr=10.9.0.1,trsvcid=",
        "traddr=10.9.0.1,trsvcid=0",
        "traddr=10.9.0.1,trsvcid=04420",
        "traddr=10.9.0.1,trsvcid=65536",
        "traddr=10.9.0.1,trsvcid=+1",
        "traddr=10.9.0.1,trsvcid=4420,",
        ",traddr=10.9.0.1,trsvcid=4420",
        "traddr=10.9.0.1,trsvcid=4420,traddr=10.9.0.1",
        "traddr=10.9.0.1,trsvcid=4420,host_iface=",
        "traddr=10.9.0.1,trsvcid=4420,host_iface=a/b",
        "traddr=10.9.0.1,trsvcid=4420,host_traddr=x",
        "traddr=10.9.0.1,trsvcid=4420,x",
        "traddr=10.9.0.1,trsvcid=4420,X=1",
        "traddr=10.9.0.1%eth0,trsvcid=4420",
        "traddr=10.9.1,trsvcid=4420",
        "traddr=target.example,trsvcid=4420",
        "traddr=fe80::1%,trsvcid=4420",
        "traddr=fe80::1%0123456789abcdef,trsvcid=4420",
        "traddr=[fe80::1],trsvcid=4420",
        "traddr=10.9.0.1,trsvcid=4420\n",
    };
    ProbeTarget t;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (probe_target_parse(bad[i], &t) != -EINVAL)
            TEST_FAIL("accepted: %s", bad[i]);
}

TEST(faults_are_named)
{
    const char *what;
    ProbeTarget t;

    ASSERT_EQ(probe_target_set("x", 1, NULL, NULL, &t, &what), -EINVAL);
    ASSERT_STR(what, "address");
    ASSERT_EQ(probe_target_set("::1", 0, NULL, NULL, &t, &what), -EINVAL);
    ASSERT_STR(what, "port");
    ASSERT_EQ(probe_target_set("::1", 65536, NULL, NULL, &t, &what), -EINVAL);
    ASSERT_STR(what, "port");
    ASSERT_EQ(probe_target_set("::1", 1, "", NULL, &t, &what), -EINVAL);
    ASSERT_STR(what, "source");
    ASSERT_EQ(probe_target_set("::1", 1, NULL, "..", &t, &what), -EINVAL);
    ASSERT_STR(what, "interface");
}

TEST(bytes_after_a_text)
{
    ProbeTarget t;

    ASSERT_OK(probe_target_parse("traddr=10.9.0.1,trsvcid=4420", &t));
    ASSERT_TRUE(probe_target_is_valid(&t));
    t.address[PROBE_ADDRESS_MAX] = 'x';
    ASSERT_TRUE(!probe_target_is_valid(&t));
    t.address[PROBE_ADDRESS_MAX] = '\0';
    t.interface[3] = 'x';
    ASSERT_TRUE(!probe_target_is_valid(&t));
}
