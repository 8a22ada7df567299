/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "credstore/seal/limits.h"
#include "test.h"

#include "credstore/aead.h"
#include "credstore/box.h"
#include "credstore/head.h"

static const uint8_t zero_key[STORE_KEY_SIZE];

/* RFC 5869, A.1; the first 32 bytes of its output. */
TEST(hkdf_expand)
{
    static const uint8_t prk[STORE_KEY_SIZE] = {0x07, 0x77, 0x09, 0x36, 0x2c, 0x2e, 0x32, 0xdf,
                                                0x0d, 0xdc, 0x3f, 0x0d, 0xc4, 0x7b, 0xba, 0x63,
                                                0x90, 0xb6, 0xc7, 0x3b, 0xb5, 0x0f, 0x9c, 0x31,
                                                0x22, 0xec, 0x84, 0x4a, 0xd7, 0xc2, 0xb3, 0xe5};
    static const uint8_t okm[STORE_KEY_SIZE] = {0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a,
                                                0x90, 0x43, 0x4f, 0x64, 0xd0, 0x36, 0x2f, 0x2a,
                                                0x2d, 0x2d, 0x0a, 0x90, 0xcf, 0x1a, 0x5a, 0x4c,
                                                0x5d, 0xb0, 0x2d, 0x56, 0xec, 0xc4, 0xc5, 0xbf};
    _cleanup_(secret_freep) Secret *key = secret_new_copy(prk, sizeof(prk));
    _cleanup_(sealer_freep) Sealer *s = NULL;
    uint8_t got[STORE_KEY_SIZE];

    ASSERT_OK(sealer_new(&s));
    for (int i = 0; i < 2; i++) {
        ASSERT_OK(sealer_derive(s, key, "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9", got));
        ASSERT_MEM(got, okm, sizeof(okm));
    }
}

/* Test case 14 of the GCM specification (McGrew, Viega). */
TEST(aes_256_gcm)
{
    static const uint8_t ciphertext[] = {0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e,
                                         0x07, 0x4e, 0xc5, 0xd3, 0xba, 0xf3, 0x9d, 0x18};
    static const uint8_t tag[SEAL_TAG_SIZE] = {0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99, 0x6b, 0xf0,
                                               0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a, 0xb9, 0x19};
    _cleanup_(freep) SealedBox *box = calloc(1, sizeof(*box) + sizeof(ciphertext));
    _cleanup_(secret_freep) Secret *plain = NULL;
    _cleanup_(sealer_freep) Sealer *s = NULL;

    ASSERT_OK(sealer_new(&s));
    box->size = sizeof(ciphertext);
    memcpy(box->ciphertext, ciphertext, sizeof(ciphertext));
    memcpy(box->tag, tag, sizeof(tag));
    ASSERT_OK(sealer_unseal(s, zero_key, "", 0, box, &plain));
    ASSERT_EQ(plain->size, 16);
    ASSERT_MEM(plain->data, zero_key, 16);
}

TEST(seal_and_unseal)
{
    _cleanup_(secret_freep) Secret *plain = secret_new_copy("a secret", 8), *got = NULL;
    _cleanup_(freep) SealedBox *box = NULL, *second = NULL;
    _cleanup_(sealer_freep) Sealer *s = NULL;
    uint8_t other_key[STORE_KEY_SIZE] = {1};

    ASSERT_OK(sealer_new(&s));
    ASSERT_OK(sealer_seal(s, zero_key, "aad", 3, plain, &box));
    ASSERT_OK(sealer_seal(s, zero_key, "aad", 3, plain, &second));
    ASSERT_TRUE(memcmp(box->nonce, second->nonce, SEAL_NONCE_SIZE) != 0);
    ASSERT_OK(sealer_unseal(s, zero_key, "aad", 3, box, &got));
    ASSERT_TRUE(secret_equal(plain, got));
    got = secret_free(got);

    ASSERT_EQ(sealer_unseal(s, other_key, "aad", 3, box, &got), -EBADMSG);
    ASSERT_EQ(sealer_unseal(s, zero_key, "aae", 3, box, &got), -EBADMSG);
    ASSERT_EQ(sealer_unseal(s, zero_key, "aad", 2, box, &got), -EBADMSG);
    box->tag[SEAL_TAG_SIZE - 1] ^= 1;
    ASSERT_EQ(sealer_unseal(s, zero_key, "aad", 3, box, &got), -EBADMSG);
    box->tag[SEAL_TAG_SIZE - 1] ^= 1;
    box->nonce[0] ^= 1;
    ASSERT_EQ(sealer_unseal(s, zero_key, "aad", 3, box, &got), -EBADMSG);
    ASSERT_TRUE(got == NULL);
    box->nonce[0] ^= 1;
    ASSERT_OK(sealer_unseal(s, zero_key, "aad", 3, box, &got));
}

TEST(one_text_for_a_box)
{
    _cleanup_(freep) SealedBox *box = calloc(1, sizeof(*box) + 4), *got = NULL;
    _cleanup_(freep) char *text = NULL;
    char longer[200];
    size_t size;

    box->size = 4;
    memcpy(box->ciphertext, "\xff\x00\xfe\x01", 4);
    text = calloc(1, box_length(box->size) + 1);
    ASSERT_TRUE(text && box_write(text, box) == text + box_length(box->size));
    ASSERT_STR(text, "{\"nonce\":\"AAAAAAAAAAAAAAAA\",\"ciphertext\":\"/wD+AQ==\","
                     "\"tag\":\"AAAAAAAAAAAAAAAAAAAAAA==\"}");
    size = strlen(text);
    ASSERT_EQ(box_length(4), size);
    ASSERT_OK(box_parse(text, size, &got));
    ASSERT_EQ(got->size, 4);
    ASSERT_MEM(got->ciphertext, box->ciphertext, 4);

    for (size_t i = 0; i < size; i++) {
        _cleanup_(freep) SealedBox *cut = NULL;

        ASSERT_EQ(box_parse(text, i, &cut), -EBADMSG);
        snprintf(longer, sizeof(longer), "%.*s %s", (int)i, text, text + i);
        ASSERT_EQ(box_parse(longer, size + 1, &cut), -EBADMSG);
    }
}

/* A box is found from its end. */
TEST(a_box_at_the_end)
{
    static const char box[] = "{\"nonce\":\"AAAAAAAAAAAAAAAA\",\"ciphertext\":\"/wD+AQ==\","
                              "\"tag\":\"AAAAAAAAAAAAAAAAAAAAAA==\"}";
    char text[400];
    size_t size;

    snprintf(text, sizeof(text), "%s%s", box, box);
    for (size_t before = 1; before <= strlen(box); before++) {
        ASSERT_TRUE(box_find(text + strlen(box) - before, strlen(box) + before, &size));
        ASSERT_EQ(size, strlen(box));
    }
    for (size_t cut = 1; cut < strlen(box); cut++)
        ASSERT_TRUE(!box_find(box + cut, strlen(box) - cut, &size));
}

TEST(a_head)
{
    static const IndexEntry entries[] = {{1, 1}, {0x0123456789abcdef, GENERATION_MAX}};
    _cleanup_(header_done) Header header = {.generation = 7, .slots = json_object_new_array()};
    _cleanup_(secret_freep) Secret *key = secret_new(STORE_KEY_SIZE);
    _cleanup_(freep) IndexEntry *got = NULL;
    _cleanup_(sealer_freep) Sealer *s = NULL;
    _cleanup_(freep) char *text = NULL;
    size_t size, n;
    Head head;

    ASSERT_OK(sealer_new(&s));
    ASSERT_OK(head_format(s, key, &header, entries, 2, &text, &size));
    ASSERT_OK(head_split(text, size, &head));
    ASSERT_EQ(head.size, size);
    ASSERT_OK(head_verify(s, key, text, &head));
    ASSERT_OK(index_parse(text + head.header_size + 1, head.index_size, &got, &n));
    ASSERT_EQ(n, 2);
    ASSERT_MEM(got, entries, sizeof(entries));
    for (size_t i = 0; i < size; i++) {
        Head cut;

        ASSERT_EQ(head_split(text, i, &cut), -EBADMSG);
        text[i] ^= 1;
        if (head_split(text, size, &cut) == 0)
            ASSERT_EQ(head_verify(s, key, text, &cut), -EBADMSG);
        text[i] ^= 1;
    }
    key->data[31] = 1;
    ASSERT_EQ(head_verify(s, key, text, &head), -EBADMSG);
}

TEST(one_text_for_an_index)
{
    static const char *const good[] = {"{}", "{\"0000000000000000\":1}",
                                       "{\"000000000000000f\":1,\"0000000000000010\":99}"};
    static const char *const bad[] = {"",
                                      "{",
                                      "}",
                                      "{} ",
                                      " {}",
                                      "{,}",
                                      "[]",
                                      "{\"0000000000000000\":1,}",
                                      "{\"0000000000000000\":0}",
                                      "{\"0000000000000000\":01}",
                                      "{\"0000000000000000\":-1}",
                                      "{\"0000000000000000\":1.0}",
                                      "{\"0000000000000000\": 1}",
                                      "{\"000000000000000\":1}",
                                      "{\"000000000000000F\":1}",
                                      "{\"0000000000000000\":9007199254740993}",
                                      "{\"0000000000000000\":1 }",
                                      "{\"0000000000000000\":1}{",
                                      "{\"0000000000000001\":1,\"0000000000000001\":1}",
                                      "{\"0000000000000002\":1,\"0000000000000001\":1}",
                                      "{\"0000000000000001\":1;\"0000000000000002\":1}",
                                      "{\"0000000000000001\":1\"0000000000000002\":1}"};
    size_t n;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        _cleanup_(freep) IndexEntry *entries = NULL;

        ASSERT_OK(index_parse(good[i], strlen(good[i]), &entries, &n));
        ASSERT_EQ(n, i);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_(freep) IndexEntry *entries = NULL;

        if (index_parse(bad[i], strlen(bad[i]), &entries, &n) != -EBADMSG)
            TEST_FAIL("%s", bad[i]);
    }
}
