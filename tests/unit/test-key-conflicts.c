/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <time.h>

#include "nvme-keyd/keys/key-conflicts.h"
#include "nvme-keyd/keys/key-rules.h"
#include "test.h"

#define HOST "nqn.2026-11.org.example:host"
#define CNODE "nqn.2016-06.io.spdk:cnode"

typedef struct Fixture {
    KeyOrder new;
    KeyTable table;
    Key **keys; /* the new ones */
    size_t n, n_kept;
    Conflicts found;
} Fixture;

static int unseal(_unused_ const Key *k, _unused_ void *userdata, _unused_ Secret **ret)
{
    return -EIO;
}

static const KeySource source = {unseal, NULL, true};

static void fixture_done(Fixture *f)
{
    key_conflicts_done(&f->found);
    key_order_done(&f->new);
    key_table_done(&f->table);
    for (size_t i = 0; i < f->n; i++)
        key_free(f->keys[i]);
    free(f->keys);
}

#define FIXTURE                                                                                    \
    _cleanup_(fixture_done) Fixture f = {.n = 0};                                                  \
    ASSERT_OK(key_table_init(&f.table))

/* version 1 of SHA-256 for a configured PSK with the digest of a seed */
static Key *new_key(size_t id, const char *subsysnqn, unsigned versions, PskHash hash)
{
    _cleanup_(key_freep) Key *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    (void)snprintf(k->id, sizeof(k->id), "%016zx", id);
    k->hostnqn = strdup(HOST);
    k->subsysnqn = strdup(subsysnqn);
    k->role = KEY_ROLE_HOST;
    k->state = KEY_ACTIVE;
    k->versions = versions;
    k->kind = KEY_DERIVED;
    k->hash = hash;
    return k->hostnqn && k->subsysnqn ? TAKE_PTR(k) : NULL;
}

static bool add(Fixture *f, const char *subsysnqn, unsigned versions, PskHash hash)
{
    Key *k = new_key(f->n, subsysnqn, versions, hash);

    f->keys = reallocarray(f->keys, f->n + 1, sizeof(*f->keys));
    if (!k || !f->keys || key_order_insert(&f->new, k) < 0)
        return false;
    f->keys[f->n++] = k;
    return true;
}

static bool add_kept(Fixture *f, const char *subsysnqn, unsigned versions, PskHash hash)
{
    Key *k = new_key(0xa000000000000000 + f->n_kept++, subsysnqn, versions, hash);

    if (!k)
        return false;
    k->source = &source;
    if (key_table_insert(&f->table, k) == 0)
        return true;
    key_free(k);
    return false;
}

static int find_with(Fixture *f, const KeyCheck *check)
{
    key_conflicts_done(&f->found);
    return key_conflicts_find(&f->new, &f->table, check, &f->found);
}

static int find(Fixture *f)
{
    return find_with(f, &(KeyCheck){.force = false});
}

#define V0 KEY_VERSION_BIT(0)
#define V1 KEY_VERSION_BIT(1)
#define SHORT_HASH PSK_HASH_SHA256
#define LONG_HASH PSK_HASH_SHA384

/* Whose key the kernel takes, by the order of its search: version, hash, and then the name. */
TEST(order_of_search)
{
    static const struct {
        unsigned versions, longer_versions;
        PskHash hash, longer_hash;
        const char *text; /* NULL: no conflict */
    } cases[] = {
        {V1, V1, SHORT_HASH, SHORT_HASH, "may take this key instead of the key for " CNODE "1,"},
        {V1, V1, SHORT_HASH, LONG_HASH, "the kernel takes this key instead of the key for "},
        {V0, V1, LONG_HASH, SHORT_HASH, "the kernel takes this key instead of the key for "},
        {V0, V0, SHORT_HASH, SHORT_HASH, "may take this key"},
        {V1, V1, LONG_HASH, SHORT_HASH, NULL},
        {V1, V0, SHORT_HASH, LONG_HASH, NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(freep) char *text = NULL;
        FIXTURE;

        ASSERT_TRUE(add(&f, CNODE "1", cases[i].versions, cases[i].hash) &&
                    add(&f, CNODE "10", cases[i].longer_versions, cases[i].longer_hash));
        ASSERT_OK(find(&f));
        ASSERT_EQ(f.found.n, cases[i].text ? 1 : 0);
        if (!cases[i].text)
            continue;
        ASSERT_EQ(key_conflict_detail(&f.found.items[0], &text), -ENOTUNIQ);
        if (!strstr(text, cases[i].text))
            TEST_FAIL("case %zu: %s", i, text);
    }
}

/* The new key is named first, whichever of them the kernel takes. */
TEST(with_the_table)
{
    _cleanup_(freep) char *loses = NULL, *wins = NULL;
    FIXTURE;

    ASSERT_TRUE(add_kept(&f, CNODE "1", V1, SHORT_HASH) &&
                add_kept(&f, CNODE "100", V1, LONG_HASH) && add(&f, CNODE "10", V1, SHORT_HASH));
    ASSERT_OK(find(&f));
    ASSERT_EQ(f.found.n, 2);
    (void)key_conflict_detail(&f.found.items[0], &wins);
    (void)key_conflict_detail(&f.found.items[1], &loses);
    ASSERT_TRUE(strstr(wins, "may take this key instead of key a000000000000000 for " CNODE "1,"));
    ASSERT_TRUE(strstr(loses, "takes key a000000000000001 for " CNODE "100 instead of this one"));
}

TEST(pair)
{
    _cleanup_(freep) char *text = NULL;
    FIXTURE;

    /* another hash; the same version and hash, twice; and the kept one of version 0 */
    ASSERT_TRUE(add_kept(&f, CNODE "1", V0, SHORT_HASH) && add(&f, CNODE "1", V1, SHORT_HASH) &&
                add(&f, CNODE "1", V1, LONG_HASH) && add(&f, CNODE "1", V1, SHORT_HASH) &&
                add(&f, CNODE "1", V0, SHORT_HASH));
    ASSERT_OK(find(&f));
    ASSERT_EQ(f.found.n, 3);
    ASSERT_EQ(f.found.items[0].reason, CONFLICT_HASH);
    ASSERT_TRUE(f.found.items[0].loser == f.keys[0]);
    ASSERT_EQ(key_conflict_detail(&f.found.items[0], &text), -EEXIST);
    ASSERT_TRUE(strstr(text, "that of SHA-384"));
    ASSERT_EQ(f.found.items[1].reason, CONFLICT_EXISTS);
    ASSERT_TRUE(f.found.items[1].key == f.keys[2] && f.found.items[1].other == f.keys[0]);
    ASSERT_EQ(f.found.items[2].reason, CONFLICT_EXISTS);
    ASSERT_TRUE(f.found.items[2].key == f.keys[3] && f.found.items[2].other->source);
}

/* By the subsystem in whose search the wrong key is found, and by no other name. */
TEST(force_for)
{
    static const char *const loser[] = {CNODE "1"}, *const winner[] = {CNODE "10"};
    FIXTURE;

    ASSERT_TRUE(add(&f, CNODE "1", V1, SHORT_HASH) && add(&f, CNODE "10", V1, SHORT_HASH) &&
                add(&f, CNODE "1", V1, SHORT_HASH));
    ASSERT_OK(find_with(&f, &(KeyCheck){.force_for = winner, .n_force_for = 1}));
    ASSERT_EQ(f.found.n, 2);
    ASSERT_OK(find_with(&f, &(KeyCheck){.force_for = loser, .n_force_for = 1}));
    ASSERT_EQ(f.found.n, 1);
    ASSERT_EQ(f.found.n_forced, 1);
    ASSERT_EQ(f.found.items[0].reason, CONFLICT_EXISTS);
    /* Nothing forces two PSKs of one pair. */
    ASSERT_OK(find_with(&f, &(KeyCheck){.force = true}));
    ASSERT_EQ(f.found.n, 1);
}

/* A kernel that compares whole names confuses none. */
TEST(exact_kernel)
{
    FIXTURE;

    ASSERT_TRUE(add(&f, CNODE "1", V1, SHORT_HASH) && add(&f, CNODE "10", V1, SHORT_HASH) &&
                add_kept(&f, CNODE "100", V1, SHORT_HASH));
    ASSERT_OK(find(&f));
    ASSERT_EQ(f.found.n, 3);
    ASSERT_OK(find_with(&f, &(KeyCheck){.kernel_is_exact = true}));
    ASSERT_EQ(f.found.n, 0);
}

/* Adds names that are numbered from first on; every second one to the table. */
static bool add_numbered(Fixture *f, size_t first, size_t n)
{
    char name[64];

    for (size_t i = first; i < first + n; i++) {
        (void)snprintf(name, sizeof(name), CNODE "%zu", i);
        if (!(i % 2 ? add : add_kept)(f, name, V1, SHORT_HASH))
            return false;
    }
    return true;
}

/* Each pair that a look at every two keys finds, once. */
TEST(all_pairs)
{
    size_t expected = 0, i = 0;
    FIXTURE;

    ASSERT_TRUE(add_numbered(&f, 1, 400));
    ASSERT_OK(find(&f));
    for (size_t a = 0; a < f.n; a++) {
        const Key *kept;

        for (size_t b = 0; b < a; b++)
            expected += key_shadows(f.keys[a], f.keys[b]) || key_shadows(f.keys[b], f.keys[a]);
        KEY_TABLE_FOREACH(&f.table, kept)
        {
            expected += key_shadows(f.keys[a], kept) || key_shadows(kept, f.keys[a]);
        }
    }
    ASSERT_TRUE(expected > 300);
    ASSERT_EQ(f.found.n, expected);
    for (i = 1; i < f.found.n; i++) {
        const Conflict *c = &f.found.items[i - 1], *d = &f.found.items[i];

        ASSERT_TRUE(c->key != d->key || c->other != d->other);
        ASSERT_TRUE(strcmp(c->key->id, d->key->id) <= 0);
    }
}

static double seconds(size_t n)
{
    _cleanup_(fixture_done) Fixture f = {.n = 0};
    double best = 1e9;

    if (key_table_init(&f.table) < 0 || !add_numbered(&f, 1, 2 * n))
        return -1;
    for (int i = 0; i < 3; i++) {
        clock_t before = clock();

        if (find(&f) < 0 || f.found.n == 0)
            return -1;
        if ((double)(clock() - before) < best)
            best = (double)(clock() - before);
    }
    return best;
}

/* 10,000 new keys beside 10,000 in the table take little more than ten times as long as 1,000
 * beside 1,000; a look at every two keys would take a hundred times as long. */
TEST(ratio)
{
    double few = seconds(1000), many = seconds(10000);

    ASSERT_TRUE(few > 0 && many > 0);
    if (many > 40 * few)
        TEST_FAIL("%.0f times as long", many / few);
}

/* Names that each begin with all before them: the search ends at its limit. */
TEST(limit)
{
    char name[224];
    FIXTURE;

    strcpy(name, "nqn.x:");
    for (size_t i = 6; i < sizeof(name) - 1; i++) {
        name[i] = 'a';
        name[i + 1] = '\0';
        for (unsigned v = 0; v < 2; v++)
            ASSERT_TRUE(add(&f, name, KEY_VERSION_BIT(v), SHORT_HASH) &&
                        add_kept(&f, name, KEY_VERSION_BIT(v), LONG_HASH));
    }
    ASSERT_OK(find(&f));
    ASSERT_EQ(f.found.n, CONFLICTS_MAX);
    ASSERT_TRUE(f.found.more);
}
