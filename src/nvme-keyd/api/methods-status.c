/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "basic/log.h"
#include "basic/names.h"
#include "build-config.h"
#include "nvme-keyd/api/methods-private.h"
#include "nvme-keyd/manager/controllers.h"

/* Status. */

/* The slot that opened the store comes first. */
static int add_slots(json_object *o, const Store *s)
{
    json_object *types = json_object_new_array(), *slots = store_slots(s),
                *opener = store_opened_by(s);
    int r = json_add_take(o, "slots", types);

    for (size_t i = 0; r == 0 && i < 1 + json_object_array_length(slots); i++) {
        json_object *slot = i == 0 ? opener : json_object_array_get_idx(slots, i - 1);
        const char *type = "";

        if (!slot || (i > 0 && slot == opener))
            continue;
        (void)json_get_string(slot, "type", &type);
        r = json_append_take(types, json_object_new_string(type));
    }
    if (r == 0)
        r = json_add_string(o, "slot", store_slot_type(s));
    return r < 0 ? r : json_add_bool(o, "opensByItself", store_opens_by_itself(s));
}

static json_object *store_status(Manager *m)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    const char *detail = vault_detail(manager_vault(m));
    const Store *store = manager_store(m);
    const char *state = store                                ? "open"
                        : vault_is_opening(manager_vault(m)) ? "opening"
                        : detail                             ? "unavailable"
                                                             : "absent";

    if (!o || json_add_string(o, "state", state) < 0 ||
        (store && json_add_string(o, "id", store_identity(store)) < 0) ||
        (store && add_slots(o, store) < 0) ||
        (vault_is_foreign(manager_vault(m)) && json_add_bool(o, "foreign", true) < 0) ||
        (detail && json_add_string(o, "detail", detail) < 0))
        return NULL;
    return TAKE_PTR(o);
}

/* error: why wanted keys are missing in the ring, or 0. */
static int add_ring_problems(json_object *o, const RingNotices *l, int error)
{
    json_object *problems = json_object_new_array();
    int r = json_add_take(o, "problems", problems);

    if (r == 0 && error < 0)
        r = json_append_take(problems, json_object_new_string(ring_error_text(error)));
    for (size_t i = 0; r == 0 && i < l->n; i++) {
        _cleanup_(freep) char *text = NULL;

        /* A displaced key is gone, so it is no problem. */
        if (l->items[i].kind == RING_NOTICE_DISPLACED)
            continue;
        text = ring_notice_text(&l->items[i]);
        r = text ? json_append_take(problems, json_object_new_string(text)) : -ENOMEM;
    }
    return r;
}

/* lacking: wanted keys are missing in the ring. */
static json_object *keyring_status(const Manager *m, const Ring *ring, bool lacking)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    int error = lacking ? publisher_error(manager_publisher(m)) : 0;
    bool stand_in = manager_config(m)->stand_in;

    if (!o || json_add_string(o, "name", stand_in ? NAMES_RING_STAND_IN : NAMES_RING) < 0 ||
        json_add_string(o, "keyType", stand_in ? NAMES_KEY_TYPE_STAND_IN : NAMES_KEY_TYPE) < 0 ||
        (ring && json_add_uint(o, "serial", (uint64_t)ring_serial(ring)) < 0) ||
        add_ring_problems(o, publisher_ring_notices(manager_publisher(m)), ring ? error : 0) < 0)
        return NULL;
    return TAKE_PTR(o);
}

static json_object *provision_status(const Manager *m)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    Provision p = publisher_provision(manager_publisher(m));
    const Config *c = manager_config(m);

    if (!o || json_add_string(o, "mode", p == PROVISION_ON_DEMAND ? "on_demand" : "resident") < 0 ||
        (p == PROVISION_ON_DEMAND && json_add_uint(o, "timeoutSec", c->on_demand_sec) < 0) ||
        (p == PROVISION_REFUSED && json_add_string(o, "detail", PUBLISHER_ON_DEMAND_REFUSED) < 0))
        return NULL;
    return TAKE_PTR(o);
}

static json_object *guard_status(const Manager *m)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    const Losses *l = publisher_losses(manager_publisher(m));
    uint64_t pause_usec = guard_fight_pause(manager_guard(m));

    if (!o || json_add_bool(o, "looking", guard_is_looking(manager_guard(m))) < 0 ||
        json_add_bool(o, "notified", guard_is_notified(manager_guard(m))) < 0 ||
        json_add_uint(o, "putBack", l->total) < 0 ||
        json_add_uint(o, "displaced", publisher_displaced(manager_publisher(m))) < 0 ||
        (l->total > 0 && (json_add_uint(o, "last", l->last_usec) < 0 ||
                          json_add_string(o, "cause", loss_cause_to_string(l->last_cause)) < 0)) ||
        (pause_usec > 0 && json_add_uint(o, "pauseSec", pause_usec / USEC_PER_SEC) < 0))
        return NULL;
    return TAKE_PTR(o);
}

/* Without a ring tlshd has nothing to link. */
static int add_tlshd(json_object *status, const ManagerLook *look)
{
    const TlshdStatus *h = &look->tlshd;
    json_object *o;
    int r;

    if (!look->has_tlshd)
        return 0;
    o = json_object_new_object();
    r = json_add_take(status, "tlshd", o);
    if (r == 0)
        r = json_add_string(o, "unit", h->unit);
    if (r == 0)
        r = json_add_string(o, "state", tlshd_state_to_string(h->state));
    return r < 0 || h->remedy == TLSHD_NO_REMEDY
               ? r
               : json_add_string(o, "remedy", tlshd_remedy_to_string(h->remedy));
}

static json_object *credentials_status(const Manager *m)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    HandedCounts c = manager_handed_in(m);
    json_object *problems = json_object_new_array();
    const char *text;

    if (json_add_take(o, "problems", problems) < 0 || json_add_uint(o, "keys", c.keys) < 0 ||
        json_add_uint(o, "overridden", c.overridden) < 0)
        return NULL;
    for (size_t i = 0; (text = manager_handed_problem(m, i)); i++)
        if (json_append_take(problems, json_object_new_string(text)) < 0)
            return NULL;
    return TAKE_PTR(o);
}

/* A store that is not open may have any number of keys, so only those that it left in the ring are
 * counted. */
static int add_counts(json_object *o, const Manager *m, const ManagerLook *look)
{
    if (manager_store(m) ||
        (!vault_is_opening(manager_vault(m)) && !vault_detail(manager_vault(m))))
        return json_add_uint(o, "keys", key_table_size(manager_keys(m))) |
               json_add_uint(o, "broken", look->broken) |
               json_add_uint(o, "identities", look->identities) |
               json_add_uint(o, "published", look->published) |
               json_add_uint(o, "expired", look->expired) |
               json_add_uint(o, "missing", look->missing);
    return look->knows_ours ? json_add_uint(o, "inKeyring", look->ours) : 0;
}

/* Of controllers whose requests do not end. */
static int add_stalled(json_object *problems, const Stalls *stalls)
{
    const char *last = "";
    int r = 0;

    for (size_t i = 0; r == 0 && i < stalls->n; i++) {
        const StallDevice *d = &stalls->items[i];
        _cleanup_(freep) char *text = NULL;

        /* The devices of a controller stand together. */
        if (!d->stalled || strcmp(d->controller, last) == 0)
            continue;
        last = d->controller;
        if (asprintf(&text,
                     "requests of %s of %s do not end after a KeyUpdate of its peer: run "
                     "nvme-keyctl move --stalled",
                     d->controller, d->subsysnqn) < 0)
            return -ENOMEM;
        r = json_append_take(problems, json_object_new_string(text));
    }
    return r;
}

/* Without sysfs nothing is known about the controllers. */
static int add_controllers(json_object *status, Manager *m)
{
    const KeyUpdates *updates = manager_key_updates(m);
    json_object *o, *problems;
    const ControllerCounts *c;
    int r = manager_look_controllers(m, &c);

    if (r == -ENOMEM)
        return r;
    if (r == 0) {
        o = json_object_new_object();
        problems = json_object_new_array();
        if (json_add_take(status, "controllers", o) < 0 ||
            json_add_take(o, "problems", problems) < 0 || json_add_uint(o, "total", c->all) < 0 ||
            json_add_uint(o, "active", c->active) < 0 || json_add_uint(o, "old", c->old) < 0 ||
            json_add_uint(o, "stalled", c->stalled) < 0 ||
            add_stalled(problems, manager_stalls(m)) < 0)
            return -ENOMEM;
    }
    if (!updates->counted)
        return 0;
    o = json_object_new_object();
    return json_add_take(status, "keyUpdates", o) < 0 ||
                   json_add_uint(o, "received", updates->received) < 0 ||
                   json_add_uint(o, "done", updates->done) < 0
               ? -ENOMEM
               : 0;
}

static json_object *configuration_status(const Manager *m)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    const ConfigProblems *p = manager_config_problems(m);
    json_object *problems = json_object_new_array();
    const char *line;

    if (json_add_take(o, "problems", problems) < 0 ||
        json_add_bool(o, "inForce", !manager_config_is_refused(m)) < 0)
        return NULL;
    for (size_t i = 0; (line = config_problem(p, i)); i++)
        if (json_append_take(problems, json_object_new_string(line)) < 0)
            return NULL;
    return TAKE_PTR(o);
}

bool gate_status(_unused_ const VarlinkCall *call, _unused_ json_object *p, void *userdata)
{
    Vault *v = manager_vault(userdata);

    return vault_await(v) || vault_is_slow(v);
}

int method_status(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    const ManagerLook *look;
    Manager *m = userdata;

    (void)p;
    look = manager_look(m, varlink_call_peer(call)->uid == 0);
    if (!o || json_add_string(o, "version", PROJECT_VERSION) < 0 ||
        json_add_take(o, "store", store_status(m)) < 0 ||
        json_add_take(o, "keyring", keyring_status(m, look->ring, look->missing > 0)) < 0 ||
        json_add_take(o, "guard", guard_status(m)) < 0 ||
        json_add_take(o, "provision", provision_status(m)) < 0 || add_tlshd(o, look) < 0 ||
        json_add_take(o, "credentials", credentials_status(m)) < 0 || add_counts(o, m, look) < 0 ||
        add_controllers(o, m) < 0 ||
        json_add_take(o, "configuration", configuration_status(m)) < 0 ||
        (log_dropped() > 0 && json_add_uint(o, "droppedMessages", log_dropped()) < 0))
        return -ENOMEM;
    return varlink_call_reply(call, TAKE_PTR(o));
}
