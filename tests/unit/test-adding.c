/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/random.h>

#include "life-fixture.h"

/* Keys that are added together are one commit, and each gets the answer that it would have got
 * alone. */

#define NAME(n) "nqn.2026-11.org.example:batch-" #n

/* One addition, and what became of it. */
typedef struct Added {
    const char *subsysnqn;
    bool force;
    uint8_t seed; /* of its PSK; 0: one without bytes, which is refused */
    Manager *m;
    unsigned calls;
    int error;
    bool in_table;        /* a key of its pair, when it was told */
    char id[KEY_ID_SIZE]; /* of the key, or of the one in the way */
    char *detail;
} Added;

#define ADDED(...)                                                                                 \
    {                                                                                              \
        __VA_ARGS__, .error = -EINPROGRESS                                                         \
    }

static bool in_table(Manager *m, const Added *a)
{
    return key_table_pair(manager_keys(m), HOST, strlen(HOST), a->subsysnqn, strlen(a->subsysnqn));
}

static void on_added(int error, Key *k, const char *detail, void *userdata)
{
    Added *a = userdata;

    a->calls++;
    a->error = error;
    a->in_table = in_table(a->m, a);
    a->detail = detail ? strdup(detail) : NULL;
    strcpy(a->id, k ? k->id : "");
    if (error < 0)
        printf("# %s: %s\n", a->subsysnqn, detail ? detail : strerror(-error));
}

/* The disk works again once the first one has failed. */
static void on_added_or_repair(int error, Key *k, const char *detail, void *userdata)
{
    on_added(error, k, detail, userdata);
    commits_fail = false;
}

static void add(Fixture *f, Added *a, ManagerAdded done)
{
    _cleanup_(secret_freep) Secret *psk = fixture_psk(a->seed);
    const KeyRequest q = {.hostnqn = HOST,
                          .subsysnqn = a->subsysnqn,
                          .role = KEY_ROLE_HOST,
                          .versions = KEY_VERSION_BIT(1),
                          .hash = PSK_HASH_SHA256,
                          .force = a->force,
                          .configured = psk};

    a->m = f->m;
    manager_add(f->m, &q, done, a);
}

static void add_all(Fixture *f, Added *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        add(f, &a[i], on_added);
}

static void forget(Added *a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(a[i].detail);
        a[i] = (Added){.subsysnqn = a[i].subsysnqn, .seed = a[i].seed, .error = -EINPROGRESS};
    }
}

/* True if n additions have ended with this error, and each was told once, when its key was added or
 * gone. */
static bool ended(const Added *a, size_t n, int error)
{
    for (size_t i = 0; i < n; i++)
        if (a[i].calls != 1 || a[i].error != error || !a[i].id[0] != (error != 0) ||
            a[i].in_table != (error == 0) || !a[i].detail != (error == 0))
            return false;
    return true;
}

/* True if the next instance has the keys of all additions, and the ring has them as well. */
static bool all_kept(Fixture *f, const Added *a, size_t n)
{
    if (!life_restart(f))
        return false;
    for (size_t i = 0; i < n; i++)
        if (life_state(f, a[i].id) != KEY_ACTIVE || !life_in_ring(f, a[i].id))
            return false;
    return true;
}

/* A store with one key. The locked memory that it takes is left out of all counts. */
#define ADDING                                                                                     \
    char first[KEY_ID_SIZE];                                                                       \
    _unused_ size_t used;                                                                          \
    LIFE;                                                                                          \
                                                                                                   \
    ASSERT_TRUE(life_add(&f, KEY_ROLE_HOST, 1, first));                                            \
    n_commits = 0;                                                                                 \
    used = CRYPTO_secure_used()

TEST(one_commit)
{
    Added a[] = {ADDED(NAME(1), .seed = 1), ADDED(NAME(2), .seed = 2), ADDED(NAME(3), .seed = 3)};
    ADDING;

    add_all(&f, a, ARRAY_SIZE(a));
    /* Nothing has happened yet but in the table. */
    ASSERT_EQ(n_commits, 0);
    ASSERT_EQ(ring_size(), 1);
    ASSERT_EQ(a[0].calls + a[1].calls + a[2].calls, 0);
    ASSERT_TRUE(CRYPTO_secure_used() > used);
    manager_commit(f.m);
    ASSERT_EQ(n_commits, 1);
    ASSERT_TRUE(ended(a, ARRAY_SIZE(a), 0));
    ASSERT_EQ(CRYPTO_secure_used(), used);
    for (size_t i = 0; i < ARRAY_SIZE(a); i++) {
        ASSERT_TRUE(life_in_ring(&f, a[i].id) && fixture_keeps(&f, life_find(&f, a[i].id)));
        ASSERT_EQ(life_find(&f, a[i].id)->generation, 1);
    }
    manager_commit(f.m);
    ASSERT_EQ(n_commits, 1);
    ASSERT_EQ(fixture_keys(&f), 4);
    ASSERT_TRUE(all_kept(&f, a, ARRAY_SIZE(a)));
    ASSERT_EQ(ring_size(), 4);
    forget(a, ARRAY_SIZE(a));
}

/* A key that is refused, by its own fault or by a key that was there before, is answered at once
 * and disturbs no other. */
TEST(refused)
{
    Added a[] = {ADDED("no NQN", .seed = 1), ADDED(NAME(1), .seed = 1), ADDED(SUBSYSTEM, .seed = 2),
                 ADDED(NAME(2), .seed = 2), ADDED("nqn.", .seed = 3)};
    ADDING;

    add_all(&f, a, ARRAY_SIZE(a));
    ASSERT_TRUE(a[0].calls == 1 && a[0].error == -EINVAL && a[0].detail);
    ASSERT_TRUE(a[2].calls == 1 && a[2].error == -EEXIST && strcmp(a[2].id, first) == 0);
    ASSERT_TRUE(a[4].calls == 1 && a[4].error == -EINVAL);
    ASSERT_EQ(a[1].calls + a[3].calls + n_commits, 0);
    manager_commit(f.m);
    ASSERT_EQ(n_commits, 1);
    ASSERT_TRUE(ended(&a[1], 1, 0) && ended(&a[3], 1, 0));
    ASSERT_EQ(fixture_keys(&f), 3);
    ASSERT_EQ(CRYPTO_secure_used(), used);
    ASSERT_TRUE(all_kept(&f, &a[1], 1) && all_kept(&f, &a[3], 1));
    forget(a, ARRAY_SIZE(a));
}

/* A refused key alone leaves no transaction open. */
TEST(refused_alone)
{
    Added a = ADDED(SUBSYSTEM, .seed = 2);
    ADDING;

    add(&f, &a, on_added);
    ASSERT_EQ(a.error, -EEXIST);
    ASSERT_OK(life_retire(&f, first, true));
    ASSERT_EQ(n_commits, 1);
    forget(&a, 1);
}

/* A failed commit is the error of each, and leaves nothing behind: then all of it works again. */
TEST(fails)
{
    Added a[] = {ADDED(NAME(1), .seed = 1), ADDED(NAME(2), .seed = 2), ADDED(NAME(3), .seed = 3)};
    ADDING;

    for (int n = 0; n < 2; n++) {
        commits_fail = true;
        add_all(&f, a, ARRAY_SIZE(a));
        manager_commit(f.m);
        commits_fail = false;
        ASSERT_TRUE(ended(a, ARRAY_SIZE(a), -EIO));
        ASSERT_TRUE(strstr(a[2].detail, "cannot write the store"));
        ASSERT_EQ(fixture_keys(&f), 1);
        ASSERT_EQ(ring_size(), 1);
        ASSERT_EQ(CRYPTO_secure_used(), used);
        for (size_t i = 0; i < ARRAY_SIZE(a); i++)
            ASSERT_TRUE(!in_table(f.m, &a[i]));
        forget(a, ARRAY_SIZE(a));
    }
    add_all(&f, a, ARRAY_SIZE(a));
    manager_commit(f.m);
    ASSERT_TRUE(ended(a, ARRAY_SIZE(a), 0));
    ASSERT_EQ(fixture_keys(&f), 4);
    ASSERT_TRUE(all_kept(&f, a, ARRAY_SIZE(a)));
    forget(a, ARRAY_SIZE(a));
}

/* The next random number for the id or the nonce of a record cannot be had. */
static bool random_fails;

int RAND_bytes(unsigned char *buffer, int size)
{
    bool fails = random_fails;

    random_fails = false;
    return !fails && getrandom(buffer, (size_t)size, 0) == size;
}

/* A key that the transaction does not take says why, and disturbs no other. */
TEST(not_staged)
{
    Added a[] = {ADDED(NAME(1), .seed = 1), ADDED(NAME(2), .seed = 2), ADDED(NAME(3), .seed = 3)};
    ADDING;

    add(&f, &a[0], on_added);
    random_fails = true;
    add(&f, &a[1], on_added);
    ASSERT_TRUE(!random_fails && ended(&a[1], 1, -EIO));
    ASSERT_TRUE(strstr(a[1].detail, "cannot write the store"));
    add(&f, &a[2], on_added);
    manager_commit(f.m);
    ASSERT_EQ(n_commits, 1);
    ASSERT_TRUE(ended(&a[0], 1, 0) && ended(&a[2], 1, 0));
    ASSERT_EQ(fixture_keys(&f), 3);
    ASSERT_EQ(CRYPTO_secure_used(), used);
    forget(a, ARRAY_SIZE(a));
}

static unsigned n_unsealed;

static int count_unseal(_unused_ const Key *k, _unused_ void *userdata,
                        _unused_ Secret **ret_payload)
{
    n_unsealed++;
    return -EIO;
}

/* What was just sealed is published without unsealing it. */
TEST(publishes_what_it_has)
{
    static const KeySource counting = {.unseal = count_unseal, .is_persistent = true};
    Added a = ADDED(NAME(1), .seed = 1);
    const KeySource *records;
    Key *k;
    ADDING;

    add(&f, &a, on_added);
    k = key_table_pair(manager_keys(f.m), HOST, strlen(HOST), NAME(1), strlen(NAME(1)));
    ASSERT_TRUE(k);
    records = k->source;
    k->source = &counting;
    manager_commit(f.m);
    k->source = records;
    ASSERT_TRUE(ended(&a, 1, 0));
    ASSERT_EQ(n_unsealed, 0);
    ASSERT_TRUE(life_in_ring(&f, a.id));
    forget(&a, 1);
}

/* A key that another one of the same batch is against: the other one is committed first. */
TEST(against_each_other)
{
    Added a[] = {ADDED(NAME(1), .seed = 1), ADDED(NAME(1), .seed = 2), ADDED(NAME(2), .seed = 3)};
    ADDING;

    add_all(&f, a, ARRAY_SIZE(a));
    ASSERT_EQ(n_commits, 1);
    ASSERT_TRUE(ended(a, 1, 0));
    ASSERT_TRUE(a[1].calls == 1 && a[1].error == -EEXIST && strcmp(a[1].id, a[0].id) == 0);
    ASSERT_TRUE(strstr(a[1].detail, a[0].id));
    ASSERT_TRUE(a[2].calls == 0);
    manager_commit(f.m);
    ASSERT_EQ(n_commits, 2);
    ASSERT_TRUE(ended(&a[2], 1, 0));
    ASSERT_TRUE(all_kept(&f, a, 1) && all_kept(&f, &a[2], 1));
    forget(a, ARRAY_SIZE(a));
}

/* A name that begins with the one of a staged key is refused like that, too, and only unless it is
 * forced. */
TEST(shadows_each_other)
{
    Added a[] = {ADDED(NAME(1), .seed = 1), ADDED(NAME(12), .seed = 2),
                 ADDED(NAME(123), .seed = 3, .force = true)};
    ADDING;

    add_all(&f, a, ARRAY_SIZE(a));
    manager_commit(f.m);
    ASSERT_EQ(n_commits, 2);
    ASSERT_TRUE(ended(a, 1, 0) && ended(&a[2], 1, 0));
    ASSERT_TRUE(a[1].error == -ENOTUNIQ && strcmp(a[1].id, a[0].id) == 0);
    forget(a, ARRAY_SIZE(a));
}

/* If the commit of the first one fails, nothing is against the second. */
TEST(against_one_that_fails)
{
    Added a[] = {ADDED(NAME(1), .seed = 1), ADDED(NAME(1), .seed = 2)};
    ADDING;

    commits_fail = true;
    add(&f, &a[0], on_added_or_repair);
    add(&f, &a[1], on_added);
    ASSERT_TRUE(ended(a, 1, -EIO));
    ASSERT_EQ(a[1].calls, 0);
    manager_commit(f.m);
    ASSERT_TRUE(ended(&a[1], 1, 0));
    ASSERT_EQ(fixture_keys(&f), 2);
    ASSERT_EQ(CRYPTO_secure_used(), used);
    ASSERT_TRUE(all_kept(&f, &a[1], 1));
    forget(a, ARRAY_SIZE(a));
}

/* A check sees only keys that are committed. */
TEST(check)
{
    const KeyRequest q = {.hostnqn = HOST, .subsysnqn = NAME(1), .role = KEY_ROLE_HOST};
    _cleanup_(freep) char *detail = NULL, *none = NULL;
    Added a = ADDED(NAME(1), .seed = 1);
    Key *other = NULL;
    ADDING;

    commits_fail = true;
    add(&f, &a, on_added);
    ASSERT_OK(manager_check_add(f.m, &q, &other, &none));
    commits_fail = false;
    ASSERT_TRUE(ended(&a, 1, -EIO));
    forget(&a, 1);
    add(&f, &a, on_added);
    ASSERT_EQ(manager_check_add(f.m, &q, &other, &detail), -EEXIST);
    ASSERT_TRUE(ended(&a, 1, 0) && strcmp(other->id, a.id) == 0);
    forget(&a, 1);
}
