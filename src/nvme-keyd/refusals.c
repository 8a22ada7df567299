/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/limits.h"
#include "nvme-keyd/refusals.h"

#define MINUTE_USEC (60 * USEC_PER_SEC)

typedef struct Entry {
    uid_t uid;
    uint64_t end_usec; /* CLOCK_MONOTONIC, end of its minute; 0: unused */
    unsigned logged, unlogged;
} Entry;

struct Refusals {
    sd_event_source *timer;
    Entry all; /* all users together; unlogged: refusals that no other notice counts */
    Entry entries[REFUSALS_USERS_MAX];
};

static const LogFields fields = {.message_id = MESSAGE_CALL_REFUSED};

static void end_minute_of_all(Refusals *r)
{
    if (r->all.unlogged > 0)
        (void)log_full(LOG_NOTICE, 0, &fields,
                       "Refused %u more calls or connections of several users within a minute",
                       r->all.unlogged);
    r->all = (Entry){0};
}

/* True if all users together have a notice left; otherwise counts the refusals that it would
 * report. */
static bool may_log(Refusals *r, unsigned refusals)
{
    uint64_t now = now_monotonic();

    if (r->all.end_usec <= now) {
        end_minute_of_all(r);
        r->all.end_usec = now + MINUTE_USEC;
    }
    if (r->all.logged >= REFUSALS_ALL_PER_MINUTE) {
        r->all.unlogged += refusals;
        return false;
    }
    r->all.logged++;
    return true;
}

/* Reports the refusals without a notice and frees the entry. */
static void end_minute(Refusals *r, Entry *e)
{
    if (e->unlogged > 0 && may_log(r, e->unlogged))
        (void)log_full(LOG_NOTICE, 0, &fields, "Refused %u more calls of uid %u within a minute",
                       e->unlogged, (unsigned)e->uid);
    *e = (Entry){0};
}

static void arm(Refusals *r)
{
    uint64_t first = r->all.end_usec;

    for (size_t i = 0; i < REFUSALS_USERS_MAX; i++)
        if (r->entries[i].end_usec > 0 && (first == 0 || r->entries[i].end_usec < first))
            first = r->entries[i].end_usec;
    (void)sd_event_source_set_time(r->timer, first);
    (void)sd_event_source_set_enabled(r->timer, first > 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static int on_minute(sd_event_source *source, uint64_t usec, void *userdata)
{
    uint64_t now = now_monotonic();
    Refusals *r = userdata;

    (void)source;
    (void)usec;
    for (size_t i = 0; i < REFUSALS_USERS_MAX; i++)
        if (r->entries[i].end_usec > 0 && r->entries[i].end_usec <= now)
            end_minute(r, &r->entries[i]);
    if (r->all.end_usec <= now)
        end_minute_of_all(r);
    arm(r);
    return 0;
}

int refusals_new(sd_event *event, Refusals **ret)
{
    _cleanup_(refusals_freep) Refusals *r = calloc(1, sizeof(*r));
    int e;

    if (!r)
        return -ENOMEM;
    e = sd_event_add_time(event, &r->timer, CLOCK_MONOTONIC, 0, 0, on_minute, r);
    if (e < 0)
        return e;
    (void)sd_event_source_set_enabled(r->timer, SD_EVENT_OFF);
    *ret = TAKE_PTR(r);
    return 0;
}

Refusals *refusals_free(Refusals *r)
{
    if (!r)
        return NULL;
    for (size_t i = 0; i < REFUSALS_USERS_MAX; i++)
        end_minute(r, &r->entries[i]);
    end_minute_of_all(r);
    sd_event_source_disable_unref(r->timer);
    free(r);
    return NULL;
}

/* Returns the entry of the user, or else a free one or the one that ends first. */
static Entry *find_entry(Refusals *r, uid_t uid)
{
    Entry *oldest = &r->entries[0];

    for (size_t i = 0; i < REFUSALS_USERS_MAX; i++) {
        Entry *e = &r->entries[i];

        if (e->end_usec > 0 && e->uid == uid)
            return e;
        if (e->end_usec < oldest->end_usec)
            oldest = e;
    }
    end_minute(r, oldest);
    *oldest = (Entry){.uid = uid, .end_usec = now_monotonic() + MINUTE_USEC};
    return oldest;
}

void refusals_add(Refusals *r, uid_t uid, const char *method)
{
    Entry *e = find_entry(r, uid);
    bool allowed;

    if (e->logged >= REFUSALS_PER_MINUTE) {
        e->unlogged++;
        return;
    }
    e->logged++;
    allowed = may_log(r, 1);
    arm(r);
    if (!allowed)
        return;
    if (method)
        (void)log_full(LOG_NOTICE, 0, &fields, "Refused uid %u to call %s", (unsigned)uid, method);
    else
        (void)log_full(LOG_NOTICE, 0, &fields,
                       "Refused a connection of uid %u: it, or all users but root, have too many",
                       (unsigned)uid);
}
