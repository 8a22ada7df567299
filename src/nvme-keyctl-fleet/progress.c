/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "nvme-keyctl-fleet/session.h"

#define BAR_WIDTH 30

void counts_make(const Fleet *f, Counts *ret)
{
    *ret = (Counts){.total = f->n};
    for (size_t i = 0; i < f->n; i++)
        ret->n[plan_state(&f->plan[i])]++;
}

int counts_add(json_object *reply, const Counts *c)
{
    static const char *const members[PLAN_STATES] = {
        [PLAN_WAITING_TARGET] = "waitingForTarget",
        [PLAN_WAITING_HOST] = "waitingForHost",
        [PLAN_DONE] = "done",
        [PLAN_ENDED] = "ended",
        [PLAN_FAILED] = "failed",
        [PLAN_OFFLINE] = "offline",
    };
    json_object *o = json_object_new_object();
    int r = json_add_take(reply, "counts", o);

    for (size_t i = 0; i < PLAN_STATES && r == 0; i++)
        r = json_add_uint(o, members[i], c->n[i]);
    return r;
}

/* Writes "9 done, 1 offline". */
static void format_counts(const Counts *c, char *ret, size_t size)
{
    size_t length = 0;

    ret[0] = '\0';
    for (size_t i = 0; i < PLAN_STATES && length < size; i++)
        if (c->n[i] > 0)
            length += (size_t)snprintf(ret + length, size - length, "%s%zu %s", length ? ", " : "",
                                       c->n[i], plan_state_to_string((PlanState)i));
}

void counts_print(const Counts *c)
{
    char text[256];

    format_counts(c, text, sizeof(text));
    printf("%zu pair%s%s%s.\n", c->total, c->total == 1 ? "" : "s", text[0] ? ": " : "", text);
}

void progress_draw(const Options *o, const Counts *c)
{
    size_t ready = c->n[PLAN_DONE] + c->n[PLAN_ENDED];
    char bar[BAR_WIDTH + 1], text[256];
    size_t filled = c->total > 0 ? ready * BAR_WIDTH / c->total : BAR_WIDTH;

    if (o->columns == 0 || o->json != JSON_OFF)
        return;
    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', filled);
    bar[BAR_WIDTH] = '\0';
    format_counts(c, text, sizeof(text));
    /* The rest of a longer line is erased. */
    printf("\r[%s] %zu/%zu: %.*s\033[K", bar, ready, c->total,
           (int)(o->columns > BAR_WIDTH + 20 ? o->columns - BAR_WIDTH - 20 : 0), text);
    (void)fflush(stdout);
}

void progress_end(const Options *o)
{
    if (o->columns > 0 && o->json == JSON_OFF)
        (void)putchar('\n');
}
