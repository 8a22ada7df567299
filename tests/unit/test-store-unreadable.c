/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/store.h"
#include "fs-shim.h"
#include "store-direct.h"
#include "store-fixture.h"
#include "test.h"

/* A disk that cannot read some pages of a store: their records are broken, and the others load. */

#define N 40

typedef struct Disk {
    Fixture f;
    char id[N][STORE_ID_SIZE];
    char *text;
    size_t size, head;
} Disk;

static void disk_done(Disk *d)
{
    shim.bad_from = shim.bad_to = 0;
    shim.reads = false;
    shim_inject(0, 0, 0);
    free(d->text);
    fixture_done(&d->f);
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int disk_read(Disk *d)
{
    char path[160];
    int r;

    free(TAKE_PTR(d->text));
    fixture_path(&d->f, "store", path);
    r = fixture_read(path, &d->text, &d->size);
    if (r == 0)
        d->head = fixture_head_size(d->text, d->size);
    return r;
}

static int disk_new(Disk *d)
{
    _cleanup_(secret_freep) Secret *secret = secret_new_copy("secret", 6);
    _cleanup_(freep) char *meta = NULL;
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    char name[600];
    int r = fixture_new(&d->f);

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    meta = fixture_meta(name);
    if (r == 0)
        r = direct_open(d->f.dir, &s, NULL);
    if (r == 0)
        r = store_begin(s, &t);
    for (size_t i = 0; r == 0 && i < N; i++)
        r = store_add(t, meta, secret, d->id[i]);
    if (r == 0)
        r = store_commit(t);
    qsort(d->id, N, sizeof(d->id[0]), compare_ids);
    return r < 0 ? r : disk_read(d);
}

static bool overlaps(const Disk *d, size_t i, size_t from, size_t to)
{
    size_t size = 0;
    size_t start = (size_t)(fixture_find_line(d->text, d->size, d->id[i], &size) - d->text);

    return start < to && from < start + size + 1;
}

/* True if the records in the range have an error, and the others are sound. */
static bool only_these_are_broken(const Disk *d, Store *s, size_t from, size_t to, int error)
{
    for (size_t i = 0; i < N; i++) {
        const StoreRecord *record = store_find(s, d->id[i]);
        int expected = overlaps(d, i, from, to) ? error : 0;

        if (!record || record->error != expected) {
            printf("# pages from %zu to %zu: record %zu has error %d, not %d\n", from, to, i,
                   record ? record->error : 1, expected);
            return false;
        }
    }
    return true;
}

/* Each page, and each row of pages up to the end. */
TEST(some_pages_cannot_be_read)
{
    _cleanup_(disk_done) Disk d = {.text = NULL};
    int n = 0;

    ASSERT_OK(disk_new(&d));
    for (size_t from = 0; from < d.size; from += SHIM_PAGE)
        for (size_t to = from + SHIM_PAGE; to < d.size + SHIM_PAGE; to += SHIM_PAGE, n++) {
            _cleanup_(store_closep) Store *s = NULL;
            int r;

            shim.bad_from = from;
            shim.bad_to = to;
            shim.bad_reads = 0;
            r = direct_open(d.f.dir, &s, NULL);
            shim.bad_to = 0;
            ASSERT_TRUE(shim.bad_reads > 0);
            if (from < d.head)
                ASSERT_EQ(r, -EIO);
            else
                ASSERT_TRUE(r == 0 && only_these_are_broken(&d, s, from, to, -EIO));
        }
    printf("# %d ranges\n", n);
    ASSERT_TRUE(n > 20);
}

/* A commit drops the unreadable records, and keeps the old file for a later recovery. */
TEST(a_commit_with_pages_that_cannot_be_read)
{
    _cleanup_(disk_done) Disk d = {.text = NULL};
    _cleanup_(store_closep) Store *s = NULL;
    size_t from = 3 * SHIM_PAGE, to = 5 * SHIM_PAGE, sound, broken, size;
    _cleanup_(freep) char *kept = NULL;
    char id[STORE_ID_SIZE], path[160];

    ASSERT_OK(disk_new(&d));
    shim.bad_from = from;
    shim.bad_to = to;
    ASSERT_OK(direct_open(d.f.dir, &s, NULL));
    ASSERT_TRUE(only_these_are_broken(&d, s, from, to, -EIO));
    ASSERT_OK(fixture_add(s, "more", "more", id));
    ASSERT_TRUE(only_these_are_broken(&d, s, from, to, -EIO));
    shim.bad_to = 0;
    s = store_close(s);
    ASSERT_OK(direct_open(d.f.dir, &s, NULL));
    ASSERT_TRUE(only_these_are_broken(&d, s, from, to, -ENOENT));
    ASSERT_TRUE(fixture_has(s, id, "more", "more"));
    fixture_path(&d.f, "store.damaged", path);
    ASSERT_OK(fixture_read(path, &kept, &size));
    ASSERT_EQ(size, d.size);
    ASSERT_MEM(kept, d.text, size);

    /* Each of them can be replaced or removed. */
    for (size_t i = 0; i < N; i++)
        if (store_find(s, d.id[i])->error < 0) {
            if (i % 2)
                ASSERT_OK(fixture_replace(s, d.id[i], "again", "again"));
            else
                ASSERT_OK(fixture_delete(s, d.id[i]));
        }
    s = store_close(s);
    ASSERT_OK(direct_open(d.f.dir, &s, NULL));
    fixture_count(s, &sound, &broken);
    ASSERT_EQ(broken, 0);
    ASSERT_TRUE(sound < N && sound > N - 10);
}

/* If the disk recovers before a commit, nothing is lost. */
TEST(pages_that_can_be_read_again)
{
    _cleanup_(disk_done) Disk d = {.text = NULL};
    _cleanup_(store_closep) Store *s = NULL;

    ASSERT_OK(disk_new(&d));
    shim.bad_from = 2 * SHIM_PAGE;
    shim.bad_to = d.size;
    ASSERT_OK(direct_open(d.f.dir, &s, NULL));
    shim.bad_to = 0;
    s = store_close(s);
    ASSERT_OK(direct_open(d.f.dir, &s, NULL));
    ASSERT_TRUE(only_these_are_broken(&d, s, 0, 0, 0));
}

/* A single failed read breaks the records of one page at most. */
TEST(each_read_fails_once)
{
    _cleanup_(disk_done) Disk d = {.text = NULL};
    static const int errors[] = {EIO, EINTR, ENOMEM};

    ASSERT_OK(disk_new(&d));
    shim.reads = true;
    for (size_t e = 0; e < ARRAY_SIZE(errors); e++)
        for (int k = 1;; k++) {
            _cleanup_(store_closep) Store *s = NULL;
            bool end;
            int r;

            shim_inject(k, 1, errors[e]);
            r = direct_open(d.f.dir, &s, NULL);
            end = shim.calls < k;
            shim_inject(0, 0, 0);
            if (r == 0)
                ASSERT_TRUE(only_these_are_broken(&d, s, 0, 0, 0));
            else
                ASSERT_TRUE(r == -errors[e] || r == -EKEYREJECTED);
            if (end)
                break;
        }
}
