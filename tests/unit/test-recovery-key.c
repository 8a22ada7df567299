/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <stdint.h>

#include "credstore/seal/limits.h"
#include "test.h"

#include "credstore/seal/recovery-key.h"

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

typedef struct Vector {
    uint8_t key[STORE_KEY_SIZE];
    const char *text;
} Vector;

/* Computed by another implementation, with multiplication of polynomials. */
static const Vector vectors[] = {
    {{0}, "00000-00001-00002-00003-00004-00005-00006-00007-00008-00009-0000A-0000B-0000C"},
    {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
     "ZZZZD-ZZZZC-ZZZZF-ZZZZE-ZZZZ9-ZZZZ8-ZZZZB-ZZZZA-ZZZZ5-ZZZZ4-ZZZZ7-ZZZZ6-ZZZGA"},
    {{0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
      16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31},
     "000GD-40R4X-0M300-E209K-185G3-R38ED-1W811-24GKZ-2GAH1-C5RR2-34D1B-P70XX-3RFGZ"},
    {{0x53, 0xd3, 0xe4, 0x25, 0x32, 0x27, 0x52, 0xd4, 0x17, 0xcb, 0x0b,
      0xd7, 0x0d, 0x9d, 0x43, 0x0e, 0xb3, 0x3a, 0x2e, 0x5b, 0xad, 0x63,
      0x8d, 0x2f, 0x37, 0x07, 0xbb, 0xe7, 0x88, 0x6d, 0xd7, 0x21},
     "AF9YS-899JT-4X9DX-85YBD-1FBG0-V7A35-1TSKD-MBJVB-NNHRW-TBSQN-0YXYR-F23DB-TWGGV"},
};

/* True if text is this key. */
static bool reads_as(const char *text, size_t size, const uint8_t *key)
{
    _cleanup_(secret_freep) Secret *got = NULL;
    unsigned group = 0;

    return recovery_key_parse(text, size, &got, &group) == 0 && got->size == STORE_KEY_SIZE &&
           memcmp(got->data, key, STORE_KEY_SIZE) == 0;
}

/* Returns the group that is reported, 0 for a right key, -1 for text that is no key. */
static int find_wrong(const char *text)
{
    _cleanup_(secret_freep) Secret *got = NULL;
    unsigned group = 0;
    int r = recovery_key_parse(text, strlen(text), &got, &group);

    if (r == 0 || r == -EBADMSG)
        return got ? 0 : (int)group;
    return group == 0 && !got ? -1 : -2;
}

TEST(vectors)
{
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        _cleanup_(secret_freep) Secret *key = secret_new_copy(vectors[i].key, STORE_KEY_SIZE);
        _cleanup_(secret_freep) Secret *text = NULL;

        ASSERT_OK(recovery_key_format(key, &text));
        ASSERT_EQ(text->size, RECOVERY_KEY_LENGTH + 1);
        ASSERT_EQ(text->data[RECOVERY_KEY_LENGTH], 0);
        ASSERT_STR((const char *)text->data, vectors[i].text);
        ASSERT_TRUE(reads_as(vectors[i].text, strlen(vectors[i].text), vectors[i].key));
    }
}

TEST(a_key_has_one_size)
{
    _cleanup_(secret_freep) Secret *shorter = secret_new(STORE_KEY_SIZE - 1);
    _cleanup_(secret_freep) Secret *longer = secret_new(STORE_KEY_SIZE + 1), *text = NULL;

    ASSERT_EQ(recovery_key_format(shorter, &text), -EINVAL);
    ASSERT_EQ(recovery_key_format(longer, &text), -EINVAL);
    ASSERT_TRUE(text == NULL);
}

TEST(what_people_type)
{
    const Vector *v = &vectors[3];
    static const char small[] =
        "af9ys-899jt-4x9dx-85ybd-1fbg0-v7a35-1tskd-mbjvb-nnhrw-tbsqn-0yxyr-f23db-twggv";
    static const char alike[] =
        "af9ys-899jt-4x9dx-85ybd-ifbgO-v7a35-Ltskd-mbjvb-nnhrw-tbsqn-oyxyr-f23db-twggv\n";
    static const char blanks[] =
        " - AF9YS 899JT 4X9DX 85YBD lFBG0 V7A35\r\n1TSKD\tMBJVB NNHRW TBSQN"
        "0 Y X Y R--F23DB-TWG-GV \n\n";
    static const char none[] = "AF9YS899JT4X9DX85YBDIFBG0V7A351TSKDMBJVBNNHRWTBSQN0YXYRF23DBTWGGV";

    ASSERT_TRUE(reads_as(small, strlen(small), v->key));
    ASSERT_TRUE(reads_as(alike, strlen(alike), v->key));
    ASSERT_TRUE(reads_as(blanks, strlen(blanks), v->key));
    ASSERT_TRUE(reads_as(none, strlen(none), v->key));
    /* Without a NUL at the end. */
    ASSERT_TRUE(reads_as(v->text, RECOVERY_KEY_LENGTH, v->key));
}

TEST(not_that_many_characters)
{
    char text[RECOVERY_KEY_LENGTH + 3];

    snprintf(text, sizeof(text), "%s-0", vectors[3].text);
    ASSERT_EQ(find_wrong(text), -1);
    for (size_t n = 0; n < RECOVERY_KEY_LENGTH; n++) {
        text[RECOVERY_KEY_LENGTH - n - 1] = '\0';
        ASSERT_EQ(find_wrong(text), -1);
    }
}

/* Each byte in each place of the first group. */
TEST(all_characters)
{
    static const char separators[] = "- \t\r\n";
    char text[RECOVERY_KEY_LENGTH + 1];

    for (unsigned c = 0; c < 256; c++) {
        int upper = toupper((int)c), same = upper == 'O'                   ? '0'
                                            : upper == 'I' || upper == 'L' ? '1'
                                                                           : upper;
        bool known = c < 128 && same != 0 && strchr(alphabet, same);
        _cleanup_(secret_freep) Secret *got = NULL;
        unsigned group = 0;
        int r;

        memcpy(text, vectors[0].text, sizeof(text));
        text[1] = (char)c;
        r = recovery_key_parse(text, RECOVERY_KEY_LENGTH, &got, &group);
        if (c != 0 && strchr(separators, (int)c))
            ASSERT_EQ(r, -EINVAL);
        else
            ASSERT_EQ(r, !known ? -EINVAL : same == '0' ? 0 : -EBADMSG);
        ASSERT_EQ(group, r == -EBADMSG);
        ASSERT_EQ(got == NULL, r < 0);
    }
}

/* Fills in the text of a random key. */
static void format_random(char ret[static RECOVERY_KEY_LENGTH + 1])
{
    _cleanup_(secret_freep) Secret *key = NULL, *text = NULL;

    if (secret_random(STORE_KEY_SIZE, &key) < 0 || recovery_key_format(key, &text) < 0 ||
        !reads_as((const char *)text->data, RECOVERY_KEY_LENGTH, key->data))
        abort();
    memcpy(ret, text->data, RECOVERY_KEY_LENGTH + 1);
}

#define KEYS 50

TEST(one_wrong_character)
{
    char text[RECOVERY_KEY_LENGTH + 1];

    for (size_t k = 0; k < KEYS; k++) {
        format_random(text);
        for (size_t i = 0; i < RECOVERY_KEY_LENGTH; i++) {
            char right = text[i];

            if (right == '-')
                continue;
            for (const char *c = alphabet; *c; c++) {
                text[i] = *c;
                ASSERT_EQ(find_wrong(text), *c == right ? 0 : (int)(i / 6 + 1));
            }
            text[i] = right;
        }
    }
}

static void swap(char *a, char *b)
{
    char c = *a;

    *a = *b;
    *b = c;
}

TEST(neighbours_swapped)
{
    char text[RECOVERY_KEY_LENGTH + 1];

    for (size_t k = 0; k < KEYS; k++) {
        format_random(text);
        for (size_t i = 0; i + 1 < RECOVERY_KEY_LENGTH; i++) {
            /* The neighbour after a dash. */
            size_t next = text[i + 1] == '-' ? i + 2 : i + 1;

            if (text[i] == '-' || text[i] == text[next])
                continue;
            swap(&text[i], &text[next]);
            ASSERT_EQ(find_wrong(text), i / 6 + 1);
            swap(&text[i], &text[next]);
        }
        ASSERT_EQ(find_wrong(text), 0);
    }
}

TEST(groups_swapped)
{
    char text[RECOVERY_KEY_LENGTH + 1];

    for (size_t k = 0; k < KEYS; k++) {
        format_random(text);
        for (size_t a = 0; a < RECOVERY_KEY_GROUPS; a++)
            for (size_t b = a + 1; b < RECOVERY_KEY_GROUPS; b++) {
                for (size_t i = 0; i < RECOVERY_KEY_GROUP_LENGTH; i++)
                    swap(&text[a * 6 + i], &text[b * 6 + i]);
                ASSERT_EQ(find_wrong(text), a + 1);
                for (size_t i = 0; i < RECOVERY_KEY_GROUP_LENGTH; i++)
                    swap(&text[a * 6 + i], &text[b * 6 + i]);
            }
        ASSERT_EQ(find_wrong(text), 0);
    }
}

/* The last group has four bits more than the key. They must be zero although the check value is
 * right. */
TEST(bits_behind_the_key)
{
    static const char *const last[] = {"000G?", "0001?", "0002?", "0004?", "0008?"};
    char text[RECOVERY_KEY_LENGTH + 1];

    memcpy(text, vectors[0].text, sizeof(text));
    for (size_t i = 0; i < ARRAY_SIZE(last); i++) {
        unsigned accepted = 0;

        memcpy(text + RECOVERY_KEY_LENGTH - RECOVERY_KEY_GROUP_LENGTH, last[i],
               RECOVERY_KEY_GROUP_LENGTH);
        for (const char *c = alphabet; *c; c++) {
            text[RECOVERY_KEY_LENGTH - 1] = *c;
            accepted += find_wrong(text) == 0;
            ASSERT_TRUE(find_wrong(text) == 0 || find_wrong(text) == RECOVERY_KEY_GROUPS);
        }
        ASSERT_EQ(accepted, i == 0);
    }
}
