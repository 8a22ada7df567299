/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "nvme-keyd-fetch/envelopes.h"

typedef struct Envelope {
    char name[FETCH_NAME_MAX + 1];
    uint64_t revision;
    bool has_file; /* its state is that of the file */
    FetchInboxState state;
    char reason[FETCH_REASON_MAX];
} Envelope;

struct Envelopes {
    const FetchInbox *inbox;
    Envelope *list[FETCH_ENVELOPES_MAX];
    size_t n;
};

int envelopes_new(const FetchInbox *inbox, Envelopes **ret)
{
    *ret = calloc(1, sizeof(**ret));
    if (!*ret)
        return -ENOMEM;
    (*ret)->inbox = inbox;
    return 0;
}

Envelopes *envelopes_free(Envelopes *e)
{
    if (!e)
        return NULL;
    for (size_t i = 0; i < e->n; i++)
        free(e->list[i]);
    free(e);
    return NULL;
}

static Envelope *find(const Envelopes *e, const char *name)
{
    for (size_t i = 0; i < e->n; i++)
        if (strcmp(e->list[i]->name, name) == 0)
            return e->list[i];
    return NULL;
}

bool envelopes_has(const Envelopes *e, const char *name, uint64_t revision)
{
    const Envelope *envelope = find(e, name);

    return envelope && envelope->revision == revision;
}

static int find_or_add(Envelopes *e, const char *name, Envelope **ret)
{
    Envelope *envelope = find(e, name);

    if (!envelope) {
        if (e->n == FETCH_ENVELOPES_MAX)
            return -ENOSPC;
        envelope = calloc(1, sizeof(*envelope));
        if (!envelope)
            return -ENOMEM;
        (void)snprintf(envelope->name, sizeof(envelope->name), "%s", name);
        e->list[e->n++] = envelope;
    }
    *ret = envelope;
    return 0;
}

/* Removes what is left of the revision that was there: the newest counts alone, so files of a
 * service that does not look into the inbox stay few. If it is just reading this one, it goes on
 * with that. */
static void drop_file(const Envelopes *e, Envelope *envelope)
{
    FetchInboxName file;

    fetch_inbox_name(envelope->name, envelope->revision, file);
    if (envelope->has_file)
        fetch_inbox_remove(e->inbox, file);
    envelope->reason[0] = '\0';
    envelope->has_file = false;
}

int envelopes_pass(Envelopes *e, const char *name, uint64_t revision, const void *data, size_t size)
{
    Envelope *envelope;
    FetchInboxName file;
    int r = find_or_add(e, name, &envelope);

    if (r < 0)
        return r;
    fetch_inbox_name(name, revision, file);
    r = fetch_inbox_put(e->inbox, file, data, size);
    if (r < 0)
        return r;
    drop_file(e, envelope);
    envelope->revision = revision;
    envelope->has_file = true;
    envelope->state = INBOX_WAITING;
    return 0;
}

void envelopes_refuse(Envelopes *e, const char *name, uint64_t revision, const char *why)
{
    Envelope *envelope;

    if (find_or_add(e, name, &envelope) < 0)
        return;
    drop_file(e, envelope);
    envelope->revision = revision;
    envelope->state = INBOX_REFUSED;
    (void)snprintf(envelope->reason, sizeof(envelope->reason), "%s", why);
}

unsigned envelopes_look(Envelopes *e)
{
    unsigned changed = 0;
    FetchInboxName file;

    for (size_t i = 0; i < e->n; i++) {
        Envelope *envelope = e->list[i];

        if (!envelope->has_file || envelope->state != INBOX_WAITING)
            continue;
        fetch_inbox_name(envelope->name, envelope->revision, file);
        envelope->state = fetch_inbox_look(e->inbox, file, envelope->reason);
        changed += envelope->state != INBOX_WAITING;
    }
    return changed;
}

static int to_json(const Envelope *envelope, json_object *array)
{
    static const char *const states[] = {
        [INBOX_WAITING] = "waiting",
        [INBOX_TAKEN] = "taken",
        [INBOX_REFUSED] = "refused",
    };
    json_object *o = json_object_new_object();
    int r = json_append_take(array, o);

    if (r == 0)
        r = json_add_string(o, "name", envelope->name) |
            json_add_uint(o, "revision", envelope->revision) |
            json_add_string(o, "state", states[envelope->state]);
    if (r == 0 && envelope->reason[0])
        r = json_add_string(o, "reason", envelope->reason);
    return r;
}

int envelopes_to_json(const Envelopes *e, json_object **ret)
{
    _cleanup_(json_putp) json_object *array = json_object_new_array();
    int r = array ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < e->n; i++)
        r = to_json(e->list[i], array);
    if (r == 0)
        *ret = TAKE_PTR(array);
    return r;
}
