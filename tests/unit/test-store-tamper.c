/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/head.h"
#include "credstore/store-private.h"
#include "credstore/store.h"
#include "store-direct.h"
#include "store-fixture.h"
#include "test.h"

/* A store of three records, in the order of their ids, and the text of its file. */
#define N 3

typedef struct Victim {
    Fixture f;
    char id[N][STORE_ID_SIZE];
    char *text;
    size_t size;
    size_t line[N + 1]; /* start of each record, and end of the last one */
} Victim;

static const char *const names[] = {"one", "two", "three"};
static const char *const secrets[] = {"secret 1", "secret 2", "secret 3"};

static void victim_done(Victim *v)
{
    free(v->text);
    fixture_done(&v->f);
}

static int victim_read(Victim *v)
{
    char path[160];
    int r;

    free(TAKE_PTR(v->text));
    fixture_path(&v->f, "store", path);
    r = fixture_read(path, &v->text, &v->size);
    for (size_t i = 0, size; r == 0 && i < N; i++) {
        const char *line = fixture_find_line(v->text, v->size, v->id[i], &size);

        if (!line)
            return -ENOENT;
        v->line[i] = (size_t)(line - v->text);
        v->line[i + 1] = v->line[i] + size + 1;
    }
    return r;
}

static int victim_new(Victim *v)
{
    _cleanup_(store_closep) Store *s = NULL;
    int r = fixture_new(&v->f);

    if (r == 0)
        r = direct_open(v->f.dir, &s, NULL);
    /* Repeats until the ids are in rising order. */
    for (size_t i = 0; r == 0 && i < N;) {
        r = fixture_add(s, names[i], secrets[i], v->id[i]);
        if (r == 0 && (i == 0 || strcmp(v->id[i], v->id[i - 1]) > 0))
            i++;
        else
            for (i++; r == 0 && i > 0; i--)
                r = fixture_delete(s, v->id[i - 1]);
    }
    return r < 0 ? r : victim_read(v);
}

#define VICTIM                                                                                     \
    _cleanup_(victim_done) Victim v = {.f.top = ""};                                               \
    ASSERT_OK(victim_new(&v))

static int put_text(const Victim *v, const char *text, size_t size)
{
    char path[160];

    fixture_path(&v->f, "store", path);
    return fixture_write(path, text, size);
}

/* Writes the pieces, ended by NULL, as the file. */
typedef struct Piece {
    const char *text;
    size_t size;
} Piece;

static int put_pieces(const Victim *v, const Piece *pieces)
{
    _cleanup_(freep) char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return -ENOMEM;
    for (; pieces->text; pieces++)
        (void)fwrite(pieces->text, 1, pieces->size, f);
    return fclose(f) != 0 ? -ENOMEM : put_text(v, text, size);
}

static Piece head_of(const Victim *v)
{
    return (Piece){v->text, v->line[0]};
}

static Piece line_of(const Victim *v, size_t i)
{
    return (Piece){v->text + v->line[i], v->line[i + 1] - v->line[i]};
}

static const Piece end = {NULL, 0};

/* errors: the expected error of each record, 0 for a sound one, 1 for a missing one; more: the
 * number of other broken records. */
static bool store_is(Store *s, const Victim *v, const int errors[static N], size_t more)
{
    size_t sound, broken, expected_sound = 0, expected_broken = more;

    for (size_t i = 0; i < N; i++) {
        _cleanup_(secret_freep) Secret *secret = NULL;
        const StoreRecord *record = store_find(s, v->id[i]);

        expected_sound += errors[i] == 0;
        expected_broken += errors[i] < 0;
        if (errors[i] == 0  ? !fixture_has(s, v->id[i], names[i], secrets[i])
            : errors[i] > 0 ? record != NULL
                            : (!record || record->error != errors[i] || record->meta ||
                               store_unseal(s, v->id[i], &secret) != errors[i])) {
            printf("# record %zu has error %d, not %d\n", i, record ? record->error : 1, errors[i]);
            return false;
        }
    }
    fixture_count(s, &sound, &broken);
    if (sound != expected_sound || broken != expected_broken) {
        printf("# %zu sound and %zu broken\n", sound, broken);
        return false;
    }
    return true;
}

static bool opens_as(const Victim *v, const int errors[static N], size_t more)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *detail = NULL;
    int r = direct_open(v->f.dir, &s, &detail);

    if (r < 0) {
        printf("# direct_open: %s, %s\n", strerror(-r), detail);
        return false;
    }
    return store_is(s, v, errors, more);
}

#define SOUND ((const int[N]){0, 0, 0})

/* True if only record i has an error. */
static bool only_one_has(const Victim *v, size_t i, int error)
{
    int errors[N] = {0};

    errors[i] = error;
    return opens_as(v, errors, 0);
}

/* True if the store does not open, and a detail says why. */
static bool is_refused(const Victim *v)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *detail = NULL;
    int r = direct_open(v->f.dir, &s, &detail);

    if (!detail || (r != -EBADMSG && r != -EKEYREJECTED && r != -EPROTONOSUPPORT)) {
        printf("# direct_open: %s, %s\n", strerror(-r), detail ? detail : "no detail");
        return false;
    }
    return true;
}

/* The record at this byte, or N for the head. */
static size_t record_at(const Victim *v, size_t offset)
{
    size_t i = N;

    while (i > 0 && offset < v->line[i - 1])
        i--;
    return i == 0 ? N : i - 1;
}

TEST(each_bit)
{
    VICTIM;

    ASSERT_TRUE(opens_as(&v, SOUND, 0));
    for (size_t bit = 0; bit < 8 * v.size; bit++) {
        char mask = (char)(1 << bit % 8);
        size_t i = record_at(&v, bit / 8);

        v.text[bit / 8] = (char)(v.text[bit / 8] ^ mask);
        ASSERT_OK(put_text(&v, v.text, v.size));
        v.text[bit / 8] = (char)(v.text[bit / 8] ^ mask);
        if (i == N ? !is_refused(&v) : !only_one_has(&v, i, -EBADMSG))
            TEST_FAIL("bit %zu of byte %zu", bit % 8, bit / 8);
    }
    printf("# %zu flips, all noticed\n", 8 * v.size);
    ASSERT_TRUE(v.size > 800);
}

TEST(each_length)
{
    VICTIM;

    for (size_t length = 0; length < v.size; length++) {
        int errors[N];

        for (size_t i = 0; i < N; i++)
            errors[i] = length >= v.line[i + 1] ? 0 : length > v.line[i] ? -EBADMSG : -ENOENT;
        ASSERT_OK(put_text(&v, v.text, length));
        if (length < v.line[0] ? !is_refused(&v) : !opens_as(&v, errors, 0))
            TEST_FAIL("cut at %zu", length);
    }
    printf("# %zu lengths, all noticed\n", v.size);
}

/* One byte more, or one byte less, in each place. */
TEST(each_insertion_and_each_omission)
{
    VICTIM;

    for (size_t at = 0; at < v.size; at++) {
        size_t i = record_at(&v, at);
        bool begins = i < N && at == v.line[i];

        for (const char *more = "\n x"; *more; more++) {
            ASSERT_OK(put_pieces(
                &v, (const Piece[]){{v.text, at}, {more, 1}, {v.text + at, v.size - at}, end}));
            /* A byte before the first record belongs to none, and neither does a second newline. */
            if (begins || (*more == '\n' && v.text[at] == '\n' && at + 1 >= v.line[0])
                    ? !opens_as(&v, SOUND, 0)
                : i == N ? !is_refused(&v)
                         : !only_one_has(&v, i, -EBADMSG))
                TEST_FAIL("one more at %zu", at);
        }
        ASSERT_OK(
            put_pieces(&v, (const Piece[]){{v.text, at}, {v.text + at + 1, v.size - at - 1}, end}));
        if (i == N ? !is_refused(&v) : !only_one_has(&v, i, -EBADMSG))
            TEST_FAIL("one less at %zu", at);
    }
}

/* Other kinds of files under the name must not be followed, and must not block. */
static int make_odd(const char *path, int which)
{
    static const char *const targets[] = {"old", "/etc/passwd", "/dev/zero", "nowhere"};

    if (which < 4)
        return symlink(targets[which], path);
    if (which == 4)
        return mkdir(path, 0700);
    return which == 5 ? mkfifo(path, 0600) : fixture_write(path, "", 0);
}

TEST(the_file_is_something_else)
{
    char path[160], old[160];
    VICTIM;

    fixture_path(&v.f, "store", path);
    fixture_path(&v.f, "old", old);
    ASSERT_OK(rename(path, old));
    for (int which = 0; which < 7; which++) {
        _cleanup_(store_closep) Store *s = NULL;
        _cleanup_(freep) char *detail = NULL;
        int r;

        ASSERT_OK(make_odd(path, which));
        r = direct_open(v.f.dir, &s, &detail);
        if (r >= 0 || r == -ENOENT || !detail)
            TEST_FAIL("%d: %d", which, r);
        ASSERT_EQ(direct_create(v.f.dir, &s, NULL), -EEXIST);
        ASSERT_OK(remove(path));
    }
    ASSERT_OK(rename(old, path));
    ASSERT_TRUE(opens_as(&v, SOUND, 0));
}

TEST(a_newer_format_is_told_apart)
{
    _cleanup_(store_closep) Store *s = NULL;
    char *version;
    VICTIM;

    version = strstr(v.text, "\"version\":1");
    ASSERT_TRUE(version != NULL);
    version[10] = '2';
    ASSERT_OK(put_text(&v, v.text, v.size));
    ASSERT_EQ(direct_open(v.f.dir, &s, NULL), -EPROTONOSUPPORT);
}

/* The head lists the records, and each line names its own, so their order does not matter. */
TEST(lines_in_another_order)
{
    VICTIM;

    ASSERT_OK(put_pieces(
        &v, (const Piece[]){head_of(&v), line_of(&v, 2), line_of(&v, 0), line_of(&v, 1), end}));
    ASSERT_TRUE(opens_as(&v, SOUND, 0));
}

static void swap(char *a, char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char c = a[i];

        a[i] = b[i];
        b[i] = c;
    }
}

/* The last two have metadata and secrets of different lengths, so the first two are used. */
TEST(parts_of_two_records_swapped)
{
    static const struct {
        const char *start, *end;
    } parts[] = {{"\"id\":", ",\"generation\""},  {"\"meta\":", ",\"secret\""},
                 {"\"secret\":", "}}"},           {"\"nonce\":", ",\"ciphertext\""},
                 {"\"ciphertext\":", ",\"tag\""}, {"\"tag\":", "}}"}};
    VICTIM;

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        char *a = strstr(v.text + v.line[0], parts[i].start), *b;
        size_t size;

        ASSERT_TRUE(a);
        size = (size_t)(strstr(a, parts[i].end) - a);
        b = strstr(v.text + v.line[1], parts[i].start);
        ASSERT_EQ(strstr(b, parts[i].end) - b, size);
        swap(a, b, size);
        ASSERT_OK(put_text(&v, v.text, v.size));
        swap(a, b, size);
        if (!opens_as(&v, (const int[N]){-EBADMSG, -EBADMSG, 0}, 0))
            TEST_FAIL("%s", parts[i].start);
    }
}

TEST(a_record_is_missing)
{
    _cleanup_(store_closep) Store *s = NULL;
    VICTIM;

    ASSERT_OK(put_pieces(&v, (const Piece[]){head_of(&v), line_of(&v, 0), line_of(&v, 2), end}));
    ASSERT_TRUE(only_one_has(&v, 1, -ENOENT));

    ASSERT_OK(direct_open(v.f.dir, &s, NULL));
    ASSERT_EQ(fixture_replace(s, v.id[1], "two", NULL), -ENOENT);
    ASSERT_OK(fixture_replace(s, v.id[1], "two", "secret 2"));
    ASSERT_EQ(store_find(s, v.id[1])->generation, 2);
    s = store_close(s);
    ASSERT_TRUE(opens_as(&v, SOUND, 0));

    ASSERT_OK(victim_read(&v));
    ASSERT_OK(put_pieces(&v, (const Piece[]){head_of(&v), line_of(&v, 0), line_of(&v, 2), end}));
    ASSERT_OK(direct_open(v.f.dir, &s, NULL));
    ASSERT_OK(fixture_delete(s, v.id[1]));
    s = store_close(s);
    ASSERT_TRUE(only_one_has(&v, 1, 1));
}

TEST(all_records_are_missing)
{
    VICTIM;

    ASSERT_OK(put_pieces(&v, (const Piece[]){head_of(&v), end}));
    ASSERT_TRUE(opens_as(&v, (const int[N]){-ENOENT, -ENOENT, -ENOENT}, 0));
}

/* With two lines for one record nothing shows which one is right. */
TEST(a_record_is_there_twice)
{
    _cleanup_(store_closep) Store *s = NULL;
    VICTIM;

    ASSERT_OK(put_pieces(&v, (const Piece[]){head_of(&v), line_of(&v, 0), line_of(&v, 1),
                                             line_of(&v, 1), line_of(&v, 2), line_of(&v, 1), end}));
    ASSERT_TRUE(only_one_has(&v, 1, -EBADMSG));
    /* The record stays broken until it is replaced. */
    ASSERT_OK(direct_open(v.f.dir, &s, NULL));
    ASSERT_OK(fixture_replace(s, v.id[0], names[0], secrets[0]));
    s = store_close(s);
    ASSERT_TRUE(only_one_has(&v, 1, -EBADMSG));
    ASSERT_OK(direct_open(v.f.dir, &s, NULL));
    ASSERT_OK(fixture_replace(s, v.id[1], names[1], secrets[1]));
    s = store_close(s);
    ASSERT_TRUE(opens_as(&v, SOUND, 0));
}

/* The victim as it was, and with record 1 changed to "new" and its secret to "newer". */
static int change_one(Victim *v, Victim *before)
{
    _cleanup_(store_closep) Store *s = NULL;
    int r;

    *before = *v;
    v->text = NULL;
    r = direct_open(v->f.dir, &s, NULL);
    if (r == 0)
        r = fixture_replace(s, v->id[1], "new", "newer");
    return r < 0 ? r : victim_read(v);
}

/* A store with the head, or else record 1, from before a change. */
static int mix_generations(Victim *v, bool old_head)
{
    Victim before = {.text = NULL};
    int r = victim_new(v);

    if (r == 0)
        r = change_one(v, &before);
    if (r == 0)
        r = put_pieces(v, (const Piece[]){head_of(old_head ? &before : v), line_of(v, 0),
                                          line_of(old_head ? v : &before, 1), line_of(v, 2), end});
    free(before.text);
    return r;
}

TEST(an_older_record)
{
    _cleanup_(victim_done) Victim v = {.f.top = ""};
    _cleanup_(store_closep) Store *s = NULL;

    ASSERT_OK(mix_generations(&v, false));
    ASSERT_TRUE(only_one_has(&v, 1, -ESTALE));
    /* The next generation is above both. */
    ASSERT_OK(direct_open(v.f.dir, &s, NULL));
    ASSERT_OK(fixture_replace(s, v.id[1], "two", "secret 2"));
    ASSERT_EQ(store_find(s, v.id[1])->generation, 3);
    s = store_close(s);
    ASSERT_TRUE(opens_as(&v, SOUND, 0));
}

/* The older head with the newer records. */
TEST(an_older_head)
{
    _cleanup_(victim_done) Victim v = {.f.top = ""};
    _cleanup_(store_closep) Store *s = NULL;

    ASSERT_OK(mix_generations(&v, true));
    ASSERT_TRUE(only_one_has(&v, 1, -ESTALE));
    /* A commit of another record does not repair it. */
    ASSERT_OK(direct_open(v.f.dir, &s, NULL));
    ASSERT_OK(fixture_replace(s, v.id[0], names[0], secrets[0]));
    s = store_close(s);
    ASSERT_TRUE(only_one_has(&v, 1, -ESTALE));
    ASSERT_OK(direct_open(v.f.dir, &s, NULL));
    ASSERT_OK(fixture_replace(s, v.id[1], "two", "secret 2"));
    ASSERT_EQ(store_find(s, v.id[1])->generation, 3);
    s = store_close(s);
    ASSERT_TRUE(opens_as(&v, SOUND, 0));
}

/* The three lines of a head fit no other head. */
TEST(heads_mixed)
{
    Victim before = {.text = NULL};
    VICTIM;

    ASSERT_OK(change_one(&v, &before));
    for (int which = 1; which < 7; which++) {
        Piece pieces[5] = {{NULL, 0}};
        size_t at[2] = {0, 0};

        for (int i = 0; i < 3; i++)
            for (int k = 0; k < 2; k++) {
                const char *text = (k == 0 ? v.text : before.text) + at[k];
                size_t size = strcspn(text, "\n") + 1;

                if ((which >> i & 1) == k)
                    pieces[i] = (Piece){text, size};
                at[k] += size;
            }
        pieces[3] = (Piece){v.text + v.line[0], v.size - v.line[0]};
        ASSERT_OK(put_pieces(&v, pieces));
        if (!is_refused(&v))
            TEST_FAIL("%d", which);
    }
    free(before.text);
}

TEST(a_removed_record_is_put_back)
{
    _cleanup_(store_closep) Store *s = NULL;
    Victim after;
    VICTIM;

    ASSERT_OK(direct_open(v.f.dir, &s, NULL));
    ASSERT_OK(fixture_delete(s, v.id[1]));
    s = store_close(s);
    after = v;
    after.text = NULL;
    (void)victim_read(&after);
    ASSERT_OK(put_pieces(&v, (const Piece[]){{after.text, after.size}, line_of(&v, 1), end}));
    ASSERT_TRUE(only_one_has(&v, 1, -ESTALE));
    /* Commits of other records leave it as it is, until it is removed. */
    ASSERT_OK(direct_open(v.f.dir, &s, NULL));
    ASSERT_OK(fixture_replace(s, v.id[0], names[0], secrets[0]));
    s = store_close(s);
    ASSERT_TRUE(only_one_has(&v, 1, -ESTALE));
    ASSERT_OK(direct_open(v.f.dir, &s, NULL));
    ASSERT_OK(fixture_delete(s, v.id[1]));
    s = store_close(s);
    ASSERT_TRUE(only_one_has(&v, 1, 1));
    free(after.text);
}

TEST(a_foreign_record)
{
    _cleanup_(victim_done) Victim v = {.f.top = ""}, other = {.f.top = ""};
    _cleanup_(store_closep) Store *s = NULL;

    ASSERT_OK(victim_new(&other));
    ASSERT_OK(victim_new(&v));
    setenv("CREDENTIALS_DIRECTORY", v.f.top, 1);
    ASSERT_OK(put_pieces(&v, (const Piece[]){{v.text, v.size}, line_of(&other, 1), end}));
    ASSERT_TRUE(opens_as(&v, SOUND, 1));
    ASSERT_OK(direct_open(v.f.dir, &s, NULL));
    ASSERT_EQ(store_find(s, other.id[1])->error, -EBADMSG);
    ASSERT_OK(fixture_delete(s, other.id[1]));
    s = store_close(s);
    ASSERT_TRUE(opens_as(&v, SOUND, 0));
}

/* A broken record does not affect the others, and their changes do not drop it. */
TEST(a_broken_record_outlives_commits)
{
    _cleanup_(store_closep) Store *s = NULL;
    VICTIM;

    for (size_t at = v.line[1]; at + 1 < v.line[2]; at += 7) {
        char id[STORE_ID_SIZE], good = v.text[at];
        Victim after = v;
        size_t size, line_size;
        char *line;

        v.text[at] = good == 'x' ? 'y' : 'x';
        ASSERT_OK(put_text(&v, v.text, v.size));
        ASSERT_OK(direct_open(v.f.dir, &s, NULL));
        ASSERT_OK(fixture_add(s, "more", "more", id));
        ASSERT_OK(fixture_replace(s, v.id[0], names[0], secrets[0]));
        ASSERT_OK(fixture_delete(s, id));
        ASSERT_EQ(fixture_replace(s, v.id[1], names[1], NULL), -EBADMSG);
        s = store_close(s);
        if (!only_one_has(&v, 1, -EBADMSG))
            TEST_FAIL("byte %zu", at - v.line[1]);
        /* Its bytes are still there. */
        after.text = NULL;
        (void)victim_read(&after);
        size = v.line[2] - v.line[1] - 1;
        line = after.text ? memmem(after.text, after.size, v.text + v.line[1], size) : NULL;
        line_size = line ? strcspn(line, "\n") : 0;
        free(after.text);
        if (line_size != size)
            TEST_FAIL("byte %zu is lost", at - v.line[1]);
        v.text[at] = good;
    }
    ASSERT_OK(direct_open(v.f.dir, &s, NULL));
    ASSERT_OK(fixture_replace(s, v.id[1], names[1], secrets[1]));
    s = store_close(s);
    ASSERT_TRUE(opens_as(&v, SOUND, 0));
}

/* The next commit drops lines without a record, however long they are. */
TEST(garbage)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *garbage = malloc(3 * STORE_RECORD_MAX);
    Piece long_line = {garbage, 3 * STORE_RECORD_MAX}, newline = {"\n", 1};
    size_t size;
    VICTIM;

    size = v.size;
    memset(garbage, '{', 3 * STORE_RECORD_MAX);
    ASSERT_OK(put_pieces(&v, (const Piece[]){head_of(&v), newline, line_of(&v, 0), long_line,
                                             newline, line_of(&v, 1), newline, newline, long_line,
                                             line_of(&v, 2), long_line, end}));
    ASSERT_TRUE(opens_as(&v, SOUND, 0));
    ASSERT_OK(direct_open(v.f.dir, &s, NULL));
    ASSERT_OK(fixture_replace(s, v.id[1], names[1], secrets[1]));
    s = store_close(s);
    ASSERT_TRUE(opens_as(&v, SOUND, 0));
    ASSERT_OK(victim_read(&v));
    ASSERT_EQ(v.size, size);
}
