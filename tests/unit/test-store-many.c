/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "basic/json.h"
#include "basic/limits.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/store.h"
#include "store-direct.h"
#include "store-fixture.h"
#include "test.h"

/* Thousands of records: the cost of opening and of one change. */

#define FEW 1000
#define MANY 10000

static bool fill(Store *s, size_t n)
{
    _cleanup_(secret_freep) Secret *secret = secret_new(120);
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    char id[STORE_ID_SIZE], name[300], digits[24];

    if (!secret || store_begin(s, &t) < 0)
        return false;
    /* As long as the metadata of a real key. */
    memset(name, 'n', sizeof(name) - 1);
    for (size_t i = 0; i < n; i++) {
        _cleanup_(freep) char *meta = NULL;

        (void)snprintf(digits, sizeof(digits), "%zu", i);
        memcpy(name + sizeof(name) - 1 - strlen(digits), digits, strlen(digits) + 1);
        meta = fixture_meta(name);
        if (store_add(t, meta, secret, id) < 0)
            return false;
    }
    return store_commit(t) == 0;
}

/* Makes a store of n records, and returns the least processor time of three openings, in
 * microseconds; 0 after a failure. */
static uint64_t open_cost(const Fixture *f, size_t n)
{
    _cleanup_(store_closep) Store *s = NULL;
    uint64_t best = UINT64_MAX;
    size_t sound, broken;

    if (direct_open(f->dir, &s, NULL) < 0 || !fill(s, n))
        return 0;
    for (int i = 0; i < 3; i++) {
        struct timespec start, end;
        uint64_t usec;

        s = store_close(s);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
        if (direct_open(f->dir, &s, NULL) < 0)
            return 0;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
        usec = (uint64_t)(end.tv_sec - start.tv_sec) * USEC_PER_SEC +
               (uint64_t)(end.tv_nsec / 1000) - (uint64_t)(start.tv_nsec / 1000);
        best = usec < best ? usec : best;
    }
    fixture_count(s, &sound, &broken);
    return sound == n && broken == 0 ? best : 0;
}

TEST(open_is_linear)
{
    _cleanup_(fixture_done) Fixture few = {.top = ""}, many = {.top = ""};
    uint64_t few_usec, many_usec;

    ASSERT_OK(fixture_new(&few));
    few_usec = open_cost(&few, FEW);
    ASSERT_OK(fixture_new(&many));
    many_usec = open_cost(&many, MANY);
    printf("# %d records: %llu us, %d records: %llu us\n", FEW, (unsigned long long)few_usec, MANY,
           (unsigned long long)many_usec);
    ASSERT_TRUE(few_usec > 0 && many_usec > 0);
    /* Quadratic cost would be ten times as much; the factor leaves room for caches and other
     * processes. */
    ASSERT_TRUE(many_usec < few_usec * (MANY / FEW) * 4);
}

/* Returns the bytes that this process has passed to write(2) and similar calls; 0 if the kernel
 * does not count them. */
static uint64_t bytes_written(void)
{
    FILE *f = fopen("/proc/self/io", "re");
    unsigned long long n = 0;

    if (!f)
        return 0;
    if (fscanf(f, "rchar: %*u wchar: %llu", &n) != 1)
        n = 0;
    (void)fclose(f);
    return n;
}

/* An addition writes the whole file, once. */
TEST(add_writes_the_file_once)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(fixture_done) Fixture f = {.top = ""};
    char id[STORE_ID_SIZE], path[160];
    uint64_t before, written;
    struct stat st;

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_TRUE(fill(s, MANY));
    (void)fflush(stdout);
    before = bytes_written();
    if (before == 0)
        TEST_SKIP("needs /proc/self/io");
    ASSERT_OK(fixture_add(s, "one", "more", id));
    written = bytes_written() - before;
    printf("# adding one to %d: %llu bytes written\n", MANY, (unsigned long long)written);
    fixture_path(&f, "store", path);
    ASSERT_OK(stat(path, &st));
    ASSERT_EQ(written, st.st_size);
}
