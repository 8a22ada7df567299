/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "basic/json.h"
#include "nvme-keyd/key-json.h"
#include "nvme-keyd/methods-private.h"

/* List and Describe. */

int methods_describe_key(const Manager *m, const Key *k, json_object **ret)
{
    unsigned lifetime = k->state == KEY_BROKEN ? 0 : manager_lifetime(m, k);
    _cleanup_(json_putp) json_object *o = NULL;
    int r = key_to_json(k, &o);

    if (r == 0 && lifetime > 0)
        r = json_add_uint(o, "lifetimeSec", lifetime);
    if (r == 0)
        *ret = TAKE_PTR(o);
    return r;
}

/* For the methods that read: keys of a store that cannot be opened are not "none". */
static int open_or_reply(VarlinkCall *call, Manager *m, int *ret_answer)
{
    int r = manager_open(m);

    if (r < 0)
        *ret_answer = methods_reply_failure(call, r == -EINPROGRESS ? r : -EIO,
                                            manager_store_detail(m), NULL);
    return r;
}

/* What is known of a store that cannot be opened: the keys of credentials, and then why not. */
static int list_without_store(VarlinkCall *call, Manager *m, int error)
{
    const Key *k;

    KEY_TABLE_FOREACH(manager_keys(m), k)
    {
        _cleanup_(json_putp) json_object *o = json_object_new_object(), *key = NULL;
        int r;

        if (error == -EINPROGRESS)
            break;
        if (!o)
            return -ENOMEM;
        if ((r = methods_describe_key(m, k, &key)) < 0 ||
            (r = json_add_take(o, "key", TAKE_PTR(key))) < 0 ||
            (r = varlink_call_notify(call, TAKE_PTR(o))) < 0)
            return r;
    }
    return methods_reply_failure(call, error == -EINPROGRESS ? error : -EIO,
                                 manager_store_detail(m), NULL);
}

int method_list(VarlinkCall *call, json_object *p, void *userdata)
{
    Manager *m = userdata;
    size_t left;
    Key *k;
    int r;

    (void)p;
    r = manager_open(m);
    if (r != -EINPROGRESS)
        (void)manager_refresh(m);
    if (r < 0)
        return list_without_store(call, m, r);
    left = key_table_size(manager_keys(m));
    if (left == 0)
        return varlink_call_reply(call, NULL);

    KEY_TABLE_FOREACH(manager_keys(m), k)
    {
        _cleanup_(json_putp) json_object *o = json_object_new_object(), *key = NULL;

        if (!o)
            return -ENOMEM;
        if ((r = methods_describe_key(m, k, &key)) < 0 ||
            (r = json_add_take(o, "key", TAKE_PTR(key))) < 0)
            return r;
        r = --left > 0 ? varlink_call_notify(call, TAKE_PTR(o))
                       : varlink_call_reply(call, TAKE_PTR(o));
        if (r < 0)
            return r;
    }
    return 0;
}

static int reply_described(VarlinkCall *call, const Manager *m, const Key *k)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object(), *key = NULL;
    int r;

    if (!o)
        return -ENOMEM;
    if ((r = methods_describe_key(m, k, &key)) < 0 ||
        (r = json_add_take(o, "key", TAKE_PTR(key))) < 0)
        return r;
    return varlink_call_reply(call, TAKE_PTR(o));
}

int method_describe(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    Manager *m = userdata;
    const char *id;
    Key *k;
    int r;

    if (methods_read_id(p, &id) < 0)
        return varlink_call_invalid_parameter(call, "id");
    k = key_table_find(manager_keys(m), id);
    if (!k && open_or_reply(call, m, &r) < 0)
        return r;
    (void)manager_refresh(m);
    k = key_table_find(manager_keys(m), id);
    if (k)
        return reply_described(call, m, k);
    if (asprintf(&detail, "no key has the id \"%s\"", id) < 0)
        return -ENOMEM;
    return methods_reply_failure(call, -ENOENT, detail, NULL);
}
