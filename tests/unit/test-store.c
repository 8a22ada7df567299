/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/limits.h"
#include "credstore/store.h"
#include "store-direct.h"
#include "store-fixture.h"
#include "test.h"

TEST(open_needs_a_private_directory_with_a_store)
{
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *detail = NULL;
    char path[160];

    ASSERT_OK(fixture_new(&f));
    fixture_path(&f, "none", path);
    ASSERT_EQ(direct_open(path, &s, NULL), -ENOENT);
    fixture_path(&f, "store", path);
    ASSERT_EQ(direct_open(path, &s, NULL), -ENOTDIR);

    ASSERT_OK(chmod(f.dir, 0710));
    ASSERT_EQ(direct_open(f.dir, &s, &detail), -EPERM);
    ASSERT_TRUE(detail && strstr(detail, "0710"));
    ASSERT_OK(chmod(f.dir, 0700));
    ASSERT_TRUE(s == NULL);
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_STR(store_slot_type(s), "systemd-creds");
    store_close(TAKE_PTR(s));

    ASSERT_OK(unlink(path));
    ASSERT_EQ(direct_open(f.dir, &s, NULL), -ENOENT);
}

TEST(one_process_at_a_time)
{
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL, *second = NULL;
    _cleanup_(freep) char *detail = NULL;

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_EQ(direct_open(f.dir, &second, &detail), -EBUSY);
    ASSERT_TRUE(detail != NULL);
    store_close(TAKE_PTR(s));
    ASSERT_OK(direct_open(f.dir, &second, NULL));
}

TEST(records_come_back)
{
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    char a[STORE_ID_SIZE], b[STORE_ID_SIZE];

    ASSERT_OK(fixture_new(&f));
    for (int open = 0; open < 2; open++) {
        ASSERT_OK(direct_open(f.dir, &s, NULL));
        if (open == 0) {
            ASSERT_OK(fixture_add(s, "a", "secret of a", a));
            ASSERT_OK(fixture_add(s, "b", "secret of b", b));
        }
        ASSERT_EQ(strlen(a), 16);
        ASSERT_TRUE(fixture_has(s, a, "a", "secret of a"));
        ASSERT_TRUE(fixture_has(s, b, "b", "secret of b"));
        ASSERT_EQ(store_find(s, a)->generation, 1);
        ASSERT_STR(store_find(s, a)->id, a);
        ASSERT_TRUE(store_find(s, "0000") == NULL);
        ASSERT_TRUE(store_find(s, "../../etc/passwd") == NULL);
        store_close(TAKE_PTR(s));
    }
}

static bool has_meta(Store *s, const char *id, const char *expected)
{
    const StoreRecord *record = store_find(s, id);

    return record && record->error == 0 && record->meta_size == strlen(expected) &&
           memcmp(record->meta, expected, record->meta_size) == 0;
}

TEST(metadata_is_opaque)
{
    /* Neither the end nor the beginning of a record, although it looks like both. */
    static const char text[] =
        "{\"a\":[1,2.5,null,true,{\"b\":\"/\\n\\u0000\\\"\"}],\"\":\"\xc3\xa9\","
        "\"id\":\"0123456789abcdef\",\"secret\":{\"nonce\":\"AAAAAAAAAAAAAAAA\",\"ciphertext\":"
        "\"AAAA\",\"tag\":\"AAAAAAAAAAAAAAAAAAAAAA==\"},\"inner\":{\"id\":\"0123456789abcdef\","
        "\"generation\":1,\"meta\":{},\"secret\":{}}}";
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    _cleanup_(secret_freep) Secret *secret = secret_new_copy("x", 1);
    _cleanup_(freep) char *meta = strdup(text);
    char id[STORE_ID_SIZE];

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(store_begin(s, &t));
    ASSERT_OK(store_add(t, meta, secret, id));
    ASSERT_OK(store_commit(t));
    t = store_end(t);
    /* The store has its own copy. */
    meta[2]++;
    ASSERT_TRUE(has_meta(s, id, text));

    s = store_close(s);
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_TRUE(has_meta(s, id, text));
}

TEST(replace_and_remove)
{
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    char a[STORE_ID_SIZE], b[STORE_ID_SIZE], path[160], *text;
    size_t sound, broken, size;

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(fixture_add(s, "a", "first", a));
    ASSERT_OK(fixture_add(s, "b", "other", b));
    ASSERT_OK(fixture_replace(s, a, "a2", NULL));
    ASSERT_TRUE(fixture_has(s, a, "a2", "first"));
    ASSERT_EQ(store_find(s, a)->generation, 2);
    ASSERT_OK(fixture_replace(s, a, "a3", "second"));
    ASSERT_TRUE(fixture_has(s, a, "a3", "second"));
    ASSERT_EQ(store_find(s, a)->generation, 3);
    ASSERT_OK(fixture_delete(s, b));
    ASSERT_EQ(fixture_delete(s, b), -ENOENT);
    ASSERT_EQ(fixture_replace(s, b, "b2", "x"), -ENOENT);

    for (int open = 0; open < 2; open++) {
        fixture_count(s, &sound, &broken);
        ASSERT_EQ(sound, 1);
        ASSERT_EQ(broken, 0);
        ASSERT_TRUE(fixture_has(s, a, "a3", "second"));
        s = store_close(s);
        ASSERT_OK(direct_open(f.dir, &s, NULL));
    }
    fixture_path(&f, "store", path);
    ASSERT_OK(fixture_read(path, &text, &size));
    ASSERT_TRUE(!memmem(text, size, b, strlen(b)));
    free(text);
}

TEST(nothing_before_the_commit)
{
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(store_endp) StoreTransaction *t = NULL, *other = NULL;
    _cleanup_(freep) char *meta = fixture_meta("x");
    _cleanup_(secret_freep) Secret *secret = secret_new_copy("y", 1), *got = NULL;
    char id[STORE_ID_SIZE];

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(store_begin(s, &t));
    ASSERT_EQ(store_begin(s, &other), -EBUSY);
    ASSERT_OK(store_add(t, meta, secret, id));
    ASSERT_TRUE(store_find(s, id) == NULL);
    ASSERT_EQ(store_unseal(s, id, &got), -ENOENT);
    t = store_end(t);
    ASSERT_OK(store_begin(s, &t));
    ASSERT_EQ(store_remove(t, id), -ENOENT);
    ASSERT_OK(store_commit(t));
    ASSERT_EQ(store_commit(t), -EINVAL);
    ASSERT_EQ(store_add(t, meta, secret, id), -EINVAL);
}

/* Several changes of one record become one. */
TEST(a_transaction_sees_itself)
{
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    _cleanup_(freep) char *one = fixture_meta("1"), *two = fixture_meta("2");
    _cleanup_(secret_freep) Secret *x = secret_new_copy("x", 1), *y = secret_new_copy("y", 1);
    char old[STORE_ID_SIZE], a[STORE_ID_SIZE], b[STORE_ID_SIZE];
    size_t sound, broken;

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(fixture_add(s, "old", "o", old));
    ASSERT_OK(store_begin(s, &t));
    ASSERT_OK(store_add(t, one, x, a));
    ASSERT_OK(store_replace(t, a, two, NULL));
    ASSERT_OK(store_add(t, one, x, b));
    ASSERT_OK(store_remove(t, b));
    ASSERT_EQ(store_remove(t, b), -ENOENT);
    ASSERT_OK(store_replace(t, old, one, y));
    ASSERT_OK(store_replace(t, old, two, NULL));
    ASSERT_OK(store_commit(t));
    t = store_end(t);
    for (int open = 0; open < 2; open++) {
        fixture_count(s, &sound, &broken);
        ASSERT_EQ(sound, 2);
        ASSERT_TRUE(fixture_has(s, a, "2", "x"));
        ASSERT_EQ(store_find(s, a)->generation, 1);
        ASSERT_TRUE(fixture_has(s, old, "2", "y"));
        ASSERT_EQ(store_find(s, old)->generation, 2);
        s = store_close(s);
        ASSERT_OK(direct_open(f.dir, &s, NULL));
    }

    ASSERT_OK(store_begin(s, &t));
    ASSERT_OK(store_replace(t, old, one, y));
    ASSERT_OK(store_remove(t, old));
    ASSERT_EQ(store_replace(t, old, one, y), -ENOENT);
    ASSERT_OK(store_commit(t));
    ASSERT_TRUE(store_find(s, old) == NULL);
}

TEST(what_cannot_be_stored_is_refused)
{
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    _cleanup_(freep) char *meta = fixture_meta("x"), *big = NULL;
    _cleanup_(secret_freep) Secret *x = secret_new_copy("x", 1), *empty = secret_new(0);
    _cleanup_(secret_freep) Secret *long_secret = secret_new(STORE_RECORD_MAX);
    _cleanup_(freep) char *long_text = calloc(1, STORE_RECORD_MAX + 1);
    static const char *const bad[] = {"",
                                      "{",
                                      "}",
                                      "[]",
                                      "{}\n",
                                      "{\"a\":\n1}",
                                      "{} ",
                                      "{\"a\":\"\xff\xfe\"}",
                                      "{\"\xed\xa0\x80\":1}"};
    char id[STORE_ID_SIZE];

    memset(long_text, 'z', STORE_RECORD_MAX);
    big = fixture_meta(long_text);
    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(store_begin(s, &t));
    ASSERT_EQ(store_add(t, meta, empty, id), -EINVAL);
    ASSERT_EQ(store_add(t, big, x, id), -E2BIG);
    ASSERT_EQ(store_add(t, meta, long_secret, id), -E2BIG);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ASSERT_EQ(store_add(t, bad[i], x, id), -EINVAL);
    /* The largest record that is accepted can be read back. */
    free(TAKE_PTR(big));
    long_text[STORE_RECORD_MAX - 149] = '\0';
    big = fixture_meta(long_text);
    ASSERT_EQ(store_add(t, big, x, id), -E2BIG);
    free(TAKE_PTR(big));
    long_text[STORE_RECORD_MAX - 150] = '\0';
    big = fixture_meta(long_text);
    ASSERT_OK(store_add(t, big, x, id));
    ASSERT_OK(store_commit(t));
    t = store_end(t);
    s = store_close(s);
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_EQ(store_find(s, id)->error, 0);
}

/* The newline before its line was lost. */
TEST(largest_record_after_garbage)
{
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(secret_freep) Secret *secret = NULL;
    _cleanup_(freep) char *name = calloc(1, STORE_RECORD_MAX + 1), *text = NULL, *damaged = NULL;
    size_t length = STORE_RECORD_MAX, size, line_size, at;
    char id[STORE_ID_SIZE], path[160];
    const char *line;

    memset(name, 'z', length);
    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    while (fixture_add(s, name, "secret", id) == -E2BIG)
        name[--length] = '\0';
    s = store_close(s);
    fixture_path(&f, "store", path);
    ASSERT_OK(fixture_read(path, &text, &size));
    line = fixture_find_line(text, size, id, &line_size);
    ASSERT_TRUE(line != NULL);
    ASSERT_EQ(line_size, STORE_RECORD_MAX);
    at = (size_t)(line - text);
    damaged = malloc(size + STORE_RECORD_MAX);
    memcpy(damaged, text, at);
    memset(damaged + at, '{', STORE_RECORD_MAX);
    memcpy(damaged + at + STORE_RECORD_MAX, line, size - at);
    ASSERT_OK(fixture_write(path, damaged, size + STORE_RECORD_MAX));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_TRUE(store_find(s, id) != NULL);
    ASSERT_EQ(store_find(s, id)->error, 0);
    ASSERT_OK(store_unseal(s, id, &secret));
}

static int check_order(const StoreRecord *record, void *userdata)
{
    char *last = userdata;
    int c = strcmp(last, record->id);

    strcpy(last, record->id);
    return c < 0 ? 0 : 7;
}

static int stop(_unused_ const StoreRecord *record, void *userdata)
{
    ++*(int *)userdata;
    return -ECANCELED;
}

/* In two batches. */
TEST(many_records_in_order)
{
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *meta = fixture_meta("x");
    _cleanup_(secret_freep) Secret *x = secret_new_copy("x", 1);
    char id[1000][STORE_ID_SIZE], last[STORE_ID_SIZE] = "";
    size_t sound, broken;
    int visits = 0;

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    for (size_t batch = 0; batch < 2; batch++) {
        _cleanup_(store_endp) StoreTransaction *t = NULL;

        ASSERT_OK(store_begin(s, &t));
        for (size_t i = 0; i < 500; i++)
            ASSERT_OK(store_add(t, meta, x, id[500 * batch + i]));
        for (size_t i = 0; batch > 0 && i < 500; i += 5)
            ASSERT_OK(store_remove(t, id[i]));
        ASSERT_OK(store_commit(t));
    }
    for (int open = 0; open < 2; open++) {
        fixture_count(s, &sound, &broken);
        ASSERT_EQ(sound, 900);
        ASSERT_EQ(broken, 0);
        last[0] = '\0';
        ASSERT_EQ(store_for_each(s, check_order, last), 0);
        for (size_t i = 0; i < 1000; i++)
            ASSERT_EQ(store_find(s, id[i]) == NULL, i < 500 && i % 5 == 0);
        s = store_close(s);
        ASSERT_OK(direct_open(f.dir, &s, NULL));
    }
    ASSERT_EQ(store_for_each(s, stop, &visits), -ECANCELED);
    ASSERT_EQ(visits, 1);
}

/* A directory cannot be replaced by a file, so the commit must change nothing. */
TEST(a_directory_in_the_place_of_the_store)
{
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    char a[STORE_ID_SIZE], b[STORE_ID_SIZE], path[160];

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(fixture_add(s, "a", "first", a));
    fixture_path(&f, "store", path);
    ASSERT_OK(unlink(path));
    ASSERT_OK(mkdir(path, 0700));
    for (int i = 0; i < 2; i++) {
        ASSERT_EQ(fixture_replace(s, a, "a2", "second"), -EISDIR);
        ASSERT_TRUE(fixture_has(s, a, "a", "first"));
        ASSERT_TRUE(!fixture_has_new(f.dir));
    }
    ASSERT_OK(rmdir(path));
    /* Memory has all of it, so a commit restores the file. */
    ASSERT_OK(fixture_add(s, "b", "other", b));
    s = store_close(s);
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_TRUE(fixture_has(s, a, "a", "first"));
    ASSERT_TRUE(fixture_has(s, b, "b", "other"));
}

/* After a failed commit the same transaction can be committed again. */
TEST(commit_again)
{
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    _cleanup_(freep) char *meta = fixture_meta("a");
    _cleanup_(secret_freep) Secret *secret = secret_new_copy("first", 5);
    char id[STORE_ID_SIZE], path[160];

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    fixture_path(&f, "store.new", path);
    ASSERT_OK(mkdir(path, 0700));
    ASSERT_OK(store_begin(s, &t));
    ASSERT_OK(store_add(t, meta, secret, id));
    ASSERT_EQ(store_commit(t), -EISDIR);
    ASSERT_TRUE(store_find(s, id) == NULL);
    ASSERT_OK(rmdir(path));
    ASSERT_OK(store_commit(t));
    ASSERT_TRUE(fixture_has(s, id, "a", "first"));
}

TEST(open_sweeps_what_a_crash_left)
{
    static const char *const foreign[] = {"notes", "store.new~", "store.old", "header.json"};
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    char path[160], id[STORE_ID_SIZE];
    size_t sound, broken;

    ASSERT_OK(fixture_new(&f));
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
        fixture_path(&f, foreign[i], path);
        ASSERT_OK(fixture_write(path, "not ours", 8));
    }
    fixture_path(&f, "store.new", path);
    ASSERT_OK(fixture_write(path, "half a fi", 9));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    fixture_count(s, &sound, &broken);
    ASSERT_EQ(sound + broken, 0);
    ASSERT_TRUE(!fixture_has_new(f.dir));
    /* A leftover of another kind is no obstacle, not even a link to another file. */
    fixture_path(&f, "store.new", path);
    ASSERT_OK(symlink("notes", path));
    ASSERT_OK(fixture_add(s, "a", "first", id));
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
        ASSERT_TRUE(fixture_exists(&f, foreign[i]));
    s = store_close(s);
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_TRUE(fixture_has(s, id, "a", "first"));
}

TEST(create_keeps_what_is_there)
{
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    char path[160];

    ASSERT_OK(fixture_new(&f));
    ASSERT_EQ(direct_create(f.dir, &s, NULL), -EEXIST);
    /* Whatever file has its name. */
    fixture_path(&f, "store", path);
    ASSERT_OK(unlink(path));
    ASSERT_OK(symlink("nowhere", path));
    ASSERT_EQ(direct_create(f.dir, &s, NULL), -EEXIST);
    ASSERT_EQ(direct_open(f.dir, &s, NULL), -ELOOP);
}

TEST(the_file_is_private)
{
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    char path[160], id[STORE_ID_SIZE];
    struct stat st;

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(fixture_add(s, "a", "first", id));
    fixture_path(&f, "store", path);
    ASSERT_OK(stat(path, &st));
    ASSERT_EQ(st.st_mode & 07777, 0600);
}
