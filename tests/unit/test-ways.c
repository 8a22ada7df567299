/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "credstore/seal/ways.h"
#include "test.h"

TEST(lists)
{
    unsigned ways = 0;

    ASSERT_OK(ways_parse("tpm2", &ways));
    ASSERT_EQ(ways, WAY_TPM2);
    ASSERT_OK(ways_parse("  recovery \t tpm2 ", &ways));
    ASSERT_EQ(ways, WAY_TPM2 | WAY_RECOVERY);
    ASSERT_OK(ways_parse("systemd-creds", &ways));
    ASSERT_EQ(ways, WAYS_ALL & ~(WAY_TPM2 | WAY_RECOVERY));
    ASSERT_OK(ways_parse("systemd-creds:given", &ways));
    ASSERT_EQ(ways, WAY_CREDS_GIVEN);
    ASSERT_OK(ways_parse("tpm2 recovery systemd-creds:host+tpm2 systemd-creds:tpm2", &ways));
    ASSERT_EQ(ways,
              WAY_TPM2 | WAY_RECOVERY | way_of_creds_key("host+tpm2") | way_of_creds_key("tpm2"));
}

TEST(no_lists)
{
    static const char *const bad[] = {
        "",
        "  ",
        "tpm",
        "tpm2,recovery",
        "TPM2",
        "tpm2 fido2",
        "systemd-creds:",
        "systemd-creds:auto",
        "systemd-creds:host tpm2x",
        "host",
        "all",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        unsigned ways = 4711;

        if (ways_parse(bad[i], &ways) != -EINVAL || ways != 4711)
            TEST_FAIL("\"%s\" was taken", bad[i]);
    }
}

TEST(keys_of_systemd)
{
    static const char *const keys[] = {
        "host", "tpm2",    "tpm2-with-public-key", "host+tpm2", "host+tpm2-with-public-key",
        "null", "unknown",
    };
    unsigned seen = WAY_TPM2 | WAY_RECOVERY | WAY_CREDS_GIVEN;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        unsigned way = way_of_creds_key(keys[i]);

        ASSERT_TRUE(way != 0 && (way & seen) == 0);
        seen |= way;
    }
    /* A key type of a later systemd. */
    ASSERT_EQ(way_of_creds_key("moon"), way_of_creds_key("unknown"));
}
