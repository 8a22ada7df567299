/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "nvme-keyd/api/key-json.h"
#include "nvme-keyd/api/methods-private.h"
#include "nvme-keyd/manager/rotation.h"

/* List and Describe. */

/* The serials of foreign keys beside this one. */
static int add_rivals(json_object *o, const Key *k, const RingNotices *l)
{
    json_object *array = NULL;
    int r = 0;

    for (size_t i = 0; i < l->n && r == 0; i++) {
        const RingNotice *n = &l->items[i];

        if (!ring_notice_is_rival(n) || strcmp(n->hostnqn, k->hostnqn) != 0 ||
            strcmp(n->subsysnqn, k->subsysnqn) != 0)
            continue;
        if (!array) {
            array = json_object_new_array();
            r = json_add_take(o, "rivals", array);
        }
        if (r == 0)
            r = json_append_take(array, json_object_new_int(n->serial));
    }
    return r;
}

static int add_expiry(json_object *o, const Manager *m, const Key *k)
{
    uint64_t usec = key_expiry(k, manager_config(m)->max_age_usec);

    if (usec == 0)
        return 0;
    return json_add_uint(o, "expires", usec) |
           (manager_has_expired(m, k) ? json_add_bool(o, "expired", true) : 0);
}

int methods_describe_key(Manager *m, const Key *k, unsigned on_demand_sec, json_object **ret)
{
    unsigned lifetime = k->state == KEY_BROKEN ? 0 : key_lifetime(k, on_demand_sec);
    _cleanup_(json_putp) json_object *o = NULL;
    int r = key_to_json(k, &o);

    if (r == 0 && k->state == KEY_ACTIVE && k->role & KEY_ROLE_HOST)
        r = add_rivals(o, k, publisher_ring_notices(manager_publisher(m)));
    if (r == 0 && k->state != KEY_BROKEN)
        r = add_expiry(o, m, k);
    if (r == 0 && manager_is_due(m, k))
        r = json_add_bool(o, "rotationDue", true);
    if (r == 0 && lifetime > 0)
        r = json_add_uint(o, "lifetimeSec", lifetime);
    if (r == 0)
        *ret = TAKE_PTR(o);
    return r;
}

/* Root changes keys and must see the effect at once. The others share one look at the ring, because
 * there may be many of them. */
static const ManagerLook *look_for(const VarlinkCall *call, Manager *m)
{
    return manager_look(m, varlink_call_peer(call)->uid == 0);
}

/* Keys of one step: they take well below a millisecond, and fill about one write. */
#define LIST_STEP 16

typedef struct Listing {
    Manager *manager;
    KeyCursor cursor;
    unsigned on_demand_sec;
    int error; /* why the store is not open; reported after the handed-in keys */
} Listing;

static void destroy_listing(void *state)
{
    Listing *l = state;

    key_cursor_done(&l->cursor);
    free(l);
}

static int end_list(VarlinkCall *call, const Listing *l)
{
    if (l->cursor.stale)
        return methods_reply_failure(call, -EIO,
                                     "the keys were reloaded meanwhile: list them again", NULL);
    if (l->error < 0 && !manager_store(l->manager))
        return methods_reply_failure(call, -EIO, vault_detail(manager_vault(l->manager)), NULL);
    return varlink_call_reply(call, NULL);
}

/* Sends one key; the last one is the final reply, unless an error has to follow. */
static int list_key(VarlinkCall *call, Listing *l)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object(), *key = NULL;
    const Key *k = key_cursor_take(&l->cursor);
    bool last = !l->cursor.next && l->error == 0;
    int r;

    if (!o)
        return -ENOMEM;
    if ((r = methods_describe_key(l->manager, k, l->on_demand_sec, &key)) < 0 ||
        (r = json_add_take(o, "key", TAKE_PTR(key))) < 0)
        return r;
    r = last ? varlink_call_reply(call, TAKE_PTR(o)) : varlink_call_notify(call, TAKE_PTR(o));
    return r < 0 ? r : last;
}

static int list_some(VarlinkCall *call, void *state)
{
    Listing *l = state;
    int r = 0;

    for (int i = 0; i < LIST_STEP && l->cursor.next && r == 0; i++)
        r = list_key(call, l);
    if (r != 0)
        return r < 0 ? r : 0;
    return l->cursor.next ? 0 : end_list(call, l);
}

int method_list(VarlinkCall *call, json_object *p, void *userdata)
{
    Manager *m = userdata;
    const ManagerLook *look;
    Listing *l;

    (void)p;
    look = look_for(call, m);
    l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->manager = m;
    l->on_demand_sec = look->on_demand_sec;
    l->error = vault_error(manager_vault(m));
    manager_begin_list(m, &l->cursor);
    return varlink_call_stream(call, list_some, l, destroy_listing);
}

static int reply_described(VarlinkCall *call, Manager *m, const Key *k, unsigned on_demand_sec)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object(), *key = NULL;
    int r;

    if (!o)
        return -ENOMEM;
    if ((r = methods_describe_key(m, k, on_demand_sec, &key)) < 0 ||
        (r = json_add_take(o, "key", TAKE_PTR(key))) < 0)
        return r;
    return varlink_call_reply(call, TAKE_PTR(o));
}

int method_describe(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    Manager *m = userdata;
    const ManagerLook *look;
    const char *id;
    Key *k;

    if (methods_read_id(p, &id) < 0)
        return varlink_call_invalid_parameter(call, "id");
    /* A key that is not known may be in the store that is not open, so that is the error. */
    if (!key_table_find(manager_keys(m), id) && vault_error(manager_vault(m)) < 0)
        return methods_reply_failure(call, -EIO, vault_detail(manager_vault(m)), NULL);
    look = look_for(call, m);
    k = key_table_find(manager_keys(m), id);
    if (k)
        return reply_described(call, m, k, look->on_demand_sec);
    if (asprintf(&detail, "no key has the id \"%s\"", id) < 0)
        return -ENOMEM;
    return methods_reply_failure(call, -ENOENT, detail, NULL);
}
