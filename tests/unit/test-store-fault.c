/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/seal-type.h"
#include "credstore/store.h"
#include "fs-shim.h"
#include "store-direct.h"
#include "store-fixture.h"
#include "store-steps.h"
#include "test.h"
#include "tree.h"

/*
 * Each system call that changes a directory fails in turn. Memory and disk must then agree with the
 * result of the call.
 */

/* Makes n calls fail with EIO, beginning with number from. */
static void inject(int from, int n)
{
    shim_inject(from, n, EIO);
}

typedef struct Base {
    Fixture f;
    char work[96];
    char a[STORE_ID_SIZE], gone[STORE_ID_SIZE];
} Base;

static void base_done(Base *x)
{
    fixture_done(&x->f);
}

static int base_new(Base *x)
{
    _cleanup_(store_closep) Store *s = NULL;
    int r;

    inject(0, 0);
    r = fixture_new(&x->f);
    if (r == 0)
        r = direct_open(x->f.dir, &s, NULL);
    if (r == 0)
        r = fixture_add(s, "a", "first", x->a);
    if (r == 0)
        r = fixture_add(s, "gone", "first", x->gone);
    snprintf(x->work, sizeof(x->work), "%s/work", x->f.top);
    return r;
}

/* Replaces one record, removes another and adds n. */
static int change(const Base *x, Store *s, int n)
{
    _cleanup_(secret_freep) Secret *secret = secret_new_copy("second", 6);
    _cleanup_(freep) char *meta = fixture_meta("a2");
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    char id[STORE_ID_SIZE];
    int r = store_begin(s, &t);

    if (r == 0)
        r = store_replace(t, x->a, meta, secret);
    if (r == 0)
        r = store_remove(t, x->gone);
    for (int i = 0; r == 0 && i < n; i++)
        r = store_add(t, meta, secret, id);
    return r < 0 ? r : store_commit(t);
}

/* Returns 0 for the state of base, 1 for that after change(), 2 for neither. extra is the number of
 * other sound records. */
static int state_of(const Base *x, Store *s, size_t added, size_t extra)
{
    size_t sound, broken;

    fixture_count(s, &sound, &broken);
    if (broken > 0)
        return 2;
    if (sound == 2 + extra && fixture_has(s, x->a, "a", "first") &&
        fixture_has(s, x->gone, "gone", "first"))
        return 0;
    return sound == 1 + added + extra && fixture_has(s, x->a, "a2", "second") &&
                   !store_find(s, x->gone)
               ? 1
               : 2;
}

/* One call fails; the next commit and the next opening must find everything in order. */
static void check_single(int added)
{
    _cleanup_(base_done) Base x = {.work = ""};
    int seen[2] = {0, 0};

    ASSERT_OK(base_new(&x));
    for (int k = 1;; k++) {
        _cleanup_(store_closep) Store *s = NULL;
        char b[STORE_ID_SIZE];
        int r, expected;

        inject(0, 0);
        tree_remove(x.work);
        ASSERT_OK(tree_copy(x.f.dir, x.work));
        ASSERT_OK(direct_open(x.work, &s, NULL));
        inject(k, 1);
        r = change(&x, s, added);
        if (shim.calls < k)
            break;
        inject(0, 0);
        expected = r == 0;
        seen[expected]++;
        ASSERT_EQ(state_of(&x, s, (size_t)added, 0), expected);
        if (k % 2 == 0)
            ASSERT_OK(fixture_add(s, "b", "other", b));
        s = store_close(s);
        ASSERT_OK(direct_open(x.work, &s, NULL));
        ASSERT_EQ(state_of(&x, s, (size_t)added, k % 2 == 0), expected);
        ASSERT_TRUE(!fixture_has_new(x.work));
    }
    /* Every call is before the commit point, or is it. */
    printf("# %d failed, %d in force\n", seen[0], seen[1]);
    ASSERT_TRUE(seen[0] > 5 && seen[1] == 0);
}

TEST(one_call_fails)
{
    check_single(1);
}

TEST(one_call_fails_in_a_large_commit)
{
    check_single(40);
}

/* A few calls fail, the next ones work, and then the process ends. */
TEST(some_calls_fail)
{
    _cleanup_(base_done) Base x = {.work = ""};
    bool end = false;

    ASSERT_OK(base_new(&x));
    for (int k = 1; !end; k++)
        for (int n = 2; n < 6; n++) {
            _cleanup_(store_closep) Store *s = NULL;
            int r, state;

            inject(0, 0);
            tree_remove(x.work);
            ASSERT_OK(tree_copy(x.f.dir, x.work));
            ASSERT_OK(direct_open(x.work, &s, NULL));
            inject(k, n);
            r = change(&x, s, 1);
            end = shim.calls < k;
            inject(0, 0);
            ASSERT_EQ(state_of(&x, s, 1, 0), r == 0);
            s = store_close(s);
            ASSERT_OK(direct_open(x.work, &s, NULL));
            state = state_of(&x, s, 1, 0);
            ASSERT_TRUE(r == 0 ? state == 1 : state != 2);
        }
}

/*
 * From one call on all fail, as on a lost disk, which returns and is lost again during the next
 * commit. A change that was reported as failed may be on the disk if that could not be undone, but
 * never in part, and never after another commit has succeeded.
 */
static void check_twice(const Base *x, int k1, int k2, bool *ret_end)
{
    _cleanup_(store_closep) Store *s = NULL;
    char b[STORE_ID_SIZE] = "";
    int r1, r2, state;

    inject(0, 0);
    tree_remove(x->work);
    ASSERT_OK(tree_copy(x->f.dir, x->work));
    ASSERT_OK(direct_open(x->work, &s, NULL));
    inject(k1, 1000);
    r1 = change(x, s, 1);
    ret_end[0] = shim.calls < k1;
    inject(k2, 1000);
    r2 = fixture_add(s, "b", "other", b);
    ret_end[1] = shim.calls < k2;
    inject(0, 0);
    ASSERT_EQ(state_of(x, s, 1, r2 == 0), r1 == 0);

    s = store_close(s);
    ASSERT_OK(direct_open(x->work, &s, NULL));
    state = state_of(x, s, 1, store_find(s, b) != NULL);
    ASSERT_TRUE(state != 2);
    if (r2 == 0 || store_find(s, b)) {
        ASSERT_TRUE(fixture_has(s, b, "b", "other"));
        ASSERT_EQ(state, r1 == 0);
    } else if (r1 == 0)
        ASSERT_EQ(state, 1);
    ASSERT_TRUE(!fixture_has_new(x->work));
}

TEST(the_disk_goes_away_twice)
{
    _cleanup_(base_done) Base x = {.work = ""};
    bool end[2] = {false, false};
    int runs = 0;

    ASSERT_OK(base_new(&x));
    for (int k1 = 1; !end[0]; k1++) {
        end[1] = false;
        for (int k2 = 1; !end[1]; k2++, runs++) {
            check_twice(&x, k1, k2, end);
            if (test_failed)
                TEST_FAIL("calls %d and %d", k1, k2);
        }
    }
    printf("# %d runs\n", runs);
    ASSERT_TRUE(runs > 40);
}

/* A store by steps_new(). */
typedef struct Begun {
    Base base;
    Subject subject;
    char copy[96];
} Begun;

static void begun_done(Begun *x)
{
    inject(0, 0);
    fixture_done(&x->base.f);
}

static int begun_new(Begun *x)
{
    _cleanup_(store_closep) Store *s = NULL;
    int r;

    inject(0, 0);
    r = steps_new(&x->base.f, &x->subject, &s);
    snprintf(x->base.work, sizeof(x->base.work), "%s/work", x->base.f.top);
    snprintf(x->copy, sizeof(x->copy), "%s/copy", x->base.f.top);
    return r;
}

/* True if the store in dir opens with this content. */
static bool opens_as(const char *dir, const char *expected)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *now = NULL;

    if (direct_open(dir, &s, NULL) < 0)
        return false;
    now = steps_dump(s, true);
    return now && strcmp(now, expected) == 0 && !fixture_has_new(dir);
}

/* The kth call of a step fails. Returns 1 if the step failed then, 0 if not, -ERANGE if it has
 * fewer calls. */
static int fail_step(const Begun *x, const NamedStep *step, int k, int error)
{
    Subject subject = x->subject;
    _cleanup_(freep) char *before = NULL, *after = NULL, *again = NULL;
    _cleanup_(store_closep) Store *s = NULL;
    int r, calls;

    tree_remove(x->base.work);
    tree_remove(x->copy);
    if (tree_copy(x->base.f.dir, x->base.work) < 0 || direct_open(x->base.work, &s, NULL) < 0)
        return -EIO;
    before = steps_dump(s, true);
    shim_inject(k, 1, error);
    r = step->step(&subject, s);
    calls = shim.calls;
    shim_inject(0, 0, 0);
    if (calls < k)
        return -ERANGE;

    /* The step returned the error, and memory is the same as the disk that another process
     * finds. */
    after = steps_dump(s, true);
    if ((r < 0 && (r != -error || fixture_has_new(x->base.work))) || !before || !after ||
        (r < 0) != (strcmp(before, after) == 0) || tree_copy(x->base.work, x->copy) < 0 ||
        !opens_as(x->copy, after))
        return -EIO;
    /* The next try works. */
    if (r < 0 && step->step(&subject, s) < 0)
        return -EIO;
    again = steps_dump(s, true);
    s = store_close(s);
    return again && strcmp(again, before) != 0 && opens_as(x->base.work, again) ? r < 0 : -EIO;
}

/* Cuts a step short at its kth call, and checks the rest on a file system that is read-only then.
 * Returns 1 if the disk has the new state, 0 for the old one, -ERANGE after the last call. */
static int interrupt_step(const Begun *x, const NamedStep *step, int k)
{
    Subject subject = x->subject;
    _cleanup_(freep) char *before = NULL, *after = NULL, *found = NULL, *more = NULL;
    _cleanup_(store_closep) Store *s = NULL;
    char id[STORE_ID_SIZE];
    bool same;

    tree_remove(x->base.work);
    if (tree_copy(x->base.f.dir, x->base.work) < 0 || direct_open(x->base.work, &s, NULL) < 0)
        return -EIO;
    before = steps_dump(s, true);
    shim_inject(k, 100000, EIO);
    same = step->step(&subject, s) < 0;
    if (shim.calls < k) {
        shim_inject(0, 0, 0);
        return -ERANGE;
    }
    shim_inject(0, 0, 0);
    /* Memory has the state that the call reported. */
    after = steps_dump(s, true);
    if (!same || !before || !after || strcmp(before, after) != 0)
        return -EIO;
    /* The same disk, working again. */
    free(after);
    s = store_close(s);
    tree_remove(x->copy);
    if (tree_copy(x->base.work, x->copy) < 0 || direct_open(x->copy, &s, NULL) < 0)
        return -EIO;
    after = steps_dump(s, true);
    s = store_close(s);

    shim.read_only = true;
    if (direct_open(x->base.work, &s, NULL) == 0)
        found = steps_dump(s, true);
    same =
        after && found && strcmp(after, found) == 0 && fixture_add(s, "more", "more", id) == -EROFS;
    shim.read_only = false;
    /* Once it can be written, the next change works. */
    if (!same || fixture_add(s, "more", "more", id) < 0)
        return -EIO;
    more = steps_dump(s, true);
    s = store_close(s);
    return more && strlen(more) > strlen(found) && opens_as(x->base.work, more)
               ? strcmp(found, before) != 0
               : -EIO;
}

/* An interrupted change is complete or absent, also on a disk that cannot be written. */
TEST(read_only_after_an_interruption)
{
    _cleanup_(begun_done) Begun x = {.copy = ""};

    ASSERT_OK(begun_new(&x));
    for (size_t i = 0; i < ARRAY_SIZE(named_steps); i++) {
        int n[2] = {0, 0}, r;

        for (int k = 1; (r = interrupt_step(&x, &named_steps[i], k)) != -ERANGE; k++) {
            if (r < 0)
                TEST_FAIL("%s: call %d", named_steps[i].name, k);
            n[r]++;
        }
        printf("# %s: %d interruptions, %d left the new state\n", named_steps[i].name, n[0] + n[1],
               n[1]);
        /* It is complete only if the last sync fails and the old state cannot be restored. */
        ASSERT_TRUE(n[0] > 4 && n[1] == 1);
    }
}

static const int errors[] = {ENOSPC, EIO, EROFS, EDQUOT};

TEST(each_error_at_each_call_of_each_change)
{
    _cleanup_(begun_done) Begun x = {.copy = ""};

    ASSERT_OK(begun_new(&x));
    for (size_t i = 0; i < ARRAY_SIZE(named_steps); i++) {
        const NamedStep *step = &named_steps[i];
        int n = 0, r = 0;

        for (size_t e = 0; e < ARRAY_SIZE(errors); e++)
            for (int k = 1; (r = fail_step(&x, step, k, errors[e])) != -ERANGE; k++, n++)
                /* Each call counts. */
                if (r != 1)
                    TEST_FAIL("%s: call %d: %s", step->name, k, strerror(errors[e]));
        printf("# %s: %d faults\n", step->name, n);
        ASSERT_TRUE(n > 20);
    }
}

/* Makes a store that a recovery key opens. */
static int create(const char *dir, Secret **ret_recovery_key)
{
    static const SlotOptions options = {.pcrs_given = false};
    _cleanup_(secret_freep) Secret *slot = NULL;
    _cleanup_(store_closep) Store *s = NULL;
    int r = store_prepare(dir, &s, NULL);

    if (r == 0)
        r = direct_seal_slot(s, "recovery", NULL, &options, &slot, ret_recovery_key, NULL);
    if (r == 0)
        r = store_adopt_slot(s, slot);
    return r < 0 ? r : store_establish(s, NULL);
}

static int open_created(const char *dir, const Secret *recovery_key)
{
    _cleanup_(secret_freep) Secret *found = NULL;
    _cleanup_(store_closep) Store *s = NULL;
    int r = store_attach(dir, &s, NULL);

    if (r == 0)
        r = store_find_key_by_recovery(s, recovery_key, &found);
    return r < 0 ? r : store_unlock(s, found, NULL);
}

/* Either there is a store, or there is none and one can be made. */
static void fail_creation(const char *dir, int k, int error, int n[static 2])
{
    _cleanup_(secret_freep) Secret *recovery_key = NULL;
    int r, calls;

    tree_remove(dir);
    ASSERT_OK(mkdir(dir, 0700));
    shim_inject(k, 1, error);
    r = create(dir, &recovery_key);
    calls = shim.calls;
    shim_inject(0, 0, 0);
    if (calls < k) {
        ASSERT_OK(open_created(dir, recovery_key));
        return;
    }
    /* Another error is possible: if the look for a store fails, none is made. */
    n[r < 0]++;
    if (r < 0 && open_created(dir, recovery_key) == -ENOENT) {
        recovery_key = secret_free(recovery_key);
        ASSERT_OK(create(dir, &recovery_key));
    }
    ASSERT_OK(open_created(dir, recovery_key));
}

TEST(each_error_while_a_store_is_made)
{
    _cleanup_(begun_done) Begun x = {.copy = ""};
    int n[2] = {0, 0};

    ASSERT_OK(begun_new(&x));
    for (size_t e = 0; e < ARRAY_SIZE(errors); e++)
        for (int k = 1, before = -1; before != n[0] + n[1]; k++) {
            before = n[0] + n[1];
            fail_creation(x.copy, k, errors[e], n);
            if (test_failed)
                TEST_FAIL("call %d: %s", k, strerror(errors[e]));
        }
    printf("# %d faults, %d made it fail\n", n[0] + n[1], n[1]);
    ASSERT_TRUE(n[1] > 20);
}

/* Opens the store in dir while the kth call fails. Returns true if it has that many. */
static bool fail_opening(const char *dir, int k, int error, const char *expected)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *now = NULL;
    size_t sound, broken;
    int r, calls;

    shim_inject(k, 1, error);
    r = direct_open(dir, &s, NULL);
    calls = shim.calls;
    shim_inject(0, 0, 0);
    if (r < 0)
        return true;
    /* A record that cannot be read stays broken until the store is closed. */
    fixture_count(s, &sound, &broken);
    now = steps_dump(s, true);
    if (broken == 0 && (!now || strcmp(now, expected) != 0))
        test_failed = true;
    return calls >= k;
}

/* Also with the leftover file of a commit that was cut short. */
TEST(each_error_while_a_store_is_opened)
{
    _cleanup_(begun_done) Begun x = {.copy = ""};
    _cleanup_(freep) char *expected = NULL;
    _cleanup_(store_closep) Store *s = NULL;
    char path[128];
    int n = 0, k;

    ASSERT_OK(begun_new(&x));
    ASSERT_OK(direct_open(x.base.f.dir, &s, NULL));
    expected = steps_dump(s, true);
    s = store_close(s);
    snprintf(path, sizeof(path), "%s/store.new", x.base.f.dir);
    ASSERT_OK(fixture_write(path, "half a store", 12));
    shim.reads = true;
    for (size_t e = 0; e < ARRAY_SIZE(errors); e++)
        for (k = 1;; k++, n++) {
            bool failed;

            tree_remove(x.copy);
            ASSERT_OK(tree_copy(x.base.f.dir, x.copy));
            failed = fail_opening(x.copy, k, errors[e], expected);
            if (test_failed || !opens_as(x.copy, expected))
                TEST_FAIL("call %d: %s", k, strerror(errors[e]));
            if (!failed)
                break;
        }
    shim.reads = false;
    printf("# %d faults\n", n);
    ASSERT_TRUE(n >= 16);
}
