/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/macro.h"
#include "credstore/limits.h"
#include "credstore/staged.h"
#include "credstore/store.h"
#include "fs-shim.h"
#include "stepper.h"
#include "store-direct.h"
#include "store-fixture.h"
#include "test.h"
#include "tree.h"

/* A store that is put in the place of another: written in parts, and installed by one rename. */

#define PART ((size_t)100)

/* The store of a fixture has the record "old", its backup "new". */
typedef struct Scene {
    Fixture f;
    char work[96]; /* the child works on this copy of f.dir */
    char old[STORE_ID_SIZE], new[STORE_ID_SIZE];
    char *backup;
    size_t size;
} Scene;

static void scene_done(Scene *x)
{
    free(x->backup);
    fixture_done(&x->f);
}

static int read_backup(Scene *x, Store *s)
{
    _cleanup_(store_export_freep) StoreExport *e = NULL;
    const char *text;
    size_t size;
    int r = store_backup_new(s, &e);

    if (r < 0)
        return r;
    if (store_export_count(e) != 1)
        return -EIO;
    while (store_export_next(e, &text, &size)) {
        char *backup = realloc(x->backup, x->size + size);

        if (!backup)
            return -ENOMEM;
        memcpy(backup + x->size, text, size);
        x->backup = backup;
        x->size += size;
    }
    return 0;
}

static int scene_new(Scene *x)
{
    _cleanup_(store_closep) Store *s = NULL;
    int r = fixture_new(&x->f);

    if (r == 0)
        r = direct_open(x->f.dir, &s, NULL);
    if (r == 0)
        r = fixture_add(s, "new", "of the backup", x->new);
    if (r == 0)
        r = read_backup(x, s);
    if (r == 0)
        r = fixture_delete(s, x->new);
    if (r == 0)
        r = fixture_add(s, "old", "of the store", x->old);
    snprintf(x->work, sizeof(x->work), "%s/work", x->f.top);
    return r;
}

static int stage(const Scene *x, const char *dir)
{
    int r = 0;

    for (size_t at = 0; r == 0 && at < x->size; at += PART)
        r = staged_write(dir, at, x->backup + at, CONST_MIN(PART, x->size - at));
    return r;
}

/* A copy of the store, with the backup beside it. */
static int copy(const Scene *x)
{
    int r;

    tree_remove(x->work);
    r = tree_copy(x->f.dir, x->work);
    return r < 0 ? r : stage(x, x->work);
}

/* Returns 0 for the old state, 1 for the new one, 2 for neither. */
static int read_state(const Scene *x, const char *dir)
{
    _cleanup_(store_closep) Store *s = NULL;
    size_t sound, broken;
    bool old, new;

    if (direct_open(dir, &s, NULL) < 0)
        return 2;
    fixture_count(s, &sound, &broken);
    old = fixture_has(s, x->old, "old", "of the store");
    new = fixture_has(s, x->new, "new", "of the backup");
    return sound != 1 || broken > 0 || old == new ? 2 : new;
}

static bool has(const char *dir, const char *name)
{
    char path[160];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return lstat(path, &st) == 0;
}

TEST(a_backup_is_the_store)
{
    _cleanup_(scene_done) Scene x = {.size = 0};
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *text = NULL;
    char path[160];
    size_t size;

    ASSERT_OK(scene_new(&x));
    free(TAKE_PTR(x.backup));
    x.size = 0;
    ASSERT_OK(direct_open(x.f.dir, &s, NULL));
    ASSERT_OK(read_backup(&x, s));
    fixture_path(&x.f, "store", path);
    ASSERT_OK(fixture_read(path, &text, &size));
    ASSERT_EQ(size, x.size);
    ASSERT_TRUE(memcmp(text, x.backup, size) == 0);
}

TEST(it_replaces_the_store_which_is_kept)
{
    _cleanup_(scene_done) Scene x = {.size = 0};
    _cleanup_(freep) char *kept = NULL, *again = NULL;
    char path[160];

    ASSERT_OK(scene_new(&x));
    ASSERT_OK(copy(&x));
    ASSERT_EQ(read_state(&x, x.work), 0);
    ASSERT_OK(staged_install(x.work, &kept));
    ASSERT_EQ(read_state(&x, x.work), 1);
    snprintf(path, sizeof(path), "%s/store.replaced", x.work);
    ASSERT_STR(kept, path);
    ASSERT_OK(stage(&x, x.work));
    ASSERT_OK(staged_install(x.work, &again));
    snprintf(path, sizeof(path), "%s/store.replaced.2", x.work);
    ASSERT_STR(again, path);

    /* The first one is still the store of the beginning. */
    snprintf(path, sizeof(path), "%s/store", x.work);
    ASSERT_OK(rename(kept, path));
    ASSERT_EQ(read_state(&x, x.work), 0);
    staged_forget(x.work);
    ASSERT_TRUE(!has(x.work, "restore"));
}

TEST(without_a_store_nothing_is_kept)
{
    _cleanup_(scene_done) Scene x = {.size = 0};
    char *kept = NULL;

    ASSERT_OK(scene_new(&x));
    ASSERT_OK(mkdir(x.work, 0700));
    ASSERT_EQ(staged_install(x.work, &kept), -ENOENT);
    ASSERT_OK(stage(&x, x.work));
    ASSERT_OK(staged_install(x.work, &kept));
    ASSERT_TRUE(kept == NULL);
    ASSERT_EQ(read_state(&x, x.work), 1);
}

TEST(parts_follow_each_other)
{
    _cleanup_(scene_done) Scene x = {.size = 0};

    ASSERT_OK(scene_new(&x));
    ASSERT_EQ(staged_write(x.f.dir, 1, "a", 1), -ESPIPE);
    ASSERT_OK(staged_write(x.f.dir, 0, "abc", 3));
    ASSERT_EQ(staged_write(x.f.dir, 2, "d", 1), -ESPIPE);
    ASSERT_EQ(staged_write(x.f.dir, 4, "d", 1), -ESPIPE);
    ASSERT_EQ(staged_write(x.f.dir, STORE_FILE_MAX, "d", 1), -EFBIG);
    ASSERT_OK(staged_write(x.f.dir, 3, "d", 1));
    /* A part at 0 begins another one. */
    ASSERT_OK(stage(&x, x.f.dir));
    ASSERT_EQ(read_state(&x, x.f.dir), 0);
    staged_forget(x.f.dir);
    ASSERT_TRUE(!has(x.f.dir, "restore"));
    ASSERT_EQ(staged_write(x.f.dir, 4, "d", 1), -ESPIPE);
}

/* A store in parts of which one is missing does not even attach. */
TEST(a_cut_one_is_not_a_store)
{
    _cleanup_(scene_done) Scene x = {.size = 0};
    _cleanup_(freep) char *detail = NULL;
    Store *s = NULL;

    ASSERT_OK(scene_new(&x));
    ASSERT_OK(staged_write(x.f.dir, 0, x.backup, PART));
    ASSERT_EQ(staged_attach(x.f.dir, &s, &detail), -EBADMSG);
}

static int deed_install(void *userdata)
{
    const Scene *x = userdata;
    char *kept;

    stepper_begin();
    return staged_install(x->work, &kept);
}

TEST(killed_at_each_system_call)
{
    _cleanup_(scene_done) Scene x = {.size = 0};
    int seen[2] = {0, 0}, r;

    ASSERT_OK(scene_new(&x));
    for (int n = 1;; n++) {
        int state;

        ASSERT_OK(copy(&x));
        r = stepper_kill(deed_install, &x, n);
        if (r == -EPERM)
            TEST_SKIP("may not trace");
        ASSERT_TRUE(r >= 0);
        state = read_state(&x, x.work);
        if (state == 2 || (state == 1 && !has(x.work, "store.replaced")))
            TEST_FAIL("stop %d: state %d", n, state);
        if (r == 0)
            break;
        seen[state]++;
    }
    printf("# %d times the old state, %d times the new one\n", seen[0], seen[1]);
    ASSERT_TRUE(seen[0] > 8 && seen[1] > 2);
}

/* An error leaves the old store, under its name alone. */
TEST(each_call_fails)
{
    _cleanup_(scene_done) Scene x = {.size = 0};
    int n = 1, r;

    ASSERT_OK(scene_new(&x));
    do {
        _cleanup_(freep) char *kept = NULL;

        ASSERT_OK(copy(&x));
        shim_inject(n, 1, EIO);
        r = staged_install(x.work, &kept);
        shim_inject(0, 0, 0);
        if (read_state(&x, x.work) != (r == 0) || has(x.work, "store.replaced") != (r == 0))
            TEST_FAIL("call %d: %s", n, strerror(-r));
        n++;
    } while (r < 0);
    ASSERT_TRUE(n > 6);
}
