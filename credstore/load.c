/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "credstore/limits.h"
#include "credstore/store-private.h"

/*
 * Loads the records of a store whose head is authentic. "Odd" lines are those that are not the
 * sound record of their id.
 *
 * 1. Load each line as the record of its id in the index, in any order. That completes a sound
 * store; the other steps find out what is wrong with a damaged one. 2. Search the end of each odd
 * line for a missing record: if a newline is damaged, two records share a line. 3. An odd line with
 * the id of a listed record gives the error of that record. An authentic odd line with another id
 * is a record that was removed. 4. A listed record without a line should be between its neighbours
 * in the index. If the disk cannot read a part of that place, the error is -EIO; if there is an odd
 * line that belongs to no other record, it becomes this one, with -EBADMSG; else the error is
 * -ENOENT. 5. Remaining odd lines with an id are foreign, -EBADMSG. The others are dropped.
 */

#define NONE SIZE_MAX

typedef struct OddLine {
    const char *text;
    size_t size;
    bool has_hole;
    bool has_id;
    bool taken; /* it became a record */
    int error;
    uint64_t id;
    uint64_t generation; /* the one of the line, for -ESTALE */
} OddLine;

typedef struct Loading {
    const Store *s;
    IndexEntry *index;
    size_t n_index;
    Record **found;     /* for each entry of the index */
    const char **place; /* its line */
    OddLine *odd;       /* in the order of the file */
    size_t n_odd, odd_capacity;
    Record **foreign; /* not in the index; one for each odd line at most */
    size_t n_foreign;
} Loading;

static void loading_done(Loading *l)
{
    for (size_t i = 0; l->found && i < l->n_index; i++)
        record_free(l->found[i]);
    for (size_t i = 0; i < l->n_foreign; i++)
        record_free(l->foreign[i]);
    free(l->index);
    free(l->found);
    free(l->place);
    free(l->odd);
    free(l->foreign);
}

/* Returns the entry of an id, or NONE. hint: its position in a file that is in order. */
static size_t find_entry(const Loading *l, uint64_t id, size_t hint)
{
    size_t first = 0, n = l->n_index;

    if (hint < n && l->index[hint].id == id)
        return hint;
    while (n > 0) {
        size_t half = n / 2;

        if (l->index[first + half].id < id) {
            first += half + 1;
            n -= half + 1;
        } else
            n = half;
    }
    return first < l->n_index && l->index[first].id == id ? first : NONE;
}

static int set_aside(Loading *l, const OddLine *line)
{
    if (l->n_odd == l->odd_capacity) {
        size_t capacity = l->odd_capacity > 0 ? 2 * l->odd_capacity : 16;
        OddLine *odd = reallocarray(l->odd, capacity, sizeof(*odd));

        if (!odd)
            return -ENOMEM;
        l->odd = odd;
        l->odd_capacity = capacity;
    }
    l->odd[l->n_odd++] = *line;
    return 0;
}

/* Loads a text as the record of an entry of the index. Returns errors of record_load(). */
static int load_entry(Loading *l, size_t entry, const char *text, size_t size,
                      uint64_t *ret_generation)
{
    const IndexEntry *e = &l->index[entry];
    int r = record_load(l->s->sealer, l->s->key, e->id, e->generation, text, size, ret_generation,
                        &l->found[entry]);

    if (r == 0)
        l->place[entry] = text;
    return r;
}

/* Step 1, for one line. *entry: the one expected next. */
static int load_line(Loading *l, OddLine *line, size_t *entry)
{
    size_t at;

    line->has_id = record_scan_id(line->text, line->size, &line->id);
    if (line->has_hole)
        line->error = -EIO;
    if (line->error < 0 || !line->has_id)
        return set_aside(l, line);
    at = find_entry(l, line->id, *entry);
    if (at == NONE || l->found[at])
        return set_aside(l, line);
    *entry = at + 1;
    line->error = load_entry(l, at, line->text, line->size, &line->generation);
    return line->error == 0 || line->error == -ENOMEM ? line->error : set_aside(l, line);
}

static int load_lines(Loading *l)
{
    const FileText *file = &l->s->text;
    const char *p = file->data + l->s->head.size, *end = file->data + file->size;
    size_t entry = 0;
    int r = 0;

    while (r == 0 && p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        OddLine line = {.text = p,
                        .size = (size_t)((newline ? newline : end) - p),
                        .error = newline ? 0 : -EBADMSG};

        line.has_hole =
            file_has_hole(file, (size_t)(p - file->data), (size_t)(p - file->data) + line.size);
        r = load_line(l, &line, &entry);
        p += line.size + 1;
    }
    return r;
}

/* Step 2: splits a line whose end is a missing record. */
static int load_rest(Loading *l, OddLine *line)
{
    static const char start[] = "{\"id\":\"";
    const char *end = line->text + line->size, *p = line->text;
    uint64_t id, generation;

    if (line->size > STORE_RECORD_MAX)
        p = end - STORE_RECORD_MAX - 1; /* the search begins at p + 1 */
    while (p < end && (p = memmem(p + 1, (size_t)(end - p) - 1, start, strlen(start)))) {
        size_t at = record_scan_id(p, (size_t)(end - p), &id) ? find_entry(l, id, NONE) : NONE;
        int r = -EBADMSG;

        if (at != NONE && !l->found[at])
            r = load_entry(l, at, p, (size_t)(end - p), &generation);
        if (r == 0)
            line->size = (size_t)(p - line->text);
        if (r == 0 || r == -ENOMEM)
            return r;
    }
    return 0;
}

/* Makes a broken record of a line. Unreadable text is not kept. */
static int take_line(OddLine *line, uint64_t id, uint64_t listed, int error, Record **ret)
{
    size_t size = line->has_hole ? 0 : CONST_MIN(line->size, STORE_RECORD_MAX);

    line->taken = true;
    return record_new_broken(id, listed, error, line->text, size, ret);
}

/* Keeps both lines of one record, because either may be the right one. */
static int add_duplicate(Loading *l, size_t at, OddLine *line)
{
    Record *first = l->found[at];
    size_t size = CONST_MIN(line->size, STORE_RECORD_MAX);
    _cleanup_(freep) char *text = malloc(first->size + size);
    int r;

    line->taken = true;
    /* A third line adds nothing: the record is broken already. */
    if (first->public.error < 0 && first->size > STORE_RECORD_MAX)
        return 0;
    if (!text)
        return -ENOMEM;
    if (first->size > 0)
        memcpy(text, first->text, first->size);
    memcpy(text + first->size, line->text, size);
    r = record_new_broken(first->number, first->listed, -EBADMSG, text, first->size + size,
                          &l->found[at]);
    if (r == 0)
        record_free(first);
    return r;
}

/* Step 3. */
static int load_odd(Loading *l, OddLine *line)
{
    size_t at = line->has_id ? find_entry(l, line->id, NONE) : NONE;
    Record *unused = NULL;
    int r;

    if (!line->has_id)
        return 0;
    if (at != NONE && l->found[at])
        return add_duplicate(l, at, line);
    if (at != NONE) {
        r = take_line(line, line->id, l->index[at].generation, line->error, &l->found[at]);
        if (r < 0)
            return r;
        l->place[at] = line->text;
        if (line->generation > l->found[at]->public.generation)
            l->found[at]->public.generation = line->generation;
        return 0;
    }
    /* No record has generation 0, so an authentic one is reported as -ESTALE. */
    r = line->error < 0 ? line->error
                        : record_load(l->s->sealer, l->s->key, line->id, 0, line->text, line->size,
                                      &line->generation, &unused);
    if (r != -ESTALE)
        return r == -ENOMEM ? r : 0;
    r = take_line(line, line->id, 0, -ESTALE, &l->foreign[l->n_foreign]);
    if (r == 0)
        l->foreign[l->n_foreign++]->public.generation = line->generation;
    return r;
}

/* Returns the first odd line from i on that is not before p and did not become a record. */
static size_t skip_odd(const Loading *l, size_t i, const char *p)
{
    while (i < l->n_odd && (l->odd[i].taken || l->odd[i].text < p))
        i++;
    return i;
}

/* Step 4, for the entries from first to end, none of which has a line. */
static int load_run(Loading *l, size_t first, size_t end, size_t *odd)
{
    const FileText *file = &l->s->text;
    const char *from = first > 0 ? l->place[first - 1] : file->data + l->s->head.size,
               *to = end < l->n_index ? l->place[end] : file->data + file->size;
    bool has_hole =
        from < to && file_has_hole(file, (size_t)(from - file->data), (size_t)(to - file->data));
    OddLine none = {.text = from};
    int r = 0;

    for (size_t i = first; r == 0 && i < end; i++) {
        *odd = skip_odd(l, *odd, from);
        if (!has_hole && *odd < l->n_odd && l->odd[*odd].text < to)
            r = take_line(&l->odd[*odd], l->index[i].id, l->index[i].generation, -EBADMSG,
                          &l->found[i]);
        else
            r = take_line(&none, l->index[i].id, l->index[i].generation, has_hole ? -EIO : -ENOENT,
                          &l->found[i]);
        l->place[i] = from;
    }
    return r;
}

static int load_missing(Loading *l)
{
    size_t odd = 0;
    int r = 0;

    for (size_t i = 0, end; r == 0 && i < l->n_index; i = end) {
        for (end = i; end < l->n_index && !l->found[end]; end++)
            continue;
        if (end > i)
            r = load_run(l, i, end, &odd);
        else
            end++;
    }
    return r;
}

static int compare_records(const void *a, const void *b)
{
    uint64_t x = (*(Record *const *)a)->number, y = (*(Record *const *)b)->number;

    return x < y ? -1 : x > y;
}

/* Step 5, then sorts all records by id. Of two foreign records with one id, only one is shown. */
static int gather(Loading *l, Store *s)
{
    size_t k = 0;

    for (size_t i = 0; i < l->n_odd; i++) {
        OddLine *line = &l->odd[i];
        int r = line->taken || !line->has_id || line->has_hole
                    ? 0
                    : take_line(line, line->id, 0, -EBADMSG, &l->foreign[l->n_foreign++]);

        if (r < 0) {
            l->n_foreign--;
            return r;
        }
    }
    s->records = calloc(l->n_index + l->n_foreign + 1, sizeof(*s->records));
    if (!s->records)
        return -ENOMEM;
    if (l->n_foreign > 0)
        qsort(l->foreign, l->n_foreign, sizeof(*l->foreign), compare_records);
    for (size_t i = 0; i <= l->n_index; i++) {
        for (; k < l->n_foreign && (i == l->n_index || l->foreign[k]->number < l->index[i].id); k++)
            if (s->n_records == 0 || s->records[s->n_records - 1]->number != l->foreign[k]->number)
                s->records[s->n_records++] = TAKE_PTR(l->foreign[k]);
        if (i < l->n_index)
            s->records[s->n_records++] = TAKE_PTR(l->found[i]);
    }
    return 0;
}

static int for_each_odd(Loading *l, int (*action)(Loading *l, OddLine *line))
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < l->n_odd; i++)
        r = action(l, &l->odd[i]);
    return r;
}

int store_load(Store *s)
{
    _cleanup_(loading_done) Loading l = {.s = s};
    int r = index_parse(s->text.data + s->head.header_size + 1, s->head.index_size, &l.index,
                        &l.n_index);

    if (r < 0)
        return r;
    l.found = calloc(l.n_index + 1, sizeof(*l.found));
    l.place = calloc(l.n_index + 1, sizeof(*l.place));
    if (!l.found || !l.place)
        return -ENOMEM;
    r = load_lines(&l);
    if (r < 0)
        return r;
    l.foreign = calloc(l.n_odd + 1, sizeof(*l.foreign));
    if (!l.foreign)
        return -ENOMEM;
    r = for_each_odd(&l, load_rest);
    if (r == 0)
        r = for_each_odd(&l, load_odd);
    if (r == 0)
        r = load_missing(&l);
    return r < 0 ? r : gather(&l, s);
}
