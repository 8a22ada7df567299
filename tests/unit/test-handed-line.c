/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/macro.h"
#include "nvme-keyd/handed/handed-line.h"
#include "test.h"

#define HOST "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
#define SUBSYSTEM "nqn.2026-11.org.example:a"
#define OTHER "nqn.2026-11.org.example:b"
#define PSK_A "NVMeTLSkey-1:01:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:"
#define DERIVED                                                                                    \
    "NVMe0R01 " HOST " " OTHER " NVMeTLSkey-1:01:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+"      \
    "KfiaR:"

static int line(const char *text, HandedLine *ret)
{
    return handed_line_parse(text, strlen(text), ret);
}

TEST(lines)
{
    static const struct {
        const char *text;
        int result;
    } bad[] = {
        {"role=hosts " SUBSYSTEM " " PSK_A, HANDED_E_OPTION},
        {"role= " SUBSYSTEM " " PSK_A, HANDED_E_OPTION},
        {"roles=host " SUBSYSTEM " " PSK_A, HANDED_E_OPTION},
        {"identity-version=2 " SUBSYSTEM " " PSK_A, HANDED_E_OPTION},
        {"identity-version=0000000000000001 " SUBSYSTEM " " PSK_A, HANDED_E_OPTION},
        {"identity-version=0 " DERIVED, HANDED_E_OPTION},
        {"derivation=compat " DERIVED, HANDED_E_OPTION},
        {"role=host", PSK_E_LINE},
        {"role=host # of no key", PSK_E_LINE},
        {SUBSYSTEM, PSK_E_LINE},
        {PSK_A, PSK_E_LINE},
        {"nqn. " PSK_A, PSK_E_NQN},
        {SUBSYSTEM "  " PSK_A, PSK_E_LINE},
        {SUBSYSTEM " NVMeTLSkey-1:01:AAAA:", PSK_E_LENGTH},
        {"# role=host", 0},
        {"", 0},
        {" \t\r", 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_(handed_line_done) HandedLine l = {.role = KEY_ROLE_HOST};

        ASSERT_EQ(line(bad[i].text, &l), bad[i].result);
        ASSERT_TRUE(!l.key.psk);
        ASSERT_TRUE(strlen(handed_line_error_text(bad[i].result)) > 0);
    }
}

TEST(options)
{
    _cleanup_(handed_line_done) HandedLine own = {.versions = 9}, all = own, derived = own;

    ASSERT_EQ(line(SUBSYSTEM " " PSK_A "\r", &own), 0);
    ASSERT_TRUE(own.key.psk && !*own.key.hostnqn);
    ASSERT_EQ(own.role, KEY_ROLE_HOST);
    ASSERT_EQ(own.versions, 0);
    ASSERT_EQ(own.derivation, PSK_RFC8446);
    ASSERT_STR(own.key.subsysnqn, SUBSYSTEM);

    ASSERT_EQ(line("\trole=both  identity-version=0,1\tderivation=compat " HOST " " SUBSYSTEM
                   " " PSK_A,
                   &all),
              0);
    ASSERT_TRUE(all.key.psk);
    ASSERT_EQ(all.role, KEY_ROLE_BOTH);
    ASSERT_EQ(all.versions, 3);
    ASSERT_EQ(all.derivation, PSK_COMPAT);
    ASSERT_STR(all.key.hostnqn, HOST);

    ASSERT_EQ(line("role=target " DERIVED, &derived), 0);
    ASSERT_EQ(derived.key.kind, KEYFILE_DERIVED);
    ASSERT_EQ(derived.role, KEY_ROLE_TARGET);
}
