/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "basic/macro.h"
#include "nvme-keyctl/doctor/parse.h"
#include "test.h"

TEST(versions)
{
    static const struct {
        const char *text;
        unsigned version;
        const char *again;
    } cases[] = {
        {"6.12.107-amd64", VERSION(6, 12, 107), "6.12.107"},
        {"6.7-rc1", VERSION(6, 7, 0), "6.7"},
        {"0.12", VERSION(0, 12, 0), "0.12"},
        {"1.16.2.1", VERSION(1, 16, 2), "1.16.2"},
        {"7", VERSION(7, 0, 0), "7.0"},
        {"x", 0, "0.0"},
        {"99999999999.1", VERSION(1023, 1, 0), "1023.1"},
        {"1.", VERSION(1, 0, 0), "1.0"},
    };
    char text[VERSION_TEXT_SIZE];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ASSERT_EQ(version_parse(cases[i].text), cases[i].version);
        ASSERT_STR(version_format(cases[i].version, text), cases[i].again);
    }
    ASSERT_EQ(version_find("a\0ktls-utils x ktls-utils 1.0.0", 31, "ktls-utils "),
              VERSION(1, 0, 0));
    ASSERT_EQ(version_find("ktls-utils 1.23", 14, "ktls-utils "), VERSION(1, 2, 0));
    ASSERT_EQ(version_find("ktls-utils ", 11, "ktls-utils "), 0);
}

TEST(configurations)
{
    const char *p = "# c\nfirst=1\n[a b]\n key = v w # c\n;x=y\n[c]\nnonsense\nk==\n[d]\n";
    ConfLine line = {.n_section = 0};

    ASSERT_TRUE(conf_next(&p, &line));
    ASSERT_STR(line.section, "");
    ASSERT_STR(line.key, "first");
    ASSERT_TRUE(conf_next(&p, &line));
    ASSERT_STR(line.section, "a b");
    ASSERT_STR(line.key, "key");
    ASSERT_STR(line.value, "v w");
    ASSERT_TRUE(conf_next(&p, &line));
    ASSERT_STR(line.section, "c");
    ASSERT_STR(line.value, "=");
    ASSERT_EQ(line.n_section, 2);
    ASSERT_TRUE(!conf_next(&p, &line));
}

TEST(kernel)
{
    const char *config =
        "CONFIG_TLS_DEVICE=y\n#CONFIG_TLS=y\nCONFIG_TLS=m\nCONFIG_A=n\nCONFIG_B=\"x\"";

    ASSERT_EQ(kconfig_get(config, "TLS"), 'm');
    ASSERT_EQ(kconfig_get(config, "TLS_DEVICE"), 'y');
    ASSERT_EQ(kconfig_get(config, "A"), 'n');
    ASSERT_EQ(kconfig_get(config, "B"), 'n');
    ASSERT_EQ(kconfig_get(config, "MISSING"), 'n');
    ASSERT_TRUE(module_is_listed("a/b/nvme-tcp.ko.zst: c/tls.ko\n", "nvme_tcp"));
    ASSERT_TRUE(!module_is_listed("a/b/nvme-tcp.ko.zst: c/tls.ko\n", "tls"));
    ASSERT_TRUE(!module_is_listed("a/b/nvme-tcp-x.ko\nnvme-tcp", "nvme_tcp"));
}

TEST(keys)
{
    static const char quota[] = " 1000:     1 1/1 1/200 2/20000\n    0:    56 55/55 41/100 7/25\n";
    KeyQuota q;

    ASSERT_TRUE(keys_have_ring("1 I 1 perm 1f 0 0 keyring   .nvme: empty\n", ".nvme"));
    ASSERT_TRUE(!keys_have_ring("1 I 1 perm 1f 0 0 keyring   .nvme2: empty\n", ".nvme"));
    ASSERT_TRUE(!keys_have_ring("1 I 1 perm 1f 0 0 user      .nvme: 1\n", ".nvme"));
    ASSERT_TRUE(key_quota_parse(quota, &q));
    ASSERT_EQ(q.keys, 41);
    ASSERT_EQ(q.keys_max, 100);
    ASSERT_EQ(q.bytes, 7);
    ASSERT_EQ(q.bytes_max, 25);
    ASSERT_TRUE(!key_quota_parse("0: 56 55/55 41/100 7-25\n", &q));
    ASSERT_TRUE(!key_quota_parse("", &q));
}

TEST(counters)
{
    static const char text[] = "IpExt: A\nIpExt: 9\nTcpExt: A B\nTcpExt: 1 2\n";
    uint64_t n = 0;

    ASSERT_TRUE(netstat_get(text, "TcpExt:", "B", &n));
    ASSERT_EQ(n, 2);
    ASSERT_TRUE(netstat_get(text, "IpExt:", "A", &n));
    ASSERT_EQ(n, 9);
    ASSERT_TRUE(!netstat_get(text, "TcpExt:", "C", &n));
    ASSERT_TRUE(!netstat_get("TcpExt: A\nTcpExt: x\n", "TcpExt:", "A", &n));
    ASSERT_TRUE(!netstat_get("TcpExt: A\n", "TcpExt:", "A", &n));
}
