/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/api/methods-private.h"
#include "nvme-keyd/manager/envelopes.h"

/* The identity of this machine, and the issuers that it trusts. */

/* A call that waits for a child process. */
typedef struct Held {
    VarlinkCall *call;
    Manager *manager;
} Held;

static Held *hold(VarlinkCall *call, Manager *m)
{
    Held *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    *h = (Held){varlink_call_hold(call), m};
    if (!h->call) {
        free(h);
        return NULL;
    }
    return h;
}

static void end(Held *h, int error)
{
    varlink_held_call_end(h->call, error);
    free(h);
}

static int reply_failure(VarlinkCall *call, int error, const char *detail)
{
    static const struct {
        int error;
        const char *name;
    } names[] = {{-EINVAL, NAMES_MANAGER_INTERFACE ".InvalidIssuer"},
                 {-E2BIG, NAMES_MANAGER_INTERFACE ".InvalidIssuer"},
                 {-ENOENT, NAMES_MANAGER_INTERFACE ".NoSuchIssuer"},
                 {-EBUSY, NAMES_MANAGER_INTERFACE ".TooManyCalls"}};
    const char *name = NAMES_MANAGER_INTERFACE ".StoreUnavailable";

    if (error == -ENOMEM)
        return error;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i].error == error)
            name = names[i].name;
    return methods_reply_error(call, name, detail ? detail : strerror(-error), NULL);
}

static int reply_machine(const Held *h, const MachineRecord *m, const char *request)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (!o || json_add_string(o, "fingerprint", m->fingerprint) < 0 ||
        json_add_string(o, "certificate", m->certificate) < 0 ||
        (m->name[0] && json_add_string(o, "name", m->name) < 0) ||
        json_add_uint(o, "created", m->created_usec) < 0 ||
        (request && json_add_string(o, "request", request) < 0) ||
        methods_add_made(o, h->manager) < 0)
        return -ENOMEM;
    return varlink_call_reply(h->call, TAKE_PTR(o));
}

static void on_machine(int error, const MachineRecord *m, const char *request, const char *detail,
                       void *userdata)
{
    Held *h = userdata;

    end(h, error < 0 ? reply_failure(h->call, error, detail) : reply_machine(h, m, request));
}

bool gate_new_store(_unused_ const VarlinkCall *call, _unused_ json_object *p, void *userdata)
{
    return vault_await_new(manager_vault(userdata));
}

int method_machine(VarlinkCall *call, json_object *p, void *userdata)
{
    bool with_request = false;
    Held *h;

    if (json_get_bool(p, "withRequest", &with_request) < 0)
        return varlink_call_invalid_parameter(call, "withRequest");
    h = hold(call, userdata);
    if (!h)
        return -ENOMEM;
    manager_show_machine(userdata, with_request, on_machine, h);
    return 0;
}

static int reply_trusted(const Held *h, const char *fingerprint, bool added)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (added)
        (void)log_full(LOG_NOTICE, 0, &(LogFields){.message_id = MESSAGE_ISSUER_CHANGED},
                       "Issuer %s is trusted from now on, by uid %u", fingerprint,
                       (unsigned)varlink_call_peer(h->call)->uid);
    if (!o || json_add_string(o, "fingerprint", fingerprint) < 0 ||
        json_add_bool(o, "added", added) < 0 || methods_add_made(o, h->manager) < 0)
        return -ENOMEM;
    return varlink_call_reply(h->call, TAKE_PTR(o));
}

static void on_trusted(int error, const char *fingerprint, const char *detail, void *userdata)
{
    Held *h = userdata;

    end(h, error < 0 && error != -EEXIST ? reply_failure(h->call, error, detail)
                                         : reply_trusted(h, fingerprint, error == 0));
}

int method_trust_issuer(VarlinkCall *call, json_object *p, void *userdata)
{
    const char *certificate;
    Held *h;

    if (json_get_string(p, "certificate", &certificate) <= 0)
        return varlink_call_invalid_parameter(call, "certificate");
    h = hold(call, userdata);
    if (!h)
        return -ENOMEM;
    manager_trust(userdata, certificate, on_trusted, h);
    return 0;
}

int method_distrust_issuer(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    const char *fingerprint;
    int r;

    if (json_get_string(p, "fingerprint", &fingerprint) <= 0)
        return varlink_call_invalid_parameter(call, "fingerprint");
    r = manager_distrust(userdata, fingerprint, &detail);
    if (r < 0)
        return reply_failure(call, r, detail);
    (void)log_full(LOG_NOTICE, 0, &(LogFields){.message_id = MESSAGE_ISSUER_CHANGED},
                   "Issuer %s is not trusted any longer, by uid %u", fingerprint,
                   (unsigned)varlink_call_peer(call)->uid);
    return varlink_call_reply(call, NULL);
}

static int add_issuer(json_object *array, const Issuer *i)
{
    json_object *o = json_object_new_object();

    if (json_append_take(array, o) < 0 ||
        json_add_string(o, "source", issuer_source_to_string(i->source)) < 0 ||
        (i->fingerprint && json_add_string(o, "fingerprint", i->fingerprint) < 0) ||
        (i->name && json_add_string(o, "name", i->name) < 0) ||
        (i->created_usec > 0 && json_add_uint(o, "created", i->created_usec) < 0))
        return -ENOMEM;
    return 0;
}

static int reply_issuers(const Held *h, const Issuer *issuers, size_t n)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    json_object *array = json_object_new_array();
    int r = json_add_take(o, "issuers", array);

    for (size_t i = 0; i < n && r == 0; i++)
        r = add_issuer(array, &issuers[i]);
    return r < 0 ? r : varlink_call_reply(h->call, TAKE_PTR(o));
}

static void on_issuers(int error, const Issuer *issuers, size_t n, const char *detail,
                       void *userdata)
{
    Held *h = userdata;

    end(h, error < 0 ? reply_failure(h->call, error, detail) : reply_issuers(h, issuers, n));
}

int method_list_issuers(VarlinkCall *call, _unused_ json_object *p, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    int r = vault_require_open(manager_vault(userdata), &detail);
    Held *h;

    if (r < 0)
        return reply_failure(call, r, detail);
    h = hold(call, userdata);
    if (!h)
        return -ENOMEM;
    manager_list_issuers(userdata, on_issuers, h);
    return 0;
}
