/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "basic/macro.h"
#include "store-direct.h"
#include "store-steps.h"

/* Adds a slot, or replaces one, that opens by a recovery key, which is dropped. */
static int steps_put_slot(Subject *x, Store *s, const char *id)
{
    static const SlotOptions options = {.pcrs_given = false};
    _cleanup_(secret_freep) Secret *slot = NULL, *recovery_key = NULL;
    int r = direct_seal_slot(s, "recovery", id, &options, &slot, &recovery_key, NULL);

    return r < 0 ? r : store_put_slot(s, slot, x->slot);
}

int steps_new(Fixture *f, Subject *x, Store **ret)
{
    int r = fixture_new(f);

    if (r == 0)
        r = direct_open(f->dir, ret, NULL);
    if (r == 0)
        r = fixture_add(*ret, "a", "first", x->a);
    if (r == 0)
        r = fixture_add(*ret, "b", "other", x->b);
    return r < 0 ? r : steps_put_slot(x, *ret, NULL);
}

static int step_add(Subject *x, Store *s)
{
    return fixture_add(s, "c", "new", x->added);
}

int step_replace(Subject *x, Store *s)
{
    return fixture_replace(s, x->a, "a2", "second");
}

int step_replace_meta(Subject *x, Store *s)
{
    return fixture_replace(s, x->a, "a3", NULL);
}

int step_remove(Subject *x, Store *s)
{
    return fixture_delete(s, x->b);
}

int step_all_kinds(Subject *x, Store *s)
{
    _cleanup_(secret_freep) Secret *secret = secret_new_copy("third", 5);
    _cleanup_(freep) char *meta = fixture_meta("a4");
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    int r = store_begin(s, &t);

    if (r == 0)
        r = store_replace(t, x->a, meta, secret);
    if (r == 0)
        r = store_remove(t, x->b);
    if (r == 0)
        r = store_add(t, meta, secret, x->added);
    return r < 0 ? r : store_commit(t);
}

int step_add_batch(Subject *x, Store *s)
{
    _cleanup_(secret_freep) Secret *secret = secret_new_copy("batch", 5);
    _cleanup_(freep) char *meta = fixture_meta("batch");
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    int r = store_begin(s, &t);

    for (size_t i = 0; r == 0 && i < STEPS_BATCH; i++)
        r = store_add(t, meta, secret, x->batch[i]);
    return r < 0 ? r : store_commit(t);
}

int step_remove_batch(Subject *x, Store *s)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    int r = store_begin(s, &t);

    for (size_t i = 0; r == 0 && i < STEPS_BATCH; i++)
        r = store_remove(t, x->batch[i]);
    return r < 0 ? r : store_commit(t);
}

int step_add_slot(Subject *x, Store *s)
{
    return steps_put_slot(x, s, NULL);
}

int step_reseal_slot(Subject *x, Store *s)
{
    return steps_put_slot(x, s, x->slot);
}

int step_remove_slot(Subject *x, Store *s)
{
    return store_remove_slot(s, x->slot, false);
}

const NamedStep named_steps[STEPS_NAMED] = {
    {"add", step_add},
    {"replace", step_replace},
    {"replace metadata", step_replace_meta},
    {"remove", step_remove},
    {"all kinds at once", step_all_kinds},
    {"add a hundred", step_add_batch},
    {"add a slot", step_add_slot},
    {"reseal a slot", step_reseal_slot},
    {"remove a slot", step_remove_slot},
};

typedef struct StepsDump {
    Store *store;
    FILE *out;
    bool ids;
} StepsDump;

static int steps_dump_record(const StoreRecord *record, void *userdata)
{
    _cleanup_(secret_freep) Secret *secret = NULL;
    StepsDump *d = userdata;

    if (record->error < 0)
        return record->error;
    if (store_unseal(d->store, record->id, &secret) < 0)
        return -EIO;
    fprintf(d->out, "%s %s %.*s\n", d->ids ? record->id : "", fixture_name(record),
            (int)secret->size, (const char *)secret->data);
    return 0;
}

static void steps_dump_slots(const StepsDump *d)
{
    json_object *slots = store_slots(d->store), *type;

    for (size_t i = 0; i < json_object_array_length(slots); i++) {
        json_object *slot = json_object_array_get_idx(slots, i);

        if (json_object_object_get_ex(slot, "type", &type))
            fprintf(d->out, "%s\n", json_object_get_string(d->ids ? slot : type));
    }
}

static int steps_compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts the lines, because random ids put the records in random order. */
static char *steps_sort(char *text)
{
    char *sorted = calloc(1, strlen(text) + 2), *lines[4096], *rest = text;
    size_t n = 0;

    while (rest && n < ARRAY_SIZE(lines))
        lines[n++] = strsep(&rest, "\n");
    qsort(lines, n, sizeof(*lines), steps_compare_lines);
    for (size_t i = 0; sorted && i < n; i++)
        strcat(strcat(sorted, lines[i]), i + 1 < n ? "\n" : "");
    free(text);
    return sorted;
}

char *steps_dump(Store *s, bool ids)
{
    char *text = NULL;
    size_t size;
    StepsDump d = {s, open_memstream(&text, &size), ids};
    int r = d.out ? store_for_each(s, steps_dump_record, &d) : -ENOMEM;

    if (r == 0)
        steps_dump_slots(&d);
    if (d.out)
        (void)fclose(d.out);
    if (r < 0) {
        free(text);
        return NULL;
    }
    return ids ? text : steps_sort(text);
}
