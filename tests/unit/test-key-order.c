/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <time.h>

#include "nvme-keyd/keys/key-order.h"
#include "nvme-keyd/keys/key-rules.h"
#include "test.h"

#define KEYS_MAX 600

typedef struct Fixture {
    KeyOrder order;
    Key *keys[KEYS_MAX];
    size_t n;
    unsigned random;
} Fixture;

static void fixture_done(Fixture *f)
{
    key_order_done(&f->order);
    for (size_t i = 0; i < f->n; i++)
        key_free(f->keys[i]);
}

static Key *new_key(size_t id, const char *hostnqn, const char *subsysnqn)
{
    _cleanup_(key_freep) Key *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    (void)snprintf(k->id, sizeof(k->id), "%016zx", id);
    k->hostnqn = strdup(hostnqn);
    k->subsysnqn = strdup(subsysnqn);
    k->role = KEY_ROLE_HOST;
    k->state = KEY_ACTIVE;
    k->versions = KEY_VERSION_BIT(1);
    return k->hostnqn && k->subsysnqn ? TAKE_PTR(k) : NULL;
}

static bool add(Fixture *f, const char *hostnqn, const char *subsysnqn)
{
    Key *k = new_key(f->n, hostnqn, subsysnqn);

    if (!k || key_order_insert(&f->order, k) < 0)
        return false;
    f->keys[f->n++] = k;
    return true;
}

static const char *shadow_of(Fixture *f, const char *hostnqn, const char *subsysnqn)
{
    _cleanup_(key_freep) Key *k = new_key(KEYS_MAX, hostnqn, subsysnqn);
    const Key *found = k ? key_order_find_shadow(&f->order, k) : NULL;

    return found ? found->subsysnqn : "none";
}

TEST(shadows)
{
    _cleanup_(fixture_done) Fixture f = {.n = 0};

    ASSERT_STR(shadow_of(&f, "nqn.h", "nqn.a"), "none");
    ASSERT_TRUE(add(&f, "nqn.h", "nqn.ab") && add(&f, "nqn.h", "nqn.ac") &&
                add(&f, "nqn.h", "nqn.ba") && add(&f, "nqn.i", "nqn.x"));
    ASSERT_STR(shadow_of(&f, "nqn.h", "nqn.a"), "nqn.ab");
    ASSERT_STR(shadow_of(&f, "nqn.h", "nqn.ac"), "none");
    ASSERT_STR(shadow_of(&f, "nqn.h", "nqn.acx"), "nqn.ac");
    ASSERT_STR(shadow_of(&f, "nqn.h", "nqn.ad"), "none");
    ASSERT_STR(shadow_of(&f, "nqn.h", "nqn.x:1"), "none");
    ASSERT_STR(shadow_of(&f, "nqn.i", "nqn.x:1"), "nqn.x");
    ASSERT_STR(shadow_of(&f, "nqn.", "nqn.ab"), "none");
    /* Other names sort between a name and those that begin with it. */
    ASSERT_TRUE(add(&f, "nqn.h", "nqn.aca") && add(&f, "nqn.h", "nqn.acb"));
    ASSERT_STR(shadow_of(&f, "nqn.h", "nqn.acc"), "nqn.ac");
    /* A revoked key does not count. */
    f.keys[1]->state = KEY_REVOKED;
    ASSERT_STR(shadow_of(&f, "nqn.h", "nqn.acc"), "none");
}

TEST(order)
{
    _cleanup_(fixture_done) Fixture f = {.n = 0};

    ASSERT_TRUE(add(&f, "nqn.h", "nqn.b") && add(&f, "nqn.h", "nqn.a") &&
                add(&f, "nqn.g", "nqn.c") && add(&f, "nqn.h", "nqn.a"));
    key_order_sort(&f.order);
    ASSERT_TRUE(f.order.keys[0] == f.keys[2] && f.order.keys[1] == f.keys[1] &&
                f.order.keys[2] == f.keys[3] && f.order.keys[3] == f.keys[0]);
    key_order_remove(&f.order, f.keys[1]);
    key_order_remove(&f.order, f.keys[1]);
    ASSERT_EQ(f.order.n, 3);
    ASSERT_TRUE(f.order.keys[1] == f.keys[3]);
}

/* A name of a few letters, so that many names begin with others. */
static void random_name(Fixture *f, char ret[static 16])
{
    size_t length;

    f->random = f->random * 1103515245u + 12345u;
    length = 4 + (f->random >> 16) % 6;
    memcpy(ret, "nqn.", 4);
    for (size_t i = 4; i <= length; i++) {
        f->random = f->random * 1103515245u + 12345u;
        ret[i] = (char)('a' + (f->random >> 16) % 3);
    }
    ret[length + 1] = '\0';
}

static bool any_shadow(const Fixture *f, const Key *k)
{
    for (size_t i = 0; i < f->n; i++)
        if (key_shadows(f->keys[i], k) || key_shadows(k, f->keys[i]))
            return true;
    return false;
}

/* Gives the same answer as a look at every key, in any order of insertions and removals. */
TEST(random)
{
    _cleanup_(fixture_done) Fixture f = {.random = 7};
    char name[16];

    for (size_t i = 0; i < KEYS_MAX; i++) {
        Key *found;

        random_name(&f, name);
        if (f.n > 0 && i % 7 == 6) {
            Key *gone = f.keys[--f.n];

            key_order_remove(&f.order, gone);
            key_free(gone);
        }
        ASSERT_TRUE(add(&f, i % 2 ? "nqn.h" : "nqn.i", name));
        if (i % 3 == 0)
            continue;
        found = key_order_find_shadow(&f.order, f.keys[f.n - 1]);
        ASSERT_EQ(found != NULL, any_shadow(&f, f.keys[f.n - 1]));
        ASSERT_TRUE(!found || key_shadows(found, f.keys[f.n - 1]) ||
                    key_shadows(f.keys[f.n - 1], found));
        ASSERT_EQ(f.order.n, f.n);
    }
}
