/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd-fetch/report.h"
#include "varlink/client.h"

/* nvme-keyd keeps as many at most; a report with all of them would be too long anyway. */
#define PAIRS_MAX 4096

typedef struct Pairs {
    json_object *pending; /* a member for each pair with a key that is not in use yet */
    json_object *pairs;   /* the array of the report */
} Pairs;

/* A pair as one text, to be freed. NULL if it has not got both NQNs. */
static char *name_pair(json_object *o)
{
    const char *host, *subsystem;
    char *text;

    if (json_get_string(o, "hostNQN", &host) <= 0 ||
        json_get_string(o, "subsystemNQN", &subsystem) <= 0 ||
        asprintf(&text, "%s %s", host, subsystem) < 0)
        return NULL;
    return text;
}

static int on_key(json_object *reply, void *userdata)
{
    _cleanup_(freep) char *pair = NULL;
    Pairs *p = userdata;
    json_object *key;

    if (json_get_object(reply, "key", &key) <= 0 ||
        strcmp(json_string_or(key, "state", ""), "pending") != 0)
        return 0;
    pair = name_pair(key);
    return pair ? json_add_bool(p->pending, pair, true) : 0;
}

static int add_pair(Pairs *p, json_object *pair, const char *name, uint64_t generation)
{
    json_object *o = json_object_new_object();
    bool pending = json_object_object_get_ex(p->pending, name, NULL);
    int r = json_append_take(p->pairs, o);

    if (r == 0)
        r = json_add_string(o, "hostNQN", json_string_or(pair, "hostNQN", "")) |
            json_add_string(o, "subsystemNQN", json_string_or(pair, "subsystemNQN", "")) |
            json_add_uint(o, "generation", generation) |
            json_add_string(o, "state", pending ? "pending" : "active");
    return r;
}

static int on_pair(json_object *reply, void *userdata)
{
    _cleanup_(freep) char *name = NULL;
    uint64_t generation;
    Pairs *p = userdata;
    json_object *pair;

    if (json_get_object(reply, "pair", &pair) <= 0)
        return 0;
    name = name_pair(pair);
    if (!name || json_get_uint(pair, "generation", INT64_MAX, &generation) <= 0)
        return 0;
    return json_object_array_length(p->pairs) < PAIRS_MAX ? add_pair(p, pair, name, generation)
                                                          : -E2BIG;
}

static int call(VarlinkClient *client, const char *method, VarlinkReplyFn on_reply, Pairs *p)
{
    _cleanup_(json_putp) json_object *last = NULL;
    _cleanup_(freep) char *error = NULL;
    int r =
        varlink_client_call_more(client, method, NULL, FETCH_LIST_USEC, on_reply, p, &last, &error);

    if (r == 0 && error)
        r = -EIO;
    if (r < 0)
        log_debug("nvme-keyd does not answer to %s: %s", method, error ? error : strerror(-r));
    return r;
}

json_object *report_read_pairs(const char *socket)
{
    _cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
    _cleanup_(json_putp) json_object *pending = json_object_new_object();
    _cleanup_(json_putp) json_object *pairs = json_object_new_array();
    Pairs p = {.pending = pending, .pairs = pairs};
    int r =
        pending && pairs ? varlink_client_connect(socket, NULL, FETCH_LIST_USEC, &client) : -ENOMEM;

    if (r == 0)
        r = call(client, NAMES_MANAGER_INTERFACE ".List", on_key, &p);
    if (r == 0)
        r = call(client, NAMES_MANAGER_INTERFACE ".ListPairs", on_pair, &p);
    return r == 0 ? TAKE_PTR(pairs) : NULL;
}

int report_format(const Envelopes *envelopes, json_object *pairs, char **ret)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    _cleanup_(freep) char *text = NULL;
    json_object *array = NULL;
    int r = o ? 0 : -ENOMEM;

    if (r == 0)
        r = json_add_string(o, "format", "nvme-keyd status") | json_add_uint(o, "version", 1);
    if (r == 0)
        r = envelopes_to_json(envelopes, &array);
    if (r == 0)
        r = json_add_take(o, "envelopes", array);
    /* Without an answer there is no word about pairs, not the word that there is none. */
    if (r == 0 && pairs)
        r = json_add_take(o, "pairs", json_object_get(pairs));
    if (r == 0)
        r = json_format(o, &text);
    if (r < 0)
        return r;
    if (text && strlen(text) > FETCH_REPORT_MAX)
        return -EMSGSIZE;
    *ret = TAKE_PTR(text);
    return 0;
}
