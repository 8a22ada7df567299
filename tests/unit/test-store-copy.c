/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store-fixture.h"
#include "test.h"

#include "credstore/shard.h"
#include "credstore/store-private.h"

/* A copy of the store for a boot image. */

#define N_RECORDS 24

/* A store with records of the names "0", "1" and so on, and a directory for a copy. */
typedef struct Original {
    Fixture f;
    Store *s;
    char id[N_RECORDS][STORE_ID_SIZE];
} Original;

static void original_done(Original *o)
{
    store_close(o->s);
    fixture_done(&o->f);
}

static const char *name_of(size_t i)
{
    static char name[16];

    snprintf(name, sizeof(name), "%zu", i);
    return name;
}

static const char *secret_of(size_t i)
{
    static char secret[32];

    snprintf(secret, sizeof(secret), "secret of %zu", i);
    return secret;
}

static int original_new(Original *o)
{
    int r = fixture_new(&o->f);

    if (r == 0)
        r = store_open(o->f.dir, &o->s, NULL);
    for (size_t i = 0; r == 0 && i < N_RECORDS; i++)
        r = fixture_add(o->s, name_of(i), secret_of(i), o->id[i]);
    /* So that generations differ. */
    for (size_t i = 0; r == 0 && i < N_RECORDS; i += 5)
        r = fixture_replace(o->s, o->id[i], name_of(i), NULL);
    return r;
}

/* Where a copy goes to, and what goes there: every nth record, none for 0. */
typedef struct Copying {
    char dir[128];
    size_t nth, n_files, bytes;
    bool header; /* it came last */
    bool counter;
    int fail;
    int (*meanwhile)(Store *s, struct Copying *c); /* after each file */
    const Original *original;
} Copying;

static bool choose(const StoreRecord *record, void *userdata)
{
    const Copying *c = userdata;

    return c->nth > 0 && strtoul(fixture_name(record), NULL, 10) % c->nth == 0;
}

static int put_file(const char *path, const char *text, size_t size, void *userdata)
{
    Copying *c = userdata;
    char name[256];

    c->n_files++;
    c->bytes += size;
    c->header = strcmp(path, "header.json") == 0;
    c->counter = c->counter || strstr(text, "rollbackCounter");
    snprintf(name, sizeof(name), "%s/%s", c->dir, path);
    return c->fail ? c->fail : strlen(text) != size ? -EINVAL : fixture_write(name, text, size);
}

static int copy_all(Store *s, Copying *c)
{
    _cleanup_(store_copy_freep) StoreCopy *copy = NULL;
    int r = store_copy_new(s, choose, c, &copy);

    while (r == 0 && (r = store_copy_next(copy, s, put_file, c)) > 0)
        r = c->meanwhile ? c->meanwhile(s, c) : 0;
    return r;
}

static int copy_to(const Original *o, const char *name, size_t nth, Copying *c)
{
    char path[160];

    *c = (Copying){.nth = nth, .fail = c->fail, .meanwhile = c->meanwhile, .original = c->original};
    snprintf(c->dir, sizeof(c->dir), "%s/%s", o->f.top, name);
    fixture_remove(c->dir);
    snprintf(path, sizeof(path), "%s/index", c->dir);
    if (mkdir(c->dir, 0700) < 0 || mkdir(path, 0700) < 0)
        return -errno;
    snprintf(path, sizeof(path), "%s/records", c->dir);
    if (mkdir(path, 0700) < 0)
        return -errno;
    return copy_all(o->s, c);
}

/* Whether a store has exactly the nth ones, sound. */
static bool has_exactly(Store *s, const Original *o, size_t nth)
{
    size_t sound, broken;

    fixture_count(s, &sound, &broken);
    if (broken > 0)
        return false;
    for (size_t i = 0; i < N_RECORDS; i++) {
        if (nth > 0 && i % nth == 0 ? !fixture_has(s, o->id[i], name_of(i), secret_of(i))
                                    : store_find(s, o->id[i]) != NULL)
            return false;
    }
    return true;
}

static bool opens_with(const char *dir, const Original *o, size_t nth)
{
    _cleanup_(store_closep) Store *s = NULL;

    return store_open(dir, &s, NULL) == 0 && store_is_copy(s) && has_exactly(s, o, nth);
}

TEST(it_has_what_was_chosen)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    static const size_t each[] = {1, 2, 3, 7, 1000, 0};
    Copying c = {.fail = 0};

    ASSERT_OK(original_new(&o));
    ASSERT_TRUE(!store_is_copy(o.s));
    for (size_t i = 0; i < ARRAY_SIZE(each); i++) {
        ASSERT_OK(copy_to(&o, "copy", each[i], &c));
        ASSERT_TRUE(c.header);
        if (!opens_with(c.dir, &o, each[i]))
            TEST_FAIL("each %zu", each[i]);
    }
    /* The store is as it was. */
    o.s = store_close(o.s);
    ASSERT_OK(store_open(o.f.dir, &o.s, NULL));
    ASSERT_TRUE(has_exactly(o.s, &o, 1));
}

/* What is read again is the same: a copy outlives changes of the store. */
TEST(it_is_an_older_state_by_nature)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    Copying c = {.fail = 0};

    ASSERT_OK(original_new(&o));
    ASSERT_OK(copy_to(&o, "copy", 2, &c));
    ASSERT_OK(fixture_delete(o.s, o.id[0]));
    ASSERT_OK(fixture_replace(o.s, o.id[2], "2", "another"));
    ASSERT_TRUE(opens_with(c.dir, &o, 2));
}

/* Records go, change and come before and behind the place that the copy has come to. */
static int change_store(Store *s, Copying *c)
{
    char id[STORE_ID_SIZE];
    size_t i = c->n_files % N_RECORDS;

    if (store_find(s, c->original->id[i]) && c->n_files % 3 == 0)
        return fixture_delete(s, c->original->id[i]);
    if (store_find(s, c->original->id[i]) && c->n_files % 3 == 1)
        return fixture_replace(s, c->original->id[i], name_of(i), "another");
    return c->n_files % 5 == 0 ? fixture_add(s, "new", "new", id) : 0;
}

TEST(it_is_the_state_of_its_beginning)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    Copying c = {.meanwhile = change_store, .original = &o};

    ASSERT_OK(original_new(&o));
    ASSERT_OK(copy_to(&o, "copy", 1, &c));
    ASSERT_TRUE(!has_exactly(o.s, &o, 1));
    ASSERT_TRUE(opens_with(c.dir, &o, 1));
}

TEST(it_has_no_rollback_counter)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    Copying c = {.fail = 0};

    ASSERT_OK(original_new(&o));
    o.s->header.counter = (RollbackCounter){.present = true, .value = 7};
    ASSERT_OK(copy_to(&o, "copy", 1, &c));
    ASSERT_TRUE(!c.counter);
    ASSERT_TRUE(opens_with(c.dir, &o, 1));
}

TEST(it_cannot_be_changed)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    _cleanup_(store_closep) Store *s = NULL;
    StoreTransaction *t = NULL;
    Copying c = {.fail = 0}, again = {.fail = 0};
    char id[STORE_ID_SIZE];

    ASSERT_OK(original_new(&o));
    ASSERT_OK(copy_to(&o, "copy", 2, &c));
    ASSERT_OK(store_open(c.dir, &s, NULL));
    ASSERT_EQ(store_begin(s, &t), -EROFS);
    ASSERT_TRUE(t == NULL);
    ASSERT_EQ(fixture_add(s, "new", "new", id), -EROFS);
    ASSERT_EQ(fixture_delete(s, o.id[0]), -EROFS);
    ASSERT_EQ(store_remove_slot(s, "01020304", true), -EPERM);
    ASSERT_EQ(copy_all(s, &again), -EROFS);
    ASSERT_EQ(again.n_files, 0);
}

/* Whether all that should be there is told to be broken, if the foreign file lists it (number < 0:
 * it is the header), and nothing else is there. */
static bool is_noticed(const Original *o, Store *s, size_t nth, int number)
{
    for (size_t i = 0; i < N_RECORDS; i++) {
        const StoreRecord *record = store_find(s, o->id[i]);
        bool expected = i % nth == 0, listed;

        listed = number < 0 || (int)shard_of(strtoul(o->id[i], NULL, 16)) == number;
        if (expected ? !record || (listed && record->error != -EBADMSG)
                     : record && record->error == 0) {
            printf("# record %zu\n", i);
            return false;
        }
    }
    return true;
}

/* Puts each file but the records of one directory into another, alone. */
static bool fits_nowhere(const Original *o, const char *from, const char *to, size_t nth)
{
    bool noticed = true;

    for (int number = -1; number < STORE_SHARDS && noticed; number++) {
        _cleanup_(freep) char *text = NULL, *before = NULL;
        char name[32] = "header.json", source[192], target[192];
        size_t size, size_before = 0;
        Store *s = NULL;

        if (number >= 0)
            snprintf(name, sizeof(name), "index/%02x.json", (unsigned)number);
        snprintf(source, sizeof(source), "%s/%s", from, name);
        snprintf(target, sizeof(target), "%s/%s", to, name);
        if (fixture_read(source, &text, &size) < 0)
            continue;
        (void)fixture_read(target, &before, &size_before);
        if (fixture_write(target, text, size) < 0)
            return false;
        if (store_open(to, &s, NULL) == 0)
            noticed = is_noticed(o, s, nth, number);
        store_close(s);
        if (before ? fixture_write(target, before, size_before) < 0 : unlink(target) < 0)
            return false;
        if (!noticed)
            printf("# %s of %s\n", name, from);
    }
    return noticed;
}

TEST(no_file_fits_elsewhere)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    Copying all = {.fail = 0}, some = {.fail = 0}, later = {.fail = 0};

    ASSERT_OK(original_new(&o));
    ASSERT_OK(copy_to(&o, "all", 1, &all));
    ASSERT_OK(copy_to(&o, "some", 2, &some));
    ASSERT_OK(copy_to(&o, "later", 2, &later));
    o.s = store_close(o.s);

    ASSERT_TRUE(fits_nowhere(&o, all.dir, o.f.dir, 1));
    ASSERT_TRUE(fits_nowhere(&o, some.dir, o.f.dir, 1));
    ASSERT_TRUE(fits_nowhere(&o, o.f.dir, all.dir, 1));
    ASSERT_TRUE(fits_nowhere(&o, o.f.dir, some.dir, 2));
    ASSERT_TRUE(fits_nowhere(&o, some.dir, all.dir, 1));
    ASSERT_TRUE(fits_nowhere(&o, all.dir, some.dir, 2));
    ASSERT_TRUE(fits_nowhere(&o, later.dir, some.dir, 2));

    ASSERT_TRUE(opens_with(all.dir, &o, 1));
    ASSERT_TRUE(opens_with(some.dir, &o, 2));
    ASSERT_OK(store_open(o.f.dir, &o.s, NULL));
    ASSERT_TRUE(has_exactly(o.s, &o, 1));
}

/* One bit of each byte of the header and the index. */
TEST(tampering_is_noticed)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    Copying c = {.fail = 0};
    size_t n = 0;

    ASSERT_OK(original_new(&o));
    ASSERT_OK(copy_to(&o, "copy", 8, &c));
    for (int number = -1; number < STORE_SHARDS; number++) {
        _cleanup_(freep) char *text = NULL;
        char path[192] = "";
        size_t size;

        if (number < 0)
            snprintf(path, sizeof(path), "%s/header.json", c.dir);
        else
            snprintf(path, sizeof(path), "%s/index/%02x.json", c.dir, (unsigned)number);
        if (fixture_read(path, &text, &size) < 0)
            continue;
        for (size_t i = 0; i < size; i++, n++) {
            char good = text[i];

            text[i] = (char)(good ^ 1 << i % 7);
            ASSERT_OK(fixture_write(path, text, size));
            text[i] = good;
            if (opens_with(c.dir, &o, 8))
                TEST_FAIL("byte %zu of %s", i, path);
        }
        ASSERT_OK(fixture_write(path, text, size));
    }
    printf("# %zu bytes\n", n);
    ASSERT_TRUE(n > 800);
    ASSERT_TRUE(opens_with(c.dir, &o, 8));
}

TEST(a_broken_record_stays_behind)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    char name[64], path[160];
    Copying c = {.fail = 0};
    size_t sound, broken;

    ASSERT_OK(original_new(&o));
    o.s = store_close(o.s);
    fixture_record_name(o.id[4], name);
    fixture_path(&o.f, name, path);
    ASSERT_OK(truncate(path, 100));
    ASSERT_OK(store_open(o.f.dir, &o.s, NULL));
    ASSERT_OK(copy_to(&o, "copy", 1, &c));
    o.s = store_close(o.s);
    ASSERT_OK(store_open(c.dir, &o.s, NULL));
    fixture_count(o.s, &sound, &broken);
    ASSERT_EQ(sound, N_RECORDS - 1);
    ASSERT_EQ(broken, 0);
    ASSERT_TRUE(store_find(o.s, o.id[4]) == NULL);
}

TEST(who_takes_the_files_may_stop)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    Copying c = {.fail = -ENOSPC};

    ASSERT_OK(original_new(&o));
    ASSERT_EQ(copy_to(&o, "copy", 1, &c), -ENOSPC);
    ASSERT_EQ(c.n_files, 1);
}
