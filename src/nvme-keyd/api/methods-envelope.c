/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "basic/log.h"
#include "basic/names.h"
#include "envelope/cms.h"
#include "nvme-keyd/api/methods-private.h"
#include "nvme-keyd/manager/envelopes.h"

/* Envelopes: TakeEnvelope, ListPairs. */

/* A call that waits for the child process that opens its envelope. */
typedef struct Taking {
    VarlinkCall *call;
    Manager *manager;
} Taking;

static const char *refusal_name(int refusal)
{
    static const char *const names[] = {
        [ENVELOPE_MALFORMED] = NAMES_MANAGER_INTERFACE ".EnvelopeMalformed",
        [ENVELOPE_NOT_FOR_US] = NAMES_MANAGER_INTERFACE ".EnvelopeNotForUs",
        [ENVELOPE_ISSUER] = NAMES_MANAGER_INTERFACE ".EnvelopeUnknownIssuer",
        [ENVELOPE_SIGNATURE] = NAMES_MANAGER_INTERFACE ".EnvelopeBadSignature",
        [ENVELOPE_OTHER_PAIRS] = NAMES_MANAGER_INTERFACE ".EnvelopeOtherPairs",
        [ENVELOPE_NOT_YET] = NAMES_MANAGER_INTERFACE ".EnvelopeNotYet",
        [ENVELOPE_EXPIRED] = NAMES_MANAGER_INTERFACE ".EnvelopeExpired",
        [ENVELOPE_REPLAYED] = NAMES_MANAGER_INTERFACE ".EnvelopeReplayed"};

    /* A child that was taken over may return any number. */
    return (size_t)refusal < ARRAY_SIZE(names) ? names[refusal] : names[ENVELOPE_MALFORMED];
}

static int reply_refusal(VarlinkCall *call, int error, const char *detail)
{
    if (error == -EAGAIN)
        return methods_reply_error(call, NAMES_MANAGER_INTERFACE ".TooManyCalls",
                                   "too many envelopes wait: try again", NULL);
    if (error < 0)
        return methods_reply_failure(call, error, detail, NULL);
    detail = detail ? detail : envelope_refusal_text(error);
    (void)log_full(LOG_WARNING, 0, &(LogFields){.message_id = MESSAGE_ENVELOPE_REFUSED},
                   "Envelope from uid %u refused: %s", (unsigned)varlink_call_peer(call)->uid,
                   detail);
    return methods_reply_error(call, refusal_name(error), detail, NULL);
}

static void log_pair(const TakeReport *report, const TakeItem *i)
{
    const LogFields fields = {.message_id = MESSAGE_ENVELOPE_TAKEN,
                              .hostnqn = i->pair->hostnqn,
                              .subsysnqn = i->pair->subsysnqn,
                              .key_id = i->key ? i->key->id : NULL};

    (void)log_full(LOG_INFO, 0, &fields,
                   "Envelope %s of issuer %.16s: generation %llu for host %s and subsystem %s: %s",
                   report->id, report->issuer, (unsigned long long)i->pair->generation,
                   i->pair->hostnqn, i->pair->subsysnqn, take_outcome_to_string(i->outcome));
}

static int add_pair(json_object *array, const TakeItem *i)
{
    json_object *o = json_object_new_object();

    if (json_append_take(array, o) < 0 || json_add_string(o, "hostNQN", i->pair->hostnqn) < 0 ||
        json_add_string(o, "subsystemNQN", i->pair->subsysnqn) < 0 ||
        json_add_uint(o, "generation", i->pair->generation) < 0 ||
        json_add_string(o, "outcome", take_outcome_to_string(i->outcome)) < 0 ||
        (i->key && json_add_string(o, "id", i->key->id) < 0))
        return -ENOMEM;
    return 0;
}

static int reply_report(const Taking *t, const TakeReport *report)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    json_object *pairs = json_object_new_array();
    int r = json_add_take(o, "pairs", pairs);

    for (size_t i = 0; i < report->n; i++) {
        const TakeItem *item = &report->items[i];

        log_pair(report, item);
        if (item->key)
            methods_log_unpublished(t->manager, item->key);
        if (r == 0)
            r = add_pair(pairs, item);
    }
    if (r < 0 || json_add_string(o, "id", report->id) < 0 ||
        json_add_string(o, "issuer", report->issuer) < 0)
        return -ENOMEM;
    return varlink_call_reply(t->call, TAKE_PTR(o));
}

static void on_taken(int error, const TakeReport *report, const char *detail, void *userdata)
{
    Taking *t = userdata;

    varlink_held_call_end(t->call, error != 0 ? reply_refusal(t->call, error, detail)
                                              : reply_report(t, report));
    free(t);
}

int method_take_envelope(VarlinkCall *call, json_object *p, void *userdata)
{
    const char *envelope;
    Taking *t;

    if (json_get_string(p, "envelope", &envelope) <= 0)
        return varlink_call_invalid_parameter(call, "envelope");
    t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    *t = (Taking){varlink_call_hold(call), userdata};
    if (!t->call) {
        free(t);
        return -ENOMEM;
    }
    manager_take(userdata, envelope, strlen(envelope), on_taken, t);
    return 0;
}

/* Pairs are only appended, so an index stays right while the stream runs. */
typedef struct PairList {
    Manager *manager;
    size_t next;
} PairList;

static int send_pair(VarlinkCall *call, const PairRecord *p)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    json_object *pair = json_object_new_object();

    if (json_add_take(o, "pair", pair) < 0 || json_add_string(pair, "hostNQN", p->hostnqn) < 0 ||
        json_add_string(pair, "subsystemNQN", p->subsysnqn) < 0 ||
        json_add_uint(pair, "generation", p->generation) < 0 ||
        json_add_uint(pair, "taken", p->changed_usec) < 0 ||
        json_add_string(pair, "envelope", p->envelope) < 0 ||
        json_add_string(pair, "issuer", p->issuer) < 0)
        return -ENOMEM;
    return varlink_call_notify(call, TAKE_PTR(o));
}

static int next_pair(VarlinkCall *call, void *state)
{
    PairList *l = state;
    const Records *r = manager_fleet(l->manager);

    return l->next < r->n_pairs ? send_pair(call, &r->pairs[l->next++])
                                : varlink_call_reply(call, NULL);
}

int method_list_pairs(VarlinkCall *call, _unused_ json_object *p, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    int r = vault_require_open(manager_vault(userdata), &detail);
    PairList *l;

    if (r < 0)
        return methods_reply_failure(call, r, detail, NULL);
    l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->manager = userdata;
    return varlink_call_stream(call, next_pair, l, free);
}
