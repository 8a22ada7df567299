/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "basic/encoding.h"
#include "basic/json.h"
#include "credstore/seal/tpm2/object.h"
#include "test.h"

static const char *member(json_object *slot, const char *key)
{
    const char *text = NULL;

    return json_get_string(slot, key, &text) > 0 ? text : NULL;
}

/* The slot of no TPM, as a parser sees it. */
static json_object *sample(void)
{
    Tpm2Object slot = {.srk_name = {.size = 34, .name = {0x00, 0x0b}},
                       .bank = TPM2_ALG_SHA256,
                       .pcrs = 1 << 7,
                       .public = tpm2_sealed_template,
                       .private = {.size = 160}};
    json_object *object = json_object_new_object();

    slot.public.publicArea.authPolicy = (TPM2B_DIGEST){.size = 32, .buffer = {1}};
    slot.public.publicArea.unique.keyedHash.size = 32;
    return tpm2_object_format(&slot, object) < 0 ? NULL : object;
}

/* The same, bound to no PCR. */
static json_object *unbound_sample(void)
{
    json_object *object = sample();
    Tpm2Object slot;

    if (tpm2_object_parse(object, &slot) < 0)
        return object;
    json_object_put(object);
    object = json_object_new_object();
    slot.pcrs = 0;
    slot.public.publicArea.authPolicy.buffer[0] = 0;
    return tpm2_object_format(&slot, object) < 0 ? NULL : object;
}

/* Parses the sample with one member replaced; NULL removes it. */
static int parse_with(const char *key, const char *json)
{
    _cleanup_(json_putp) json_object *object = sample();
    Tpm2Object slot;

    json_object_object_del(object, key);
    if (json && json_object_object_add(object, key, json_tokener_parse(json)) < 0)
        return -ENOMEM;
    return tpm2_object_parse(object, &slot);
}

TEST(parse)
{
    _cleanup_(json_putp) json_object *object = sample(), *again = json_object_new_object();
    Tpm2Object slot;

    ASSERT_OK(tpm2_object_parse(object, &slot));
    ASSERT_EQ(slot.bank, TPM2_ALG_SHA256);
    ASSERT_EQ(slot.pcrs, 1 << 7);
    ASSERT_EQ(slot.srk_name.size, 34);
    ASSERT_EQ(slot.private.size, 160);
    ASSERT_OK(tpm2_object_format(&slot, again));
    ASSERT_TRUE(json_object_equal(object, again));

    ASSERT_OK(parse_with("pcrs", "[0, 7, 23]"));
    ASSERT_OK(parse_with("bank", "\"sha1\""));
    ASSERT_OK(parse_with("bank", "\"sha384\""));
    ASSERT_OK(parse_with("unmeasured", "[7]"));
    ASSERT_OK(parse_with("unknown", "1"));
}

TEST(parse_of_no_pcr)
{
    _cleanup_(json_putp) json_object *object = unbound_sample(), *bound = sample();
    Tpm2Object slot;

    ASSERT_TRUE(!json_object_object_get_ex(object, "bank", NULL));
    ASSERT_OK(tpm2_object_parse(object, &slot));
    ASSERT_EQ(slot.pcrs, 0);
    ASSERT_EQ(slot.bank, TPM2_ALG_NULL);

    /* It has no bank and an empty policy, and no other object may have an empty one. */
    ASSERT_OK(json_object_object_add(object, "bank", NULL));
    ASSERT_EQ(tpm2_object_parse(object, &slot), -EBADMSG);
    ASSERT_OK(json_add_string(object, "bank", "sha256"));
    ASSERT_EQ(tpm2_object_parse(object, &slot), -EBADMSG);
    ASSERT_OK(json_object_object_add(object, "pcrs", json_tokener_parse("[7]")));
    ASSERT_EQ(tpm2_object_parse(object, &slot), -EBADMSG);
    json_object_object_del(bound, "bank");
    ASSERT_OK(json_object_object_add(bound, "pcrs", json_tokener_parse("[]")));
    ASSERT_EQ(tpm2_object_parse(bound, &slot), -EBADMSG);
}

TEST(parse_refuses)
{
    static const char *const keys[] = {"srkName", "bank", "pcrs", "public", "private"};
    static const char *const pcrs[] = {"[]",      "[24]",  "[-1]",   "[7, 7]", "[8, 7]",
                                       "[\"7\"]", "[7.0]", "[null]", "7",      "[4294967303]"};
    static const char *const banks[] = {"\"\"", "\"sha512\"", "\"SHA256\"", "11"};
    static const char *const blobs[] = {"\"\"",           "\"A\"",     "\"AAAA\"",
                                        "\"AAA\\u0000\"", "\"AAAA \"", "1"};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        ASSERT_EQ(parse_with(keys[i], NULL), -EBADMSG);
        ASSERT_EQ(parse_with(keys[i], "null"), -EBADMSG);
        ASSERT_EQ(parse_with(keys[i], "{}"), -EBADMSG);
    }
    for (size_t i = 0; i < ARRAY_SIZE(pcrs); i++) {
        ASSERT_EQ(parse_with("pcrs", pcrs[i]), -EBADMSG);
        ASSERT_EQ(parse_with("unmeasured", pcrs[i]), -EBADMSG);
    }
    ASSERT_EQ(parse_with("unmeasured", "[8]"), -EBADMSG);
    for (size_t i = 0; i < ARRAY_SIZE(banks); i++)
        ASSERT_EQ(parse_with("bank", banks[i]), -EBADMSG);
    for (size_t i = 0; i < ARRAY_SIZE(blobs); i++) {
        ASSERT_EQ(parse_with("public", blobs[i]), -EBADMSG);
        ASSERT_EQ(parse_with("private", blobs[i]), -EBADMSG);
    }
}

/* Parses the sample with this member cut to size and one bit flipped. */
static int parse_cut(const char *key, size_t size, size_t flip)
{
    _cleanup_(json_putp) json_object *object = sample();
    uint8_t blob[1024];
    char text[BASE64_LENGTH(sizeof(blob)) + 1];
    size_t have;
    Tpm2Object slot;

    if (base64_decode(member(object, key), strlen(member(object, key)), blob, sizeof(blob), &have) <
        0)
        return -EINVAL;
    if (size > have + 1)
        return -ERANGE;
    blob[have] = 0;
    blob[flip] ^= 0x40;
    base64_encode(blob, size, text);
    if (json_add_string(object, key, text) < 0)
        return -ENOMEM;
    return tpm2_object_parse(object, &slot);
}

TEST(parse_refuses_other_objects)
{
    static const size_t unused = 1000;
    int r = -EBADMSG;

    for (size_t n = 0; r != -ERANGE; n++) {
        r = parse_cut("public", n, unused);
        if (r == 0)
            ASSERT_EQ(n, 2 + 2 + 2 + 4 + 34 + 2 + 34);
        else if (r != -ERANGE)
            ASSERT_EQ(r, -EBADMSG);
    }
    r = -EBADMSG;
    for (size_t n = 0; r != -ERANGE; n++) {
        r = parse_cut("private", n, unused);
        if (r == 0)
            ASSERT_EQ(n, 2 + 160);
        else if (r != -ERANGE)
            ASSERT_EQ(r, -EBADMSG);
    }
    /* Size, type, name algorithm, attributes, policy size, scheme. */
    for (size_t i = 0; i < 12; i++)
        ASSERT_EQ(parse_cut("public", 80, i), -EBADMSG);
    for (size_t i = 44; i < 48; i++)
        ASSERT_EQ(parse_cut("public", 80, i), -EBADMSG);
}
