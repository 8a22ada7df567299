/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store-fixture.h"
#include "test.h"

#include "credstore/commit.h"
#include "credstore/store-private.h"

/* A store of three records in three shards. */
typedef struct Victim {
    Fixture f;
    char id[3][STORE_ID_SIZE];
} Victim;

static const char *const names[] = {"one", "two", "three"};
static const char *const secrets[] = {"secret 1", "secret 2", "secret 3"};

static void victim_done(Victim *v)
{
    fixture_done(&v->f);
}

static int victim_new(Victim *v)
{
    _cleanup_(store_closep) Store *s = NULL;
    int r = fixture_new(&v->f);

    if (r == 0)
        r = store_open(v->f.dir, &s, NULL);
    for (size_t i = 0; r == 0 && i < 3; i++) {
        r = fixture_add(s, names[i], secrets[i], v->id[i]);
        /* Another shard than those before, so that each is on its own. */
        for (size_t k = 0; r == 0 && k < i; k++)
            if (strtoul(v->id[i], NULL, 16) >> 58 == strtoul(v->id[k], NULL, 16) >> 58) {
                r = fixture_delete(s, v->id[i--]);
                break;
            }
    }
    return r;
}

/* Opens the store: all but broken must be sound, and broken, unless it is -1, have this error. */
static bool others_load(const Victim *v, int broken, int error)
{
    _cleanup_(store_closep) Store *s = NULL;
    int r = store_open(v->f.dir, &s, NULL);

    if (r < 0) {
        printf("# store_open: %s\n", strerror(-r));
        return false;
    }
    for (int i = 0; i < 3; i++) {
        _cleanup_(secret_freep) Secret *secret = NULL;
        const StoreRecord *record = store_find(s, v->id[i]);

        if (i != broken && !fixture_has(s, v->id[i], names[i], secrets[i])) {
            printf("# record %d is not sound\n", i);
            return false;
        }
        if (i == broken && (!record || record->error != error || record->meta ||
                            store_unseal(s, v->id[i], &secret) != error)) {
            printf("# record %d has error %d, not %d\n", i, record ? record->error : 1, error);
            return false;
        }
    }
    return true;
}

static void record_path(const Victim *v, size_t i, char ret[static 160])
{
    char name[64];

    fixture_record_name(v->id[i], name);
    fixture_path(&v->f, name, ret);
}

static void shard_path(const Victim *v, size_t i, char ret[static 160])
{
    char name[64];

    fixture_shard_name(v->id[i], name);
    fixture_path(&v->f, name, ret);
}

static void header_path(const Victim *v, _unused_ size_t i, char ret[static 160])
{
    fixture_path(&v->f, "header.json", ret);
}

/* With such a header the store does not open, and says why; error 0: for whatever reason, but not
 * as if there were none. */
static bool header_refused(const Victim *v, _unused_ int i, int error)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *detail = NULL;
    int r = store_open(v->f.dir, &s, &detail);

    if (!detail || r == -ENOENT ||
        (error < 0 && r != error && r != -EKEYREJECTED && r != -EPROTONOSUPPORT)) {
        printf("# store_open: %s, %s\n", strerror(-r), detail ? detail : "no detail");
        return false;
    }
    return true;
}

/* A kind of file, of which the store has n; what a change of the ith must lead to. */
typedef struct Kind {
    const char *name;
    size_t n;
    void (*path)(const Victim *v, size_t i, char ret[static 160]);
    bool (*noticed)(const Victim *v, int i, int error);
    int missing; /* the error where the file is gone */
    int odd;     /* and where there is something that is no file */
} Kind;

static const Kind kinds[] = {
    {"record", 3, record_path, others_load, -ENOENT, -EBADMSG},
    {"index", 3, shard_path, others_load, -EBADMSG, -EBADMSG},
    {"header", 1, header_path, header_refused, -EBADMSG, 0},
};

typedef struct Counts {
    unsigned long flips, cuts;
} Counts;

static void flip_and_cut(const Victim *v, const Kind *kind, size_t i, Counts *n)
{
    _cleanup_(freep) char *text = NULL;
    char path[160];
    size_t size;

    kind->path(v, i, path);
    ASSERT_OK(fixture_read(path, &text, &size));
    for (size_t bit = 0; bit < 8 * size; bit++, n->flips++) {
        char mask = (char)(1 << bit % 8);

        text[bit / 8] = (char)(text[bit / 8] ^ mask);
        ASSERT_OK(fixture_write(path, text, size));
        text[bit / 8] = (char)(text[bit / 8] ^ mask);
        if (!kind->noticed(v, (int)i, -EBADMSG))
            TEST_FAIL("%s %zu, bit %zu of byte %zu", kind->name, i, bit % 8, bit / 8);
    }
    for (size_t length = 0; length < size; length++, n->cuts++) {
        ASSERT_OK(fixture_write(path, text, length));
        if (!kind->noticed(v, (int)i, -EBADMSG))
            TEST_FAIL("%s %zu, cut at %zu", kind->name, i, length);
    }
    /* What io_read_file_at() returns has a terminator, which makes a byte more. */
    for (const char *more = "\n {x"; *more; more++, n->cuts++) {
        text[size] = *more;
        ASSERT_OK(fixture_write(path, text, size + 1));
        ASSERT_TRUE(kind->noticed(v, (int)i, -EBADMSG));
    }
    ASSERT_OK(fixture_write(path, text, size));
    ASSERT_TRUE(others_load(v, -1, 0));
}

TEST(each_bit_and_each_length_of_each_file)
{
    _cleanup_(victim_done) Victim v = {.f.top = ""};

    ASSERT_OK(victim_new(&v));
    ASSERT_TRUE(others_load(&v, -1, 0));
    for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
        Counts n = {0, 0};

        for (size_t i = 0; i < kinds[k].n; i++)
            flip_and_cut(&v, &kinds[k], i, &n);
        printf("# %zu files of kind %s: %lu flips, %lu other lengths, all noticed\n", kinds[k].n,
               kinds[k].name, n.flips, n.cuts);
        ASSERT_TRUE(n.flips > 2000 && n.cuts > 300);
    }
}

/* Whatever else a name leads to: nothing is followed, nothing waits. */
static int make_odd(const char *path, int which)
{
    static const char *const targets[] = {"old", "/etc/passwd", "/dev/zero", "nowhere"};

    if (which < 4)
        return symlink(targets[which], path);
    if (which == 4)
        return mkdir(path, 0700);
    return which == 5 ? mkfifo(path, 0600) : fixture_write(path, "", 0);
}

TEST(each_file_is_something_else)
{
    _cleanup_(victim_done) Victim v = {.f.top = ""};

    ASSERT_OK(victim_new(&v));
    for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
        for (size_t i = 0; i < kinds[k].n; i++) {
            char path[160], old[160];

            kinds[k].path(&v, i, path);
            snprintf(old, sizeof(old), "%.*s/old", (int)(strrchr(path, '/') - path), path);
            ASSERT_OK(rename(path, old));
            ASSERT_TRUE(kinds[k].noticed(&v, (int)i, kinds[k].missing));
            for (int which = 0; which < 7; which++) {
                ASSERT_OK(make_odd(path, which));
                if (!kinds[k].noticed(&v, (int)i, kinds[k].odd))
                    TEST_FAIL("%s %zu, %d", kinds[k].name, i, which);
                ASSERT_OK(remove(path));
            }
            ASSERT_OK(rename(old, path));
            ASSERT_TRUE(others_load(&v, -1, 0));
        }
}

/* What cannot be removed or replaced by a file is no way into a commit that never ends. */
TEST(a_directory_in_the_place_of_a_file)
{
    for (size_t k = 0; k < 2; k++) {
        _cleanup_(victim_done) Victim v = {.f.top = ""};
        _cleanup_(store_closep) Store *s = NULL;
        char path[160], inside[200];

        ASSERT_OK(victim_new(&v));
        kinds[k].path(&v, 1, path);
        snprintf(inside, sizeof(inside), "%s/x", path);
        ASSERT_OK(unlink(path));
        ASSERT_OK(mkdir(path, 0700));
        ASSERT_OK(mkdir(inside, 0700));
        ASSERT_OK(store_open(v.f.dir, &s, NULL));
        ASSERT_EQ(fixture_delete(s, v.id[1]), -EISDIR);
        if (k == 0)
            ASSERT_EQ(fixture_replace(s, v.id[1], "new", "newer"), -EISDIR);
        ASSERT_OK(fixture_replace(s, v.id[0], names[0], secrets[0]));
        s = store_close(s);
        ASSERT_TRUE(others_load(&v, 1, -EBADMSG));
        ASSERT_TRUE(!fixture_has_new(v.f.dir));

        ASSERT_OK(rmdir(inside));
        ASSERT_OK(rmdir(path));
        ASSERT_OK(store_open(v.f.dir, &s, NULL));
        ASSERT_OK(fixture_delete(s, v.id[1]));
        ASSERT_TRUE(!store_find(s, v.id[1]));
    }
}

/* Two files of a kind, each in the place of the other. */
static void swap_files(void (*path_of)(const Victim *v, size_t i, char ret[static 160]))
{
    _cleanup_(victim_done) Victim v = {.f.top = ""};
    _cleanup_(store_closep) Store *s = NULL;
    char a[160], b[160], c[160];

    ASSERT_OK(victim_new(&v));
    path_of(&v, 0, a);
    path_of(&v, 1, b);
    fixture_path(&v.f, "c", c);
    ASSERT_OK(rename(a, c));
    ASSERT_OK(rename(b, a));
    ASSERT_OK(rename(c, b));
    ASSERT_OK(store_open(v.f.dir, &s, NULL));
    ASSERT_EQ(store_find(s, v.id[0])->error, -EBADMSG);
    ASSERT_EQ(store_find(s, v.id[1])->error, -EBADMSG);
    ASSERT_TRUE(fixture_has(s, v.id[2], names[2], secrets[2]));
}

TEST(indexes_swapped)
{
    swap_files(shard_path);
}

TEST(a_newer_format_is_told_apart)
{
    _cleanup_(victim_done) Victim v = {.f.top = ""};
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *text = NULL;
    char path[160], *version;
    size_t size;

    ASSERT_OK(victim_new(&v));
    fixture_path(&v.f, "header.json", path);
    ASSERT_OK(fixture_read(path, &text, &size));
    version = strstr(text, "\"version\":1");
    ASSERT_TRUE(version != NULL);
    version[10] = '2';
    ASSERT_OK(fixture_write(path, text, size));
    ASSERT_EQ(store_open(v.f.dir, &s, NULL), -EPROTONOSUPPORT);
}

TEST(records_swapped)
{
    swap_files(record_path);
}

TEST(a_record_is_missing)
{
    _cleanup_(victim_done) Victim v = {.f.top = ""};
    _cleanup_(store_closep) Store *s = NULL;
    char path[160];

    ASSERT_OK(victim_new(&v));
    record_path(&v, 1, path);
    ASSERT_OK(unlink(path));
    ASSERT_TRUE(others_load(&v, 1, -ENOENT));
    /* A file that is no regular one is not followed. */
    ASSERT_OK(symlink("/etc/passwd", path));
    ASSERT_TRUE(others_load(&v, 1, -EBADMSG));
    ASSERT_OK(unlink(path));

    ASSERT_OK(store_open(v.f.dir, &s, NULL));
    ASSERT_EQ(fixture_replace(s, v.id[1], "two", NULL), -ENOENT);
    ASSERT_OK(fixture_replace(s, v.id[1], "two", "secret 2"));
    ASSERT_EQ(store_find(s, v.id[1])->generation, 2);
    s = store_close(s);
    ASSERT_TRUE(others_load(&v, -1, 0));

    ASSERT_OK(unlink(path));
    ASSERT_OK(store_open(v.f.dir, &s, NULL));
    ASSERT_OK(fixture_delete(s, v.id[1]));
    s = store_close(s);
    ASSERT_OK(store_open(v.f.dir, &s, NULL));
    ASSERT_TRUE(store_find(s, v.id[1]) == NULL);
}

/* Changes record 1 to "new" and its secret to "newer", and returns the files as they were before.
 */
static int change_one(Victim *v, Victim *before)
{
    _cleanup_(store_closep) Store *s = NULL;
    int r;

    *before = *v;
    snprintf(before->f.dir, sizeof(before->f.dir), "%s/old", v->f.top);
    r = fixture_copy(v->f.dir, before->f.dir);
    if (r == 0)
        r = store_open(v->f.dir, &s, NULL);
    return r < 0 ? r : fixture_replace(s, v->id[1], "new", "newer");
}

static int put_back(const char *from, const char *to)
{
    _cleanup_(freep) char *text = NULL;
    size_t size;
    int r = fixture_read(from, &text, &size);

    return r < 0 ? r : fixture_write(to, text, size);
}

TEST(an_older_record)
{
    _cleanup_(victim_done) Victim v = {.f.top = ""};
    _cleanup_(store_closep) Store *s = NULL;
    char old[160], path[160];
    Victim before;

    ASSERT_OK(victim_new(&v));
    ASSERT_OK(change_one(&v, &before));
    record_path(&before, 1, old);
    record_path(&v, 1, path);
    ASSERT_OK(put_back(old, path));
    ASSERT_TRUE(others_load(&v, 1, -ESTALE));
    /* The next generation is above both. */
    ASSERT_OK(store_open(v.f.dir, &s, NULL));
    ASSERT_OK(fixture_replace(s, v.id[1], "two", "secret 2"));
    ASSERT_EQ(store_find(s, v.id[1])->generation, 3);
    s = store_close(s);
    ASSERT_TRUE(others_load(&v, -1, 0));
}

TEST(an_older_shard)
{
    _cleanup_(victim_done) Victim v = {.f.top = ""};
    char old[160], path[160];
    Victim before;

    ASSERT_OK(victim_new(&v));
    ASSERT_OK(change_one(&v, &before));
    shard_path(&before, 1, old);
    shard_path(&v, 1, path);
    ASSERT_OK(put_back(old, path));
    ASSERT_TRUE(others_load(&v, 1, -ESTALE));
    record_path(&before, 1, old);
    record_path(&v, 1, path);
    ASSERT_OK(put_back(old, path));
    ASSERT_TRUE(others_load(&v, 1, -ESTALE));
}

TEST(an_older_header)
{
    _cleanup_(victim_done) Victim v = {.f.top = ""};
    _cleanup_(store_closep) Store *s = NULL;
    char old[160], path[160];
    Victim before;

    ASSERT_OK(victim_new(&v));
    ASSERT_OK(change_one(&v, &before));
    fixture_path(&before.f, "header.json", old);
    fixture_path(&v.f, "header.json", path);
    ASSERT_OK(put_back(old, path));
    ASSERT_TRUE(others_load(&v, 1, -ESTALE));
    /* With the shard that goes with it, the record is newer than both. */
    shard_path(&before, 1, old);
    shard_path(&v, 1, path);
    ASSERT_OK(put_back(old, path));
    ASSERT_TRUE(others_load(&v, 1, -ESTALE));
    ASSERT_OK(store_open(v.f.dir, &s, NULL));
    ASSERT_OK(fixture_replace(s, v.id[1], "two", "secret 2"));
    ASSERT_EQ(store_find(s, v.id[1])->generation, 3);
}

/* A broken shard is repaired by removing what was in it. */
static void check_repair(const Victim *v, bool record_left)
{
    _cleanup_(store_closep) Store *s = NULL;
    char id[STORE_ID_SIZE] = "0000000000000000", placeholder[STORE_ID_SIZE];
    size_t sound, broken;

    snprintf(placeholder, sizeof(placeholder), "%016llx", strtoull(v->id[1], NULL, 16) >> 58 << 58);
    ASSERT_OK(store_open(v->f.dir, &s, NULL));
    fixture_count(s, &sound, &broken);
    ASSERT_EQ(sound, 2);
    ASSERT_EQ(broken, 1);
    ASSERT_EQ(store_find(s, record_left ? v->id[1] : placeholder)->error, -EBADMSG);
    if (record_left)
        ASSERT_EQ(fixture_replace(s, v->id[1], "x", "y"), -EBADMSG);
    /* Nothing new goes there meanwhile. */
    for (int i = 0; i < 40; i++) {
        ASSERT_OK(fixture_add(s, "x", "y", id));
        ASSERT_TRUE(strtoull(id, NULL, 16) >> 58 != strtoull(v->id[1], NULL, 16) >> 58);
        ASSERT_OK(fixture_delete(s, id));
    }
    s = store_close(s);
    ASSERT_OK(store_open(v->f.dir, &s, NULL));
    ASSERT_OK(fixture_delete(s, record_left ? v->id[1] : placeholder));
    for (int open = 0; open < 2; open++) {
        fixture_count(s, &sound, &broken);
        ASSERT_EQ(sound, 2);
        ASSERT_EQ(broken, 0);
        s = store_close(s);
        ASSERT_OK(store_open(v->f.dir, &s, NULL));
    }
}

TEST(a_shard_is_missing)
{
    _cleanup_(victim_done) Victim v = {.f.top = ""};
    char path[160];

    ASSERT_OK(victim_new(&v));
    shard_path(&v, 1, path);
    ASSERT_OK(unlink(path));
    ASSERT_TRUE(others_load(&v, 1, -EBADMSG));
    check_repair(&v, true);
}

TEST(a_shard_is_missing_with_its_records)
{
    _cleanup_(victim_done) Victim v = {.f.top = ""};
    char path[160];

    ASSERT_OK(victim_new(&v));
    shard_path(&v, 1, path);
    ASSERT_OK(unlink(path));
    record_path(&v, 1, path);
    ASSERT_OK(unlink(path));
    check_repair(&v, false);
}

/* Of two records in a broken shard, each is removed on its own. */
TEST(a_shard_with_two_records)
{
    _cleanup_(victim_done) Victim v = {.f.top = ""};
    _cleanup_(store_closep) Store *s = NULL;
    char id[STORE_ID_SIZE], path[160];
    size_t sound, broken;

    ASSERT_OK(victim_new(&v));
    ASSERT_OK(store_open(v.f.dir, &s, NULL));
    for (;;) {
        ASSERT_OK(fixture_add(s, "x", "y", id));
        if (strtoull(id, NULL, 16) >> 58 == strtoull(v.id[1], NULL, 16) >> 58)
            break;
        ASSERT_OK(fixture_delete(s, id));
    }
    s = store_close(s);
    shard_path(&v, 1, path);
    ASSERT_OK(truncate(path, 7));
    for (size_t left = 2; left > 0; left--) {
        ASSERT_OK(store_open(v.f.dir, &s, NULL));
        fixture_count(s, &sound, &broken);
        ASSERT_EQ(sound, 2);
        ASSERT_EQ(broken, left);
        ASSERT_OK(fixture_delete(s, left == 2 ? id : v.id[1]));
        fixture_count(s, &sound, &broken);
        ASSERT_EQ(broken, left - 1);
        s = store_close(s);
    }
    ASSERT_OK(store_open(v.f.dir, &s, NULL));
    fixture_count(s, &sound, &broken);
    ASSERT_EQ(sound, 2);
    ASSERT_EQ(broken, 0);
}

TEST(a_removed_record_is_put_back)
{
    _cleanup_(victim_done) Victim v = {.f.top = ""};
    _cleanup_(store_closep) Store *s = NULL;
    char old[160], path[160];

    ASSERT_OK(victim_new(&v));
    record_path(&v, 1, path);
    fixture_path(&v.f, "old", old);
    ASSERT_OK(put_back(path, old));
    ASSERT_OK(store_open(v.f.dir, &s, NULL));
    ASSERT_OK(fixture_delete(s, v.id[1]));
    s = store_close(s);
    ASSERT_OK(put_back(old, path));
    ASSERT_TRUE(others_load(&v, 1, -ESTALE));
    ASSERT_OK(fixture_write(path, "{}\n{}\n", 6));
    ASSERT_TRUE(others_load(&v, 1, -EBADMSG));
    ASSERT_OK(store_open(v.f.dir, &s, NULL));
    ASSERT_OK(fixture_delete(s, v.id[1]));
    ASSERT_TRUE(access(path, F_OK) < 0);
}

/* Makes commit.json with the MAC of this store for a label. Its generation is the one of the
 * header, so that nothing but the rest is wrong, plus more. */
static int plant_commit(const Victim *v, const char *label, unsigned more, const char *rest)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *text = NULL;
    char path[160], body[200];
    size_t size;
    int r = store_open(v->f.dir, &s, NULL);

    if (r < 0)
        return r;
    snprintf(body, sizeof(body), "{\"generation\":%u,%s}", (unsigned)s->header.generation + more,
             rest);
    r = signed_file_format(s->sealer, s->key, label, body, &text, &size);
    fixture_path(&v->f, "commit.json", path);
    return r < 0 ? r : fixture_write(path, text, size);
}

TEST(a_forged_commit)
{
    static const char good[] = "\"replace\":[\"header.json\"],\"remove\":[]";
    static const struct {
        const char *label;
        unsigned more;
        const char *rest;
        const char *detail;
    } forged[] = {
        {SIGNED_LABEL_SHARD, 0, good, "not authentic"},
        {SIGNED_LABEL_COMMIT, 2, good, "another state"},
        {SIGNED_LABEL_COMMIT, 1, good, "not the one of the interrupted change"},
        {SIGNED_LABEL_COMMIT, 0, "\"replace\":[],\"remove\":[]", "not authentic"},
        {SIGNED_LABEL_COMMIT, 0, "\"replace\":[\"header.json\"]", "not authentic"},
        {SIGNED_LABEL_COMMIT, 0, "\"replace\":[\"header.json\",7],\"remove\":[]", "not authentic"},
        {SIGNED_LABEL_COMMIT, 0, "\"replace\":[\"header.json\",\"/etc/x\"],\"remove\":[]",
         "not authentic"},
        {SIGNED_LABEL_COMMIT, 0, "\"replace\":[\"header.json\",\"index/40.json\"],\"remove\":[]",
         "not authentic"},
        {SIGNED_LABEL_COMMIT, 0, "\"replace\":[\"header.json\"],\"remove\":[\"header.json\"]",
         "not authentic"},
        {SIGNED_LABEL_COMMIT, 0,
         "\"replace\":[\"header.json\"],\"remove\":[\"records/../header.json\"]", "not authentic"},
    };
    _cleanup_(victim_done) Victim v = {.f.top = ""};
    _cleanup_(store_closep) Store *s = NULL;
    char path[160];

    ASSERT_OK(victim_new(&v));
    fixture_path(&v.f, "commit.json", path);
    for (size_t i = 0; i < ARRAY_SIZE(forged); i++) {
        _cleanup_(freep) char *detail = NULL;

        ASSERT_OK(plant_commit(&v, forged[i].label, forged[i].more, forged[i].rest));
        ASSERT_EQ(store_open(v.f.dir, &s, &detail), -EBADMSG);
        if (!detail || !strstr(detail, forged[i].detail))
            TEST_FAIL("%zu: %s", i, detail);
        (void)unlink(path);
    }
    ASSERT_TRUE(others_load(&v, -1, 0));
    /* The counter-check: one that is right is finished and gone. */
    ASSERT_OK(plant_commit(&v, SIGNED_LABEL_COMMIT, 0, good));
    ASSERT_TRUE(others_load(&v, -1, 0));
    ASSERT_TRUE(!fixture_exists(&v.f, "commit.json"));
}
