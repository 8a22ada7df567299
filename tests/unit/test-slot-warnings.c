/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/json.h"
#include "credstore/slot-warnings.h"
#include "test.h"

#define TPM2(id, pcrs, more)                                                                       \
    "{\"type\":\"tpm2\",\"id\":\"" id "\",\"bank\":\"sha256\",\"pcrs\":" pcrs more "}"
/* The first bytes of two credentials: one sealed by the host key, the other by it and a TPM with a
 * policy. */
#define HOST "Whxqht+dQJax1aZeCGLxmgAA"
#define SIGNED "r0lQqEkTTrGnOEYwT/MMBQAA"
#define CREDS(id, credential)                                                                      \
    "{\"type\":\"systemd-creds\",\"id\":\"" id "\",\"credential\":\"" credential "AAAA\"}"
#define RECOVERY "{\"type\":\"recovery\",\"id\":\"0000000c\"}"

static const char *text(json_object *array)
{
    return json_object_to_json_string_ext(array, JSON_C_TO_STRING_PLAIN);
}

#define WARNINGS(list, all)                                                                        \
    _cleanup_(json_putp) json_object *slots = json_tokener_parse("[" list "]"), *all = NULL;       \
    ASSERT_TRUE(slots);                                                                            \
    ASSERT_OK(slot_warnings(slots, &all))

static size_t count_of(json_object *slots, const char *id, bool is_new)
{
    _cleanup_(json_putp) json_object *lines = NULL;

    return slot_warnings_of(slots, id, is_new, &lines) == 0 ? json_object_array_length(lines) : 99;
}

TEST(nothing_to_say)
{
    WARNINGS(TPM2("0000000a", "[7]", "") "," RECOVERY, bound);
    ASSERT_STR(text(bound), "[]");
}

/* Nothing relies on that without a slot bound to PCRs, so there is no warning. */
TEST(nothing_is_bound)
{
    WARNINGS(CREDS("0000000b", HOST) "," RECOVERY, unbound);
    ASSERT_STR(text(unbound), "[]");
}

TEST(signed_policy_is_bound)
{
    WARNINGS(TPM2("0000000a", "[7]", "") "," CREDS("0000000b", SIGNED), all);

    ASSERT_STR(text(all), "[]");
}

TEST(any_boot)
{
    WARNINGS(TPM2("0000000a", "[7]", "") "," CREDS("0000000b", HOST), all);

    ASSERT_EQ(json_object_array_length(all), 1);
    ASSERT_STR(
        json_object_get_string(json_object_array_get_idx(all, 0)),
        "slot 0000000b (systemd-creds) is bound to no PCR: any boot of this machine opens the "
        "store by it, whatever slot 0000000a (tpm2) is bound to");
    /* The warning comes with the later one of the two slots, and not again when one is resealed. */
    ASSERT_EQ(count_of(slots, "0000000a", true), 1);
    ASSERT_EQ(count_of(slots, "0000000b", true), 1);
    ASSERT_EQ(count_of(slots, "0000000a", false), 0);
    ASSERT_EQ(count_of(slots, "0000000b", false), 0);
}

TEST(any_boot_by_the_tpm)
{
    WARNINGS(TPM2("0000000a", "[]", "") "," TPM2("0000000b", "[7]", "") "," RECOVERY, all);

    ASSERT_EQ(json_object_array_length(all), 1);
    ASSERT_TRUE(strstr(text(all), "slot 0000000a (tpm2) is bound to no PCR"));
    ASSERT_EQ(count_of(slots, "0000000c", true), 0);
}

TEST(unmeasured)
{
    WARNINGS(TPM2("0000000a", "[7]", ",\"unmeasured\":[7]") "," TPM2("0000000b", "[4,7,14]",
                                                                     ",\"unmeasured\":[4,14]"),
             all);

    ASSERT_EQ(json_object_array_length(all), 2);
    ASSERT_STR(json_object_get_string(json_object_array_get_idx(all, 0)),
               "slot 0000000a (tpm2) was sealed while nothing was measured into PCR 7 (sha256), so "
               "it is not bound to what this machine boots");
    ASSERT_STR(
        json_object_get_string(json_object_array_get_idx(all, 1)),
        "slot 0000000b (tpm2) was sealed while nothing was measured into PCRs 4, 14 (sha256), "
        "so it is bound only to a part of what this machine boots");
    ASSERT_EQ(count_of(slots, "0000000a", false), 1);
}

/* The slots of a locked store may contain anything. */
TEST(nonsense)
{
    WARNINGS("{},{\"type\":1},{\"type\":\"tpm2\",\"pcrs\":7,\"unmeasured\":{}},"
             "{\"type\":\"tpm2\",\"id\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxx\",\"pcrs\":[\"a\"],"
             "\"unmeasured\":[{},null,1e99,\"b\",0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}",
             all);

    ASSERT_TRUE(json_object_array_length(all) >= 1);
}
