/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/macro.h"
#include "nvme-keyctl/doctor/configured.h"
#include "test.h"

#define DISCOVERY "nqn.2014-08.org.nvmexpress.discovery"

TEST(config_json)
{
    static const char text[] =
        "[{\"hostnqn\":\"nqn.h1\",\"subsystems\":[{\"nqn\":\"nqn.s1\",\"ports\":[{\"tls\":true},"
        "{}]},{\"nqn\":\"" DISCOVERY "\"}]},{\"hostnqn\":\"nqn.h2\"},7]";
    _cleanup_(configured_list_done) ConfiguredList l = {.items = NULL};

    ASSERT_OK(configured_parse_json(text, strlen(text), &l));
    ASSERT_EQ(l.n, 5);
    ASSERT_STR(l.items[1].hostnqn, "nqn.h1");
    ASSERT_STR(l.items[1].subsysnqn, "nqn.s1");
    ASSERT_TRUE(l.items[1].tls && !l.items[1].discovery);
    ASSERT_TRUE(!l.items[2].tls && l.items[2].discovery);
    ASSERT_STR(l.items[3].hostnqn, "nqn.h2");
    ASSERT_EQ(configured_parse_json("[{", 2, &l), -EBADMSG);
    ASSERT_EQ(configured_parse_json("\xff", 1, &l), -EBADMSG);
    ASSERT_EQ(configured_parse_json("", 0, &l), -EBADMSG);
    ASSERT_EQ(l.n, 5);
}

TEST(nvme_fabrics_conf)
{
    static const char text[] =
        "[Discovery Controller]\ntls = yes\n"
        "[Subsystem]\nnqn = nqn.s1 # comment\nkey-source = systemd-creds\n"
        "[Host]\nhostnqn=nqn.h\n"
        "[Controllers]\ncontroller = transport=tcp;nqn=nqn.s2;host-iface=x\n";
    _cleanup_(configured_list_done) ConfiguredList l = {.items = NULL};

    ASSERT_OK(configured_parse_conf(text, &l));
    ASSERT_EQ(l.n, 4);
    ASSERT_STR(l.items[0].subsysnqn, DISCOVERY);
    ASSERT_TRUE(l.items[0].discovery && l.items[0].tls);
    ASSERT_STR(l.items[1].subsysnqn, "nqn.s1");
    ASSERT_STR(l.items[1].hostnqn, "nqn.h");
    ASSERT_TRUE(l.items[1].key_source && !l.items[1].tls);
    ASSERT_STR(l.items[3].subsysnqn, "nqn.s2");
}

TEST(discovery_conf)
{
    static const char text[] =
        "# comment\n\n--transport=tcp --traddr=10.0.0.1 --tls --hostnqn=nqn.h\n"
        "-t tcp -n nqn.unique -q nqn.h2\n";
    _cleanup_(configured_list_done) ConfiguredList l = {.items = NULL};

    ASSERT_OK(configured_parse_discovery(text, &l));
    ASSERT_EQ(l.n, 2);
    ASSERT_STR(l.items[0].subsysnqn, DISCOVERY);
    ASSERT_STR(l.items[0].hostnqn, "nqn.h");
    ASSERT_TRUE(l.items[0].tls);
    ASSERT_STR(l.items[1].subsysnqn, "nqn.unique");
    ASSERT_STR(l.items[1].hostnqn, "nqn.h2");
    ASSERT_TRUE(!l.items[1].tls && l.items[1].discovery);
}
