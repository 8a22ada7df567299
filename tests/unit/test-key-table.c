/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "nvme-keyd/keys/key-table.h"
#include "psk/limits.h"
#include "test.h"

#define MANY 10000u

static void key_table_donep(KeyTable *t)
{
    key_table_done(t);
}

/* Key number n of host h and subsystem s; a broken one if it has no host. */
static Key *new_key(unsigned n, int h, int s)
{
    Key *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    snprintf(k->id, sizeof(k->id), "%016x", n);
    k->state = h < 0 ? KEY_BROKEN : KEY_ACTIVE;
    if (h >= 0 && (asprintf(&k->hostnqn, "nqn.host:%d", h) < 0 ||
                   asprintf(&k->subsysnqn, "nqn.subsystem:%d", s) < 0))
        return key_free(k);
    return k;
}

static Key *insert(KeyTable *t, unsigned n, int h, int s)
{
    _cleanup_(key_freep) Key *k = new_key(n, h, s);

    if (!k || key_table_insert(t, k) < 0)
        return NULL;
    return TAKE_PTR(k);
}

static Key *find(const KeyTable *t, unsigned n)
{
    char id[KEY_ID_SIZE];

    snprintf(id, sizeof(id), "%016x", n);
    return key_table_find(t, id);
}

static Key *pair(const KeyTable *t, int h, int s)
{
    char host[32], subsystem[32];

    snprintf(host, sizeof(host), "nqn.host:%d", h);
    snprintf(subsystem, sizeof(subsystem), "nqn.subsystem:%d", s);
    return key_table_pair(t, host, strlen(host), subsystem, strlen(subsystem));
}

static size_t chain_length(const Key *k)
{
    size_t n = 0;

    for (; k; k = k->next_of_pair)
        n++;
    return n;
}

static bool chain_has(const Key *first, const Key *k)
{
    while (first && first != k)
        first = first->next_of_pair;
    return first;
}

/* The table grows, and stays right while every other key is removed. */
TEST(many)
{
    _cleanup_(key_table_donep) KeyTable t;

    ASSERT_OK(key_table_init(&t));
    for (unsigned i = 0; i < MANY; i++)
        ASSERT_TRUE(insert(&t, i, (int)(i / 100), (int)(i % 100)));
    ASSERT_EQ(key_table_size(&t), MANY);
    for (unsigned i = 0; i < MANY; i++) {
        ASSERT_TRUE(find(&t, i));
        ASSERT_TRUE(pair(&t, (int)(i / 100), (int)(i % 100)) == find(&t, i));
    }
    for (unsigned i = 0; i < MANY; i += 2)
        key_table_remove(&t, find(&t, i));
    ASSERT_EQ(key_table_size(&t), MANY / 2);
    for (unsigned i = 0; i < MANY; i++) {
        ASSERT_EQ(find(&t, i) != NULL, i % 2 == 1);
        ASSERT_EQ(pair(&t, (int)(i / 100), (int)(i % 100)) != NULL, i % 2 == 1);
    }
    for (unsigned i = 1; i < MANY; i += 2)
        key_table_remove(&t, find(&t, i));
    ASSERT_EQ(key_table_size(&t), 0);
    ASSERT_EQ(lh_table_length(t.by_pair), 0);
}

/* Keys are added and removed while their number stays the same, as in a daemon that rotates for
 * years. */
TEST(churn)
{
    _cleanup_(key_table_donep) KeyTable t;

    ASSERT_OK(key_table_init(&t));
    for (unsigned i = 0; i < 16; i++)
        ASSERT_TRUE(insert(&t, i, 0, (int)i));
    for (unsigned i = 16; i < MANY; i++) {
        ASSERT_TRUE(insert(&t, i, 0, (int)(i % 16)));
        ASSERT_EQ(chain_length(pair(&t, 0, (int)(i % 16))), 2);
        key_table_remove(&t, find(&t, i - 16));
        ASSERT_TRUE(pair(&t, 0, (int)(i % 16)) == find(&t, i));
    }
    ASSERT_EQ(key_table_size(&t), 16);
    ASSERT_EQ(lh_table_length(t.by_pair), 16);
}

/* Of three keys of one pair each is removed once, from each place in the chain. */
TEST(chain)
{
    for (size_t place = 0; place < 3; place++) {
        _cleanup_(key_table_donep) KeyTable t;
        Key *gone;

        ASSERT_OK(key_table_init(&t));
        ASSERT_TRUE(insert(&t, 9, 1, 2));
        for (unsigned i = 0; i < 3; i++)
            ASSERT_TRUE(insert(&t, i, 1, 1));
        gone = pair(&t, 1, 1);
        ASSERT_EQ(chain_length(gone), 3);
        for (size_t i = 0; i < place; i++)
            gone = gone->next_of_pair;

        key_table_remove(&t, gone);
        ASSERT_EQ(chain_length(pair(&t, 1, 1)), 2);
        ASSERT_TRUE(!chain_has(pair(&t, 1, 1), gone));
        ASSERT_EQ(chain_length(pair(&t, 1, 2)), 1);
        ASSERT_EQ(key_table_size(&t), 3);
        while (pair(&t, 1, 1))
            key_table_remove(&t, pair(&t, 1, 1));
        ASSERT_EQ(key_table_size(&t), 1);
        ASSERT_TRUE(find(&t, 9) == pair(&t, 1, 2));
    }
}

/* No two pairs have the same name, wherever blanks fall. */
TEST(pair_names)
{
    _cleanup_(key_table_donep) KeyTable t;
    char longer[NQN_LENGTH_MAX + 2];

    ASSERT_OK(key_table_init(&t));
    ASSERT_TRUE(insert(&t, 1, 1, 1));
    ASSERT_TRUE(key_table_pair(&t, "nqn.host:1", 10, "nqn.subsystem:1", 15));
    /* Not terminated: the text continues. */
    ASSERT_TRUE(key_table_pair(&t, "nqn.host:1 x", 10, "nqn.subsystem:1;", 15));
    ASSERT_TRUE(!key_table_pair(&t, "nqn.host:1", 9, "nqn.subsystem:1", 15));
    ASSERT_TRUE(!key_table_pair(&t, "nqn.host:1", 10, "nqn.subsystem:1", 14));
    ASSERT_TRUE(!key_table_pair(&t, "", 0, "", 0));
    memset(longer, 'x', sizeof(longer));
    ASSERT_TRUE(!key_table_pair(&t, longer, sizeof(longer), "nqn.subsystem:1", 15));
    ASSERT_TRUE(!key_table_pair(&t, "nqn.host:1", 10, longer, sizeof(longer)));
}

TEST(broken)
{
    _cleanup_(key_table_donep) KeyTable t;
    Key *k;
    size_t n = 0;

    ASSERT_OK(key_table_init(&t));
    ASSERT_TRUE(insert(&t, 1, -1, -1));
    ASSERT_TRUE(insert(&t, 2, 1, 1));
    ASSERT_TRUE(find(&t, 1));
    ASSERT_EQ(lh_table_length(t.by_pair), 1);
    KEY_TABLE_FOREACH(&t, k)
    {
        n += k->state == KEY_BROKEN ? 10 : 1;
    }
    ASSERT_EQ(n, 11);
    key_table_remove(&t, find(&t, 1));
    ASSERT_TRUE(!find(&t, 1));
    ASSERT_TRUE(pair(&t, 1, 1));
}

/* NQNs beyond all limits are refused: the caller keeps the key, and the table is unchanged. */
TEST(refused)
{
    _cleanup_(key_table_donep) KeyTable t;
    _cleanup_(key_freep) Key *k = new_key(1, 1, 1);
    char longer[NQN_LENGTH_MAX + 2];

    ASSERT_TRUE(k);
    ASSERT_OK(key_table_init(&t));
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    free(k->subsysnqn);
    k->subsysnqn = strdup(longer);
    ASSERT_TRUE(key_table_insert(&t, k) < 0);
    ASSERT_EQ(key_table_size(&t), 0);
    ASSERT_TRUE(!find(&t, 1));
}

/* How often each key was listed. */
typedef struct Seen {
    unsigned times[2 * MANY];
} Seen;

static void take(KeyCursor *c, Seen *seen, size_t n)
{
    const Key *k;

    while (n-- > 0 && (k = key_cursor_take(c)))
        seen->times[strtoul(k->id, NULL, 16)]++;
}

/* Lists while keys are added and removed, among them the next one and the last one; the table
 * grows. */
TEST(cursor)
{
    _cleanup_(freep) Seen *seen = calloc(1, sizeof(*seen));
    _cleanup_(key_table_donep) KeyTable t;
    KeyCursor c;

    ASSERT_OK(key_table_init(&t));
    for (unsigned i = 0; i < MANY; i++)
        ASSERT_TRUE(insert(&t, i, 0, (int)i));
    key_cursor_begin(&c, &t);
    for (unsigned i = 0; i < MANY; i++) {
        take(&c, seen, 1);
        ASSERT_TRUE(i < MANY / 2 || insert(&t, MANY + i, 1, (int)i));
        /* Removes a key that was listed, the next one, or one much later. */
        if (i % 10 == 3)
            key_table_remove(&t, find(&t, i % 3 == 0 ? i - 1 : i % 3 == 1 ? i + 1 : MANY - i));
        if (!c.next)
            break;
    }
    take(&c, seen, SIZE_MAX);
    key_cursor_done(&c);
    ASSERT_TRUE(!t.cursors && !c.stale);
    for (unsigned i = 0; i < 2 * MANY; i++)
        ASSERT_TRUE(seen->times[i] == 1 || (seen->times[i] == 0 && (i >= MANY || !find(&t, i))));
}

TEST(cursors)
{
    _cleanup_(freep) Seen *seen = calloc(1, sizeof(*seen));
    _cleanup_(key_table_donep) KeyTable t;
    KeyCursor c[3];

    ASSERT_OK(key_table_init(&t));
    key_cursor_begin(&c[0], &t);
    ASSERT_TRUE(!key_cursor_take(&c[0]));
    key_cursor_done(&c[0]);
    for (unsigned i = 0; i < 3; i++)
        ASSERT_TRUE(insert(&t, i, 0, (int)i));
    for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
        key_cursor_begin(&c[i], &t);
        take(&c[i], seen, i + 1);
    }
    key_cursor_done(&c[1]);
    key_table_remove(&t, find(&t, 1));
    key_table_remove(&t, find(&t, 2));
    ASSERT_TRUE(!key_cursor_take(&c[0]) && !c[0].stale);
    key_cursor_done(&c[0]);
    ASSERT_TRUE(!key_cursor_take(&c[2]));
    key_cursor_done(&c[2]);
    ASSERT_TRUE(!t.cursors);
}

/* Reloaded keys could be listed twice or not at all, so the cursor ends. */
TEST(cursor_stale)
{
    _cleanup_(key_table_donep) KeyTable t;
    KeyCursor c;

    ASSERT_OK(key_table_init(&t));
    ASSERT_TRUE(insert(&t, 1, 0, 1));
    ASSERT_TRUE(insert(&t, 2, 0, 2));
    key_cursor_begin(&c, &t);
    ASSERT_TRUE(key_cursor_take(&c));
    key_table_remove_all(&t, true);
    ASSERT_TRUE(!c.stale && c.next);
    key_table_remove_all(&t, false);
    ASSERT_TRUE(c.stale && !key_cursor_take(&c));
    key_cursor_done(&c);
}
