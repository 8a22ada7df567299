/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "basic/json.h"
#include "nvme-keyctl/pcrs.h"
#include "test.h"

static bool is_read_as(const char *list, const char *expected)
{
    _cleanup_(json_putp) json_object *pcrs = NULL;

    const char *bank;

    return pcrs_parse(list, &pcrs, &bank) == 0 && !bank &&
           strcmp(json_object_to_json_string_ext(pcrs, JSON_C_TO_STRING_PLAIN), expected) == 0;
}

TEST(numbers)
{
    ASSERT_TRUE(is_read_as("", "[]"));
    ASSERT_TRUE(is_read_as("0", "[0]"));
    ASSERT_TRUE(is_read_as("23", "[23]"));
    ASSERT_TRUE(is_read_as("07", "[7]"));
    ASSERT_TRUE(is_read_as("7+11+14", "[7,11,14]"));
    ASSERT_TRUE(is_read_as("14+7", "[14,7]"));
    ASSERT_TRUE(is_read_as("7+7", "[7,7]"));
}

/* The names and numbers of systemd 255, in the order of the numbers; 8 and 17 to 22 have no
 * name. */
TEST(names)
{
    ASSERT_TRUE(is_read_as("platform-code+platform-config+external-code+external-config+"
                           "boot-loader-code+boot-loader-config+host-platform+secure-boot-policy+"
                           "kernel-initrd+ima+kernel-boot+kernel-config+sysexts+shim-policy+"
                           "system-identity+debug+application-support",
                           "[0,1,2,3,4,5,6,7,9,10,11,12,13,14,15,16,23]"));
    ASSERT_TRUE(is_read_as("secure-boot-policy+14", "[7,14]"));
}

TEST(banks)
{
    static const struct {
        const char *list, *pcrs, *bank;
    } lists[] = {
        {"7:sha384", "[7]", "sha384"},
        {"7+14:sha384", "[7,14]", "sha384"},
        {"7:sha256+14:sha256", "[7,14]", "sha256"},
        {"secure-boot-policy:sha1+kernel-boot", "[7,11]", "sha1"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        _cleanup_(json_putp) json_object *pcrs = NULL;
        const char *bank = NULL;

        ASSERT_OK(pcrs_parse(lists[i].list, &pcrs, &bank));
        ASSERT_STR(json_object_to_json_string_ext(pcrs, JSON_C_TO_STRING_PLAIN), lists[i].pcrs);
        ASSERT_STR(bank, lists[i].bank);
    }
}

TEST(nonsense)
{
    static const char *const lists[] = {
        "24",
        "100",
        "4294967296",
        "18446744073709551616",
        "-1",
        "+",
        "+7",
        "7+",
        "7++8",
        "7,8",
        "7 8",
        " 7",
        "7 ",
        "0x7",
        "7a",
        "a",
        "ima ",
        "IMA",
        "im",
        "imaa",
        "7:",
        "7:sha512",
        "7:SHA256",
        "7:sha256:sha256",
        ":sha256",
        "sha256",
        "7:sha256+14:sha384",
        "secure-boot-policy-",
        "7=00",
        "\xff",
        "7\n",
        "secure-boot+7",
    };

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        json_object *untouched = json_object_new_object(), *pcrs = untouched;

        const char *bank = "";

        if (pcrs_parse(lists[i], &pcrs, &bank) != -EINVAL || pcrs != untouched)
            TEST_FAIL("\"%s\" makes sense", lists[i]);
        json_object_put(untouched);
    }
}
