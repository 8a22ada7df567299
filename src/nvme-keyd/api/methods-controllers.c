/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "basic/names.h"
#include "basic/text.h"
#include "nvme-keyd/api/methods-private.h"
#include "nvme-keyd/controllers/handle.h"
#include "nvme-keyd/manager/controllers.h"

/* ListControllers and ListHosts. */

/* Connections of one step: each costs some ten reads of sysfs, a fraction of a millisecond. */
#define LIST_STEP 8

typedef struct Listing {
    Manager *manager;
    ControllerList controllers; /* of ListControllers, */
    TargetHostList hosts;       /* or of ListHosts */
    size_t next, n;
    /* Makes the member of the reply for one connection; returns 0 if it is gone. */
    int (*describe)(const struct Listing *l, size_t i, json_object **ret);
    const char *member;
} Listing;

static void destroy_listing(void *state)
{
    Listing *l = state;

    controller_list_done(&l->controllers);
    target_host_list_done(&l->hosts);
    free(l);
}

static int add_text(json_object *o, const char *member, const char *text)
{
    return text[0] && text_is_printable(text) ? json_add_string(o, member, text) : 0;
}

static int add_key(json_object *o, int32_t serial, const KeyInUse *u)
{
    if (json_add_string(o, "key", key_use_to_string(u->use)) < 0 ||
        (serial && json_add_uint(o, "serial", (uint64_t)serial) < 0) ||
        (u->identity && add_text(o, "identity", u->identity) < 0) ||
        (u->key && json_add_string(o, "keyID", u->key->id) < 0) ||
        (u->key && u->key->changed_usec && json_add_uint(o, "keySince", u->key->changed_usec) < 0))
        return -ENOMEM;
    return 0;
}

static int add_names(json_object *o, const char *hostnqn, const char *subsysnqn, int32_t cntlid)
{
    if (json_add_string(o, "hostNQN", text_is_printable(hostnqn) ? hostnqn : "") < 0 ||
        json_add_string(o, "subsystemNQN", text_is_printable(subsysnqn) ? subsysnqn : "") < 0 ||
        (cntlid >= 0 && json_add_uint(o, "controllerID", (uint64_t)cntlid) < 0))
        return -ENOMEM;
    return 0;
}

/* The controller may be gone, or another one may have its name, since the list was read. */
static int read_details(const Listing *l, const Controller *c, ControllerDetails *ret)
{
    const char *directory = publisher_controllers(manager_publisher(l->manager));
    _cleanup_(closep) int fd = -EBADF;

    return directory && controller_open(directory, c->name, 0, &fd) == 0 &&
           controller_read_details(fd, ret) == 0;
}

static int add_details(json_object *o, const ControllerDetails *d)
{
    if (json_add_uint(o, "inode", d->inode) < 0 || json_add_string(o, "state", d->state) < 0 ||
        add_text(o, "transport", d->transport) < 0)
        return -ENOMEM;
    return 0;
}

static int describe_controller(const Listing *l, size_t i, json_object **ret)
{
    const Controller *c = &l->controllers.items[i];
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    _cleanup_(key_in_use_done) KeyInUse u = {.use = KEY_USE_NONE};
    ControllerDetails d;

    if (!read_details(l, c, &d))
        return 0;
    if (!o || manager_judge_controller(l->manager, c, &u) < 0 ||
        json_add_string(o, "name", c->name) < 0 || add_details(o, &d) < 0 ||
        add_text(o, "address", c->address) < 0 ||
        add_names(o, c->hostnqn, c->subsysnqn, d.cntlid) < 0 || add_key(o, c->tls_key, &u) < 0 ||
        (u.next && json_add_uint(o, "nextSerial", (uint64_t)u.next) < 0) ||
        (u.on_request && json_add_bool(o, "onRequest", true) < 0) ||
        (u.active && json_add_string(o, "activeKeyID", u.active->id) < 0) ||
        json_add_bool(o, "old", key_use_is_old(u.use) && u.active) < 0 ||
        json_add_bool(o, "stalled", stalls_has(manager_stalls(l->manager), c->name)) < 0)
        return -ENOMEM;
    *ret = TAKE_PTR(o);
    return 1;
}

static int describe_host(const Listing *l, size_t i, json_object **ret)
{
    const TargetHost *h = &l->hosts.items[i];
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    _cleanup_(key_in_use_done) KeyInUse u = {.use = KEY_USE_NONE};

    if (!o || manager_judge_host(l->manager, h, &u) < 0 ||
        add_names(o, h->hostnqn, h->subsysnqn, h->cntlid) < 0 || add_key(o, h->tls_key, &u) < 0 ||
        add_text(o, "address", h->address) < 0)
        return -ENOMEM;
    *ret = TAKE_PTR(o);
    return 1;
}

static int list_one(VarlinkCall *call, Listing *l)
{
    _cleanup_(json_putp) json_object *o = NULL, *described = NULL;
    int r = l->describe(l, l->next++, &described);

    if (r <= 0)
        return r;
    o = json_object_new_object();
    if (!o || json_add_take(o, l->member, TAKE_PTR(described)) < 0)
        return -ENOMEM;
    return varlink_call_notify(call, TAKE_PTR(o));
}

static int list_some(VarlinkCall *call, void *state)
{
    Listing *l = state;
    int r = 0;

    for (int i = 0; i < LIST_STEP && l->next < l->n && r == 0; i++)
        r = list_one(call, l);
    return r < 0 || l->next < l->n ? r : varlink_call_reply(call, NULL);
}

static Listing *new_listing(VarlinkCall *call, Manager *m, const char *member)
{
    Listing *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    l->manager = m;
    l->member = member;
    /* For the serials of our keys. */
    (void)manager_look(m, varlink_call_peer(call)->uid == 0);
    return l;
}

/* nvme2 before nvme10. */
static int compare_controllers(const void *a, const void *b)
{
    return strverscmp(((const Controller *)a)->name, ((const Controller *)b)->name);
}

static int compare_hosts(const void *a, const void *b)
{
    const TargetHost *x = a, *y = b;
    int r = strcmp(x->subsysnqn, y->subsysnqn);

    return r != 0 ? r : (x->cntlid > y->cntlid) - (x->cntlid < y->cntlid);
}

int method_list_controllers(VarlinkCall *call, _unused_ json_object *p, void *userdata)
{
    Listing *l = new_listing(call, userdata, "controller");
    int r = l ? manager_read_controllers(userdata, &l->controllers) : -ENOMEM;

    if (r < 0) {
        free(l);
        return r;
    }
    l->n = l->controllers.n;
    if (l->n > 0)
        qsort(l->controllers.items, l->n, sizeof(*l->controllers.items), compare_controllers);
    l->describe = describe_controller;
    return varlink_call_stream(call, list_some, l, destroy_listing);
}

static int reply_unknown(VarlinkCall *call, int error)
{
    const char *why = error == -EOPNOTSUPP
                          ? "this kernel shows which hosts are connected, but not their keys"
                          : "the kernel does not show which hosts are connected: it needs nvmet, "
                            "CONFIG_NVME_TARGET_DEBUGFS and a mounted debugfs";

    return methods_reply_error(call, NAMES_MANAGER_INTERFACE ".HostsUnknown", why, NULL);
}

int method_list_hosts(VarlinkCall *call, _unused_ json_object *p, void *userdata)
{
    Listing *l = new_listing(call, userdata, "host");
    int r = l ? manager_read_hosts(userdata, &l->hosts) : -ENOMEM;

    if (r < 0) {
        free(l);
        return r == -ENOMEM ? r : reply_unknown(call, r);
    }
    l->n = l->hosts.n;
    if (l->n > 0)
        qsort(l->hosts.items, l->n, sizeof(*l->hosts.items), compare_hosts);
    l->describe = describe_host;
    return varlink_call_stream(call, list_some, l, destroy_listing);
}
