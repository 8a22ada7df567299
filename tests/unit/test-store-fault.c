/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/syscall.h>

#include "store-fixture.h"
#include "test.h"

/*
 * I/O errors: these functions of the C library are ours, and fail when their time comes. Memory and
 * disk must agree with what store_commit() has said, whatever fails.
 */

int fsync(int fd);
int syncfs(int fd);
int renameat(int from, const char *a, int to, const char *b);
int unlinkat(int dirfd, const char *name, int flags);

static struct {
    int calls;
    int from; /* the first call to fail, 0: none */
    int n;    /* how many */
} fault;

static bool fails(void)
{
    fault.calls++;
    if (fault.from == 0 || fault.calls < fault.from || fault.calls >= fault.from + fault.n)
        return false;
    errno = EIO;
    return true;
}

int fsync(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int syncfs(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_syncfs, fd);
}

int renameat(int from, const char *a, int to, const char *b)
{
    return fails() ? -1 : (int)syscall(SYS_renameat2, from, a, to, b, 0);
}

int unlinkat(int dirfd, const char *name, int flags)
{
    return fails() ? -1 : (int)syscall(SYS_unlinkat, dirfd, name, flags);
}

static void inject(int from, int n)
{
    fault.calls = 0;
    fault.from = from;
    fault.n = n;
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
        r = store_open(x->f.dir, &s, NULL);
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
    _cleanup_(json_putp) json_object *meta = fixture_meta("a2");
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

/* 0: as in base, 1: after change(), 2: neither. extra sound records may be there besides. */
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

/* One call fails, and the next commit and the next opening find everything in order. */
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
        fixture_remove(x.work);
        ASSERT_OK(fixture_copy(x.f.dir, x.work));
        ASSERT_OK(store_open(x.work, &s, NULL));
        inject(k, 1);
        r = change(&x, s, added);
        if (fault.calls < k)
            break;
        inject(0, 0);
        expected = r == 0;
        seen[expected]++;
        ASSERT_EQ(state_of(&x, s, (size_t)added, 0), expected);
        if (k % 2 == 0)
            ASSERT_OK(fixture_add(s, "b", "other", b));
        s = store_close(s);
        ASSERT_OK(store_open(x.work, &s, NULL));
        ASSERT_EQ(state_of(&x, s, (size_t)added, k % 2 == 0), expected);
        ASSERT_TRUE(!fixture_has_new(x.work));
    }
    printf("# %d failed, %d in force\n", seen[0], seen[1]);
    ASSERT_TRUE(seen[0] > 8 && seen[1] > 8);
}

TEST(one_call_fails)
{
    check_single(1);
}

/* With one sync for all. */
TEST(one_call_fails_in_a_large_commit)
{
    check_single(40);
}

/* A few calls fail, those after them work, and then the process ends. */
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
            fixture_remove(x.work);
            ASSERT_OK(fixture_copy(x.f.dir, x.work));
            ASSERT_OK(store_open(x.work, &s, NULL));
            inject(k, n);
            r = change(&x, s, 1);
            end = fault.calls < k;
            inject(0, 0);
            ASSERT_EQ(state_of(&x, s, 1, 0), r == 0);
            s = store_close(s);
            ASSERT_OK(store_open(x.work, &s, NULL));
            state = state_of(&x, s, 1, 0);
            ASSERT_TRUE(r == 0 ? state == 1 : state != 2);
        }
}

/*
 * From one call on all fail, as on a disk that is gone; it comes back, and goes away again during
 * the next commit. What has failed may turn out to be there, if its failure could not be written
 * down; but never in part, and never once another commit has succeeded.
 */
static void check_twice(const Base *x, int k1, int k2, bool *ret_end)
{
    _cleanup_(store_closep) Store *s = NULL;
    char b[STORE_ID_SIZE] = "";
    int r1, r2, state;

    inject(0, 0);
    fixture_remove(x->work);
    ASSERT_OK(fixture_copy(x->f.dir, x->work));
    ASSERT_OK(store_open(x->work, &s, NULL));
    inject(k1, 1000);
    r1 = change(x, s, 1);
    ret_end[0] = fault.calls < k1;
    inject(k2, 1000);
    r2 = fixture_add(s, "b", "other", b);
    ret_end[1] = fault.calls < k2;
    inject(0, 0);
    ASSERT_EQ(state_of(x, s, 1, r2 == 0), r1 == 0);

    s = store_close(s);
    ASSERT_OK(store_open(x->work, &s, NULL));
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
    ASSERT_TRUE(runs > 400);
}

TEST_MAIN(TEST_ENTRY(one_call_fails), TEST_ENTRY(one_call_fails_in_a_large_commit),
          TEST_ENTRY(some_calls_fail), TEST_ENTRY(the_disk_goes_away_twice))
