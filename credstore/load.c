/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/io.h"
#include "credstore/limits.h"
#include "credstore/shard.h"
#include "credstore/signed-file.h"
#include "credstore/store-private.h"

/* Everything that may be a record: what an index lists and what lies in records/. */
typedef struct Candidate {
    uint64_t id;
    uint64_t generation; /* 0 when it is not listed */
} Candidate;

typedef struct Candidates {
    Candidate *items;
    size_t n;
    size_t capacity;
    const CommitPlan *removed; /* whose files may still be there, or NULL */
} Candidates;

static void candidates_done(Candidates *c)
{
    free(c->items);
}

static int add_candidate(Candidates *c, uint64_t id, uint64_t generation)
{
    if (c->n == c->capacity) {
        size_t capacity = c->capacity > 0 ? 2 * c->capacity : 64;
        Candidate *items = reallocarray(c->items, capacity, sizeof(*items));

        if (!items)
            return -ENOMEM;
        c->items = items;
        c->capacity = capacity;
    }
    c->items[c->n++] = (Candidate){id, generation};
    return 0;
}

/* By id, the listed one first. */
static int compare_candidates(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;

    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->generation > y->generation ? -1 : x->generation < y->generation;
}

/* What says nothing about the file, but about this process now. */
static bool is_shortage(int error)
{
    return error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

/* Whatever else is wrong with a file is its content, but for a disk that cannot read it. */
static int content_error(int error)
{
    return error == -EIO || error == -ENOENT ? error : -EBADMSG;
}

/* Whether a file of the commit that could not be finished still lies beside its place. */
static bool is_pending(int dirfd, const char *new_name)
{
    struct stat st;

    return fstatat(dirfd, new_name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void shard_file(const Store *s, unsigned number, char ret[static DIRS_NAME_SIZE])
{
    if (s->unsettled == TO_FINISH && s->plan.shards >> number & 1) {
        dirs_shard_name(number, DIRS_NEW, ret);
        if (is_pending(s->dirs.index, ret))
            return;
    }
    dirs_shard_name(number, "", ret);
}

static void record_file(const Store *s, uint64_t id, char ret[static DIRS_NAME_SIZE])
{
    if (s->unsettled == TO_FINISH && commit_replaces(&s->plan, id)) {
        dirs_record_name(id, DIRS_NEW, ret);
        if (is_pending(s->dirs.records, ret))
            return;
    }
    dirs_record_name(id, "", ret);
}

/* Reads an index file. Returns -EBADMSG or -EIO for whatever is wrong with it, 0 with nothing in it
 * when the shard never had a record. */
static int read_shard(const Store *s, unsigned number, Shard *ret)
{
    _cleanup_(freep) char *body = NULL;
    char name[DIRS_NAME_SIZE], label[HEADER_SHARD_LABEL_SIZE];
    size_t size;
    int r;

    shard_file(s, number, name);
    header_shard_label(&s->header, label);
    r = signed_file_read(s->sealer, s->key, label, s->dirs.index, name, STORE_SHARD_MAX, &body,
                         &size);
    if (r == -ENOENT && s->header.shards[number] == 0) {
        *ret = (Shard){.number = number};
        return 0;
    }
    if (r == 0)
        r = shard_parse(body, size, number, ret);
    if (r == -ENOENT)
        return -EBADMSG;
    return r < 0 && !is_shortage(r) ? content_error(r) : r;
}

static int load_shard(Store *s, unsigned number, Candidates *c)
{
    _cleanup_(shard_done) Shard shard = {.number = number};
    int r = read_shard(s, number, &shard);

    if (is_shortage(r))
        return r;

    s->shard_errors[number] = r;
    s->shard_seen[number] = s->header.shards[number];
    if (r == 0 && shard.generation != s->header.shards[number]) {
        s->shard_errors[number] = -ESTALE;
        if (shard.generation > s->shard_seen[number])
            s->shard_seen[number] = shard.generation;
    }
    /* So that a shard of which nothing is left does not vanish without a word. */
    if (s->shard_errors[number] < 0)
        return add_candidate(c, shard_first_id(number), 0);
    for (size_t i = 0; i < shard.n_entries; i++) {
        r = add_candidate(c, shard.entries[i].id, shard.entries[i].generation);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_file(_unused_ int dirfd, const char *name, void *userdata)
{
    Candidates *c = userdata;
    uint64_t id;

    if (!dirs_parse_record_name(name, "", &id) || (c->removed && commit_removes(c->removed, id)))
        return 0;
    return add_candidate(c, id, 0);
}

static int load_record(const Store *s, const Candidate *c, Record **ret)
{
    int shard_error = s->shard_errors[shard_of(c->id)], r;
    _cleanup_(freep) char *text = NULL;
    char name[DIRS_NAME_SIZE];
    size_t size;

    if (shard_error < 0)
        return record_new_broken(c->id, 0, shard_error, ret);

    record_file(s, c->id, name);
    r = io_read_file_at(s->dirs.records, name, STORE_RECORD_MAX, &text, &size);
    if (is_shortage(r))
        return r;
    if (r < 0)
        return record_new_broken(c->id, c->generation, content_error(r), ret);
    return record_load(s->sealer, s->key, c->id, c->generation, text, size, ret);
}

/* The first id of a broken shard stands for the shard when it has no other record. */
static bool is_superfluous(const Store *s, const Candidates *c, size_t i)
{
    uint64_t id = c->items[i].id;

    if (i > 0 && c->items[i - 1].id == id)
        return true;
    return s->shard_errors[shard_of(id)] < 0 && id == shard_first_id(shard_of(id)) &&
           i + 1 < c->n && c->items[i + 1].id != id && shard_of(c->items[i + 1].id) == shard_of(id);
}

int store_load(Store *s)
{
    _cleanup_(candidates_done) Candidates c = {.removed =
                                                   s->unsettled == TO_FINISH ? &s->plan : NULL};
    int r;

    for (unsigned number = 0; number < STORE_SHARDS; number++) {
        r = load_shard(s, number, &c);
        if (r < 0)
            return r;
    }
    r = dirs_scan(s->dirs.records, add_file, &c);
    if (r < 0)
        return r;
    s->records = calloc(c.n + 1, sizeof(*s->records));
    if (!s->records)
        return -ENOMEM;

    if (c.n > 0)
        qsort(c.items, c.n, sizeof(*c.items), compare_candidates);
    for (size_t i = 0; i < c.n; i++) {
        if (is_superfluous(s, &c, i))
            continue;
        r = load_record(s, &c.items[i], &s->records[s->n_records]);
        if (r < 0)
            return r;
        s->records[s->n_records++]->listed = c.items[i].generation > 0;
    }
    return 0;
}
