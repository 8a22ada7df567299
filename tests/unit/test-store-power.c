/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/io.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/seal-type.h"
#include "credstore/store.h"
#include "fs-shim.h"
#include "lost-writes.h"
#include "store-direct.h"
#include "store-fixture.h"
#include "store-steps.h"
#include "test.h"
#include "tree.h"

/*
 * The power is cut at each point of a series of changes, and all, half or some order of the data
 * without a sync is lost. The store must then open with all confirmed changes, and with or without
 * the one in progress.
 */

#define STATES_MAX 32
/* trees tried at each point, besides those with everything and with nothing lost */
#define TRIES 400
#define TRIES_LARGE 400
/* trees that are cut again at each point of their recovery */
#define AGAIN_MAX 64

typedef struct Row {
    Fixture f;
    char work[96];           /* is changed: a copy of f.dir */
    char cut[96];            /* is left after the cut */
    char *dumps[STATES_MAX]; /* content of the store in each state */
    Subject subject;
    uint64_t *seen; /* hashes of the trees tried, a table of seen_size */
    size_t trees, points;
    size_t n_again;
    unsigned again_states[AGAIN_MAX];
} Row;

#define SEEN_SIZE ((size_t)1 << 20)

static void row_done(Row *x)
{
    for (size_t i = 0; i < STATES_MAX; i++)
        free(x->dumps[i]);
    free(x->seen);
    lost_done();
    shim.observe = NULL;
    shim_inject(0, 0, 0);
    fixture_done(&x->f);
}

static int row_new(Row *x)
{
    _cleanup_(store_closep) Store *s = NULL;
    int r = steps_new(&x->f, &x->subject, &s);

    snprintf(x->work, sizeof(x->work), "%s/work", x->f.top);
    snprintf(x->cut, sizeof(x->cut), "%s/cut", x->f.top);
    x->seen = calloc(SEEN_SIZE, sizeof(*x->seen));
    return r < 0 ? r : !x->seen ? -ENOMEM : tree_copy(x->f.dir, x->work);
}

static bool seen_before(Row *x, uint64_t digest, unsigned states)
{
    uint64_t value = (digest * 31 + states) | 1;
    size_t i = value % SEEN_SIZE;

    while (x->seen[i] != 0 && x->seen[i] != value)
        i = (i + 1) % SEEN_SIZE;
    if (x->seen[i] == value)
        return true;
    x->seen[i] = value;
    return false;
}

/* Opens the store and returns its state, or -1 if it is none of them. */
static int state_of(const Row *x, const char *dir, unsigned states)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *detail = NULL, *now = NULL;
    char id[STORE_ID_SIZE];
    int r = direct_open(dir, &s, &detail), state;

    if (r < 0) {
        printf("# direct_open: %s, %s\n", strerror(-r), detail ? detail : "");
        return -1;
    }
    now = steps_dump(s, true);
    for (state = 0; state < STATES_MAX; state++)
        if ((states >> state & 1) && now && x->dumps[state] && strcmp(now, x->dumps[state]) == 0)
            break;
    if (state == STATES_MAX) {
        printf("# not in a state of %#x, but\n# %s\n", states, now ? now : "broken");
        return -1;
    }
    /* A further change must be possible. */
    if (fixture_add(s, "z", "on top", id) < 0 || fixture_delete(s, id) < 0 || fixture_has_new(dir))
        return -1;
    return state;
}

/* Tries one tree. */
static bool try_tree(Row *x, unsigned states, bool keep)
{
    char kept[128];
    int state;

    tree_remove(x->cut);
    if (lost_write_tree(x->cut) < 0)
        return false;
    keep = keep && x->n_again < AGAIN_MAX;
    if (keep) {
        snprintf(kept, sizeof(kept), "%s/again-%zu", x->f.top, x->n_again);
        if (tree_copy(x->cut, kept) < 0)
            return false;
    }
    state = state_of(x, x->cut, states);
    if (state < 0)
        return false;
    if (keep)
        x->again_states[x->n_again++] = 1u << state;
    x->trees++;
    return true;
}

/* Tries what a cut may leave at each point of the recording; states are those before the first
 * mark. */
static void cut_everywhere(Row *x, unsigned states, int tries, bool keep)
{
    lost_rewind(states);
    do {
        for (int luck = LOST_NOTHING; luck < LOST_CHANCE + tries; luck++) {
            uint64_t digest = lost_pick(luck < LOST_CHANCE ? (LostLuck)luck : LOST_CHANCE);

            if (seen_before(x, digest, lost_states()))
                continue;
            if (!try_tree(x, lost_states(), keep && x->trees % 3 == 0 && lost_has("store.new"))) {
                lost_print();
                TEST_FAIL("not in state %x", lost_states());
            }
        }
        x->points++;
    } while (lost_step());
}

/* Records the steps; after step i the store is in state i + 1. */
static int record(Row *x, const Step *steps, int n)
{
    _cleanup_(store_closep) Store *s = NULL;
    int r = direct_open(x->work, &s, NULL);

    if (r == 0) {
        x->dumps[0] = steps_dump(s, true);
        r = lost_record(x->work);
    }
    for (int i = 0; r == 0 && i < n; i++) {
        lost_mark(3u << i);
        r = steps[i](&x->subject, s);
        lost_mark(2u << i);
        x->dumps[i + 1] = steps_dump(s, true);
    }
    return r < 0 ? r : lost_stop();
}

static void print_counts(const Row *x)
{
    printf("# cut at %zu points, %zu different trees\n", x->points, x->trees);
}

TEST(cut_during_changes)
{
    static const Step steps[] = {step_all_kinds, step_replace,     step_replace_meta,
                                 step_add_slot,  step_reseal_slot, step_remove_slot};
    _cleanup_(row_done) Row x = {.work = ""};

    ASSERT_OK(row_new(&x));
    ASSERT_OK(record(&x, steps, ARRAY_SIZE(steps)));
    cut_everywhere(&x, 1, TRIES, false);
    print_counts(&x);
    ASSERT_TRUE(x.points > 40 && x.trees > 250);
}

TEST(cut_during_large_changes)
{
    static const Step steps[] = {step_add_batch, step_remove_batch, step_replace};
    _cleanup_(row_done) Row x = {.work = ""};

    ASSERT_OK(row_new(&x));
    ASSERT_OK(record(&x, steps, ARRAY_SIZE(steps)));
    cut_everywhere(&x, 1, TRIES_LARGE, false);
    print_counts(&x);
    ASSERT_TRUE(x.points > 20 && x.trees > 200);
}

/* The rest of a cut is recovered, and the power is cut again meanwhile. */
TEST(cut_during_recovery)
{
    static const Step steps[] = {step_all_kinds, step_replace};
    _cleanup_(row_done) Row x = {.work = ""};
    char path[128];

    ASSERT_OK(row_new(&x));
    ASSERT_OK(record(&x, steps, ARRAY_SIZE(steps)));
    cut_everywhere(&x, 1, TRIES, true);
    x.points = x.trees = 0;
    for (size_t i = 0; i < x.n_again && !test_failed; i++) {
        _cleanup_(store_closep) Store *s = NULL;

        snprintf(path, sizeof(path), "%s/again-%zu", x.f.top, i);
        ASSERT_OK(lost_record(path));
        ASSERT_OK(direct_open(path, &s, NULL));
        ASSERT_OK(lost_stop());
        memset(x.seen, 0, SEEN_SIZE * sizeof(*x.seen));
        cut_everywhere(&x, x.again_states[i], TRIES, false);
    }
    printf("# %zu recoveries\n", x.n_again);
    print_counts(&x);
    ASSERT_TRUE(x.n_again > 30 && x.trees > 60);
}

/* Records step_replace in a new copy; the process dies at the kth call that can fail. */
static int die_in_change(Row *x, int k)
{
    _cleanup_(store_closep) Store *s = NULL;
    int r;

    tree_remove(x->work);
    r = tree_copy(x->f.dir, x->work);
    if (r == 0)
        r = direct_open(x->work, &s, NULL);
    if (r == 0)
        r = lost_record(x->work);
    if (r < 0)
        return r;
    lost_mark(3);
    shim_inject(k, 1000, EIO);
    r = step_replace(&x->subject, s);
    shim_inject(0, 0, 0);
    return r == 0 ? -ENOENT : 0;
}

/* Opens the store of a process that died at the kth call. Returns 1 if its change is there. */
static int open_after_death(Row *x, int k)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *now = NULL;
    int r = die_in_change(x, k), seen;

    if (r == 0)
        r = direct_open(x->work, &s, NULL);
    if (r < 0)
        return r;
    now = steps_dump(s, true);
    seen = now && strcmp(now, x->dumps[1]) == 0;
    lost_mark(seen ? 2 : 1);
    r = lost_stop();
    return r < 0 ? r : seen;
}

/* A process dies between the renaming and the sync of its commit, and the next one opens what it
 * finds. From then on that is what a cut leaves: keys may have been published because of it. */
TEST(cut_after_opening_what_was_renamed)
{
    static const Step steps[] = {step_replace};
    _cleanup_(row_done) Row x = {.work = ""};
    int r = 0;

    ASSERT_OK(row_new(&x));
    ASSERT_OK(record(&x, steps, ARRAY_SIZE(steps)));
    for (int k = 1; r == 0; k++)
        r = open_after_death(&x, k);
    ASSERT_EQ(r, 1);
    cut_everywhere(&x, 1, TRIES, false);
    print_counts(&x);
    ASSERT_TRUE(x.points > 3 && x.trees > 3);
}

/* A new store: as long as there is none, one can be made. */
static bool try_new(Row *x, const Secret *recovery_key, bool done)
{
    _cleanup_(secret_freep) Secret *found = NULL;
    _cleanup_(store_closep) Store *s = NULL;
    int r;

    tree_remove(x->cut);
    if (lost_write_tree(x->cut) < 0)
        return false;
    x->trees++;
    r = store_attach(x->cut, &s, NULL);
    if (r == -ENOENT && !done)
        return store_prepare(x->cut, &s, NULL) == 0;
    return r == 0 && store_find_key_by_recovery(s, recovery_key, &found) == 0 &&
           store_unlock(s, found, NULL) == 0;
}

static int record_creation(const Row *x, Secret **ret_recovery_key)
{
    static const SlotOptions options = {.pcrs_given = false};
    _cleanup_(secret_freep) Secret *slot = NULL;
    _cleanup_(store_closep) Store *s = NULL;
    int r = store_prepare(x->work, &s, NULL);

    if (r == 0)
        r = direct_seal_slot(s, "recovery", NULL, &options, &slot, ret_recovery_key, NULL);
    if (r == 0)
        r = store_adopt_slot(s, slot);
    if (r == 0)
        r = store_establish(s, NULL);
    lost_mark(2);
    return r < 0 ? r : lost_stop();
}

TEST(cut_during_creation)
{
    _cleanup_(secret_freep) Secret *recovery_key = NULL;
    _cleanup_(row_done) Row x = {.work = ""};

    ASSERT_OK(row_new(&x));
    tree_remove(x.work);
    ASSERT_OK(mkdir(x.work, 0700));
    ASSERT_OK(lost_record(x.work));
    ASSERT_OK(record_creation(&x, &recovery_key));
    lost_rewind(1);
    do {
        for (int luck = LOST_NOTHING; luck < LOST_CHANCE + TRIES; luck++) {
            uint64_t digest = lost_pick(luck < LOST_CHANCE ? (LostLuck)luck : LOST_CHANCE);

            if (!seen_before(&x, digest, lost_states()) &&
                !try_new(&x, recovery_key, lost_states() == 2)) {
                lost_print();
                TEST_FAIL("not in state %x", lost_states());
            }
        }
        x.points++;
    } while (lost_step());
    print_counts(&x);
    ASSERT_TRUE(x.points > 5 && x.trees > 8);
}

/* Bits: 1 if step_remove took effect, 2 if step_replace did. */
static int make_dumps(Row *x)
{
    for (int state = 0; state < 4; state++) {
        _cleanup_(store_closep) Store *s = NULL;
        int r;

        tree_remove(x->work);
        r = tree_copy(x->f.dir, x->work);
        if (r == 0)
            r = direct_open(x->work, &s, NULL);
        if (r == 0 && (state & 1))
            r = step_remove(&x->subject, s);
        if (r == 0 && (state & 2))
            r = step_replace(&x->subject, s);
        if (r < 0)
            return r;
        x->dumps[state] = steps_dump(s, true);
    }
    return 0;
}

/* Two changes, of which the kth call that can fail does. Returns 0 if there are fewer. */
static int record_with_fault(Row *x, int k)
{
    static const Step steps[] = {step_remove, step_replace};
    _cleanup_(store_closep) Store *s = NULL;
    int r, state = 0;

    tree_remove(x->work);
    r = tree_copy(x->f.dir, x->work);
    if (r == 0)
        r = direct_open(x->work, &s, NULL);
    if (r == 0)
        r = lost_record(x->work);
    if (r < 0)
        return r;
    shim_inject(k, 1, EIO);
    for (int i = 0; i < 2; i++) {
        lost_mark(1u << state | 1u << (state | 1 << i));
        if (steps[i](&x->subject, s) == 0)
            state |= 1 << i;
        lost_mark(1u << state);
    }
    r = shim.calls >= k;
    shim_inject(0, 0, 0);
    return lost_stop() < 0 ? -ENOBUFS : r;
}

/* One call fails, the program goes on, and then the power is cut. */
TEST(cut_after_an_error)
{
    _cleanup_(row_done) Row x = {.work = ""};
    int k, r;

    ASSERT_OK(row_new(&x));
    ASSERT_OK(make_dumps(&x));
    for (k = 1; (r = record_with_fault(&x, k)) > 0 && !test_failed; k++) {
        memset(x.seen, 0, SEEN_SIZE * sizeof(*x.seen));
        cut_everywhere(&x, 1, TRIES, false);
        if (test_failed)
            TEST_FAIL("call %d failed before", k);
    }
    ASSERT_OK(r);
    printf("# %d errors\n", k - 1);
    print_counts(&x);
    ASSERT_TRUE(k > 12 && x.trees > 1000);
}
