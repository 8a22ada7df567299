/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/io.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/limits.h"
#include "credstore/store-private.h"
#include "credstore/store.h"
#include "store-direct.h"
#include "store-fixture.h"
#include "test.h"
#include "tree.h"

/* Exporting the store for a boot image. */

#define N_RECORDS 24

/* A store with records of the names "0", "1" and so on. */
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
        r = direct_open(o->f.dir, &o->s, NULL);
    for (size_t i = 0; r == 0 && i < N_RECORDS; i++)
        r = fixture_add(o->s, name_of(i), secret_of(i), o->id[i]);
    /* Gives the records different generations. */
    for (size_t i = 0; r == 0 && i < N_RECORDS; i += 5)
        r = fixture_replace(o->s, o->id[i], name_of(i), NULL);
    return r;
}

/* The directory of an export, and its content: every nth record, none for 0. */
typedef struct Export {
    char dir[128];
    size_t nth, n_pieces;
    bool counter;
    int (*meanwhile)(Store *s, struct Export *e); /* called after each piece */
    const Original *original;
} Export;

static bool choose(const StoreRecord *record, void *userdata)
{
    const Export *e = userdata;

    return e->nth > 0 && strtoul(fixture_name(record), NULL, 10) % e->nth == 0;
}

static int export_all(Store *s, Export *e, FILE *file)
{
    _cleanup_(store_export_freep) StoreExport *export = NULL;
    const char *text;
    size_t size;
    int r = store_export_new(s, choose, e, &export);

    while (r == 0 && store_export_next(export, &text, &size)) {
        e->n_pieces++;
        e->counter = e->counter || memmem(text, size, "ounter", 6);
        if (fwrite(text, 1, size, file) != size)
            return -EIO;
        r = e->meanwhile ? e->meanwhile(s, e) : 0;
    }
    return r;
}

static int export_to(const Original *o, const char *name, size_t nth, Export *e)
{
    _cleanup_(fclosep) FILE *file = NULL;
    char path[160];

    *e = (Export){.nth = nth, .meanwhile = e->meanwhile, .original = e->original};
    snprintf(e->dir, sizeof(e->dir), "%s/%s", o->f.top, name);
    tree_remove(e->dir);
    snprintf(path, sizeof(path), "%s/store", e->dir);
    if (mkdir(e->dir, 0700) < 0 || !(file = fopen(path, "we")))
        return -errno;
    return export_all(o->s, e, file);
}

/* True if the store has every nth record, sound, and no other. */
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

    return direct_open(dir, &s, NULL) == 0 && store_is_export(s) && has_exactly(s, o, nth);
}

TEST(it_has_what_was_chosen)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    static const size_t each[] = {1, 2, 3, 7, 1000, 0};
    Export e = {.nth = 0};

    ASSERT_OK(original_new(&o));
    ASSERT_TRUE(!store_is_export(o.s));
    for (size_t i = 0; i < ARRAY_SIZE(each); i++) {
        ASSERT_OK(export_to(&o, "export", each[i], &e));
        if (!opens_with(e.dir, &o, each[i]))
            TEST_FAIL("each %zu", each[i]);
    }
    /* The store itself is unchanged. */
    o.s = store_close(o.s);
    ASSERT_OK(direct_open(o.f.dir, &o.s, NULL));
    ASSERT_TRUE(has_exactly(o.s, &o, 1));
}

TEST(it_is_an_older_state_by_nature)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    Export e = {.nth = 0};

    ASSERT_OK(original_new(&o));
    ASSERT_OK(export_to(&o, "export", 2, &e));
    ASSERT_OK(fixture_delete(o.s, o.id[0]));
    ASSERT_OK(fixture_replace(o.s, o.id[2], "2", "another"));
    ASSERT_TRUE(opens_with(e.dir, &o, 2));
}

/* Removes, changes and adds records between two pieces. */
static int change_store(Store *s, Export *e)
{
    char id[STORE_ID_SIZE];
    int r = 0;

    for (size_t i = 0; r == 0 && i < N_RECORDS; i++) {
        if (i % 3 == 0 && store_find(s, e->original->id[i]))
            r = fixture_delete(s, e->original->id[i]);
        else if (i % 3 == 1)
            r = fixture_replace(s, e->original->id[i], name_of(i), "another");
    }
    return r < 0 ? r : fixture_add(s, "new", "new", id);
}

TEST(it_is_the_state_of_its_beginning)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    Export e = {.meanwhile = change_store, .original = &o};

    ASSERT_OK(original_new(&o));
    ASSERT_OK(export_to(&o, "export", 1, &e));
    ASSERT_TRUE(!has_exactly(o.s, &o, 1));
    ASSERT_TRUE(opens_with(e.dir, &o, 1));
}

/* The store changes its records meanwhile, and the export still has those of its beginning. */
TEST(it_outlives_the_store)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    _cleanup_(store_export_freep) StoreExport *export = NULL;
    Export e = {.nth = 1};
    const char *text;
    size_t size, all = 0;

    ASSERT_OK(original_new(&o));
    ASSERT_OK(store_export_new(o.s, choose, &e, &export));
    o.s = store_close(o.s);
    while (store_export_next(export, &text, &size))
        all += size;
    ASSERT_TRUE(all > 24 * 100);
}

/* More records than fit into a piece. */
TEST(it_comes_in_pieces)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    _cleanup_(freep) char *secret = calloc(1, 8001);
    Export e = {.nth = 0};

    ASSERT_OK(original_new(&o));
    memset(secret, 's', 8000);
    for (size_t i = 0; i < N_RECORDS; i++)
        ASSERT_OK(fixture_replace(o.s, o.id[i], name_of(i), secret));
    ASSERT_OK(export_to(&o, "export", 1, &e));
    ASSERT_TRUE(e.n_pieces > 4);
    o.s = store_close(o.s);
    ASSERT_OK(direct_open(e.dir, &o.s, NULL));
    for (size_t i = 0; i < N_RECORDS; i++)
        ASSERT_TRUE(fixture_has(o.s, o.id[i], name_of(i), secret));
}

TEST(it_has_no_rollback_counter)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    Export e = {.nth = 0};

    ASSERT_OK(original_new(&o));
    o.s->header.counter = (RollbackCounter){.present = true, .value = 7};
    o.s->header.n_orphans = 1;
    ASSERT_OK(export_to(&o, "export", 1, &e));
    ASSERT_TRUE(!e.counter);
    ASSERT_TRUE(opens_with(e.dir, &o, 1));
}

TEST(it_cannot_be_changed)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    _cleanup_(store_closep) Store *s = NULL;
    StoreTransaction *t = NULL;
    StoreExport *export = NULL;
    Export e = {.nth = 0};
    char id[STORE_ID_SIZE];

    ASSERT_OK(original_new(&o));
    ASSERT_OK(export_to(&o, "export", 2, &e));
    ASSERT_OK(direct_open(e.dir, &s, NULL));
    ASSERT_EQ(store_begin(s, &t), -EROFS);
    ASSERT_TRUE(t == NULL);
    ASSERT_EQ(fixture_add(s, "new", "new", id), -EROFS);
    ASSERT_EQ(fixture_delete(s, o.id[0]), -EROFS);
    ASSERT_EQ(store_remove_slot(s, "01020304", true), -EPERM);
    ASSERT_EQ(store_export_new(s, choose, &e, &export), -EROFS);
}

TEST(it_is_not_too_large_for_an_image)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    StoreExport *export = NULL;
    Export e = {.nth = 1};

    ASSERT_OK(original_new(&o));
    o.s->records[3]->size += STORE_EXPORT_MAX;
    ASSERT_EQ(store_export_new(o.s, choose, &e, &export), -E2BIG);
    o.s->records[3]->size -= STORE_EXPORT_MAX;
}

/* Joins the head of one file with the records of another: every missing record must be reported. */
static bool heads_are_told_apart(const Original *o, const char *from, const char *to, size_t nth)
{
    _cleanup_(freep) char *text = NULL, *before = NULL, *mixed = NULL;
    char source[192], target[192];
    size_t size, size_before, head, head_before;
    _cleanup_(store_closep) Store *s = NULL;
    bool noticed = true;

    snprintf(source, sizeof(source), "%s/store", from);
    snprintf(target, sizeof(target), "%s/store", to);
    if (fixture_read(source, &text, &size) < 0 || fixture_read(target, &before, &size_before) < 0)
        return false;
    head = fixture_head_size(text, size);
    head_before = fixture_head_size(before, size_before);
    mixed = malloc(head + size_before);
    if (!mixed)
        return false;
    memcpy(mixed, text, head);
    memcpy(mixed + head, before + head_before, size_before - head_before);
    if (fixture_write(target, mixed, head + size_before - head_before) < 0 ||
        direct_open(to, &s, NULL) < 0)
        return false;
    for (size_t i = 0; i < N_RECORDS; i += nth)
        noticed = noticed && store_find(s, o->id[i]);
    return noticed && fixture_write(target, before, size_before) == 0;
}

TEST(no_head_hides_records)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    Export all = {.nth = 0}, some = {.nth = 0};

    ASSERT_OK(original_new(&o));
    ASSERT_OK(export_to(&o, "all", 1, &all));
    ASSERT_OK(export_to(&o, "some", 2, &some));
    o.s = store_close(o.s);

    ASSERT_TRUE(heads_are_told_apart(&o, all.dir, o.f.dir, 1));
    ASSERT_TRUE(heads_are_told_apart(&o, some.dir, o.f.dir, 1));
    ASSERT_TRUE(heads_are_told_apart(&o, o.f.dir, some.dir, 2));
    ASSERT_TRUE(heads_are_told_apart(&o, some.dir, all.dir, 1));
    ASSERT_TRUE(heads_are_told_apart(&o, all.dir, some.dir, 1));

    ASSERT_TRUE(opens_with(all.dir, &o, 1));
    ASSERT_TRUE(opens_with(some.dir, &o, 2));
    ASSERT_OK(direct_open(o.f.dir, &o.s, NULL));
    ASSERT_TRUE(has_exactly(o.s, &o, 1));
}

/* Flips one bit in each byte. */
TEST(tampering_is_noticed)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    _cleanup_(freep) char *text = NULL;
    Export e = {.nth = 0};
    char path[192];
    size_t size;

    ASSERT_OK(original_new(&o));
    ASSERT_OK(export_to(&o, "export", 8, &e));
    snprintf(path, sizeof(path), "%s/store", e.dir);
    ASSERT_OK(fixture_read(path, &text, &size));
    for (size_t i = 0; i < size; i++) {
        char good = text[i];

        text[i] = (char)(good ^ 1 << i % 7);
        ASSERT_OK(fixture_write(path, text, size));
        text[i] = good;
        if (opens_with(e.dir, &o, 8))
            TEST_FAIL("byte %zu", i);
    }
    ASSERT_OK(fixture_write(path, text, size));
    printf("# %zu bytes\n", size);
    ASSERT_TRUE(size > 800);
    ASSERT_TRUE(opens_with(e.dir, &o, 8));
}

TEST(a_broken_record_stays_behind)
{
    _cleanup_(original_done) Original o = {.s = NULL};
    _cleanup_(freep) char *text = NULL;
    Export e = {.nth = 0};
    size_t sound, broken, size, line_size;
    char path[160];

    ASSERT_OK(original_new(&o));
    o.s = store_close(o.s);
    fixture_path(&o.f, "store", path);
    ASSERT_OK(fixture_read(path, &text, &size));
    fixture_find_line(text, size, o.id[4], &line_size)[100] ^= 1;
    ASSERT_OK(fixture_write(path, text, size));
    ASSERT_OK(direct_open(o.f.dir, &o.s, NULL));
    ASSERT_OK(export_to(&o, "export", 1, &e));
    o.s = store_close(o.s);
    ASSERT_OK(direct_open(e.dir, &o.s, NULL));
    fixture_count(o.s, &sound, &broken);
    ASSERT_EQ(sound, N_RECORDS - 1);
    ASSERT_EQ(broken, 0);
    ASSERT_TRUE(store_find(o.s, o.id[4]) == NULL);
}
