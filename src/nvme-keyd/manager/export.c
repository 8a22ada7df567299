/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "credstore/limits.h"
#include "nvme-keyd/manager/manager-private.h"

/* Selects the keys that a boot image needs for an export of the store; they stay sealed as they
 * are. */

typedef struct Selection {
    Manager *m;
    json_object *wanted; /* the NQNs, or NULL for all keys */
} Selection;

/* A handed-in key has no record to export. */
static bool is_wanted(const Selection *c, const Key *k)
{
    return k->state != KEY_BROKEN && !key_is_handed_in(k) &&
           (!c->wanted || json_object_object_get_ex(c->wanted, k->subsysnqn, NULL));
}

static bool choose(const StoreRecord *record, void *userdata)
{
    const Selection *c = userdata;
    const Key *k = key_table_find(&c->m->keys, record->id);

    return k && is_wanted(c, k);
}

/* Turns an array of NQNs into an object with an NQN as each name. */
static int read_wanted(json_object *subsysnqns, json_object **ret)
{
    _cleanup_(json_putp) json_object *wanted = json_object_new_object();

    if (!wanted)
        return -ENOMEM;
    for (size_t i = 0; i < json_object_array_length(subsysnqns); i++) {
        const char *nqn = json_object_get_string(json_object_array_get_idx(subsysnqns, i));
        int r = json_add_bool(wanted, nqn, false);

        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(wanted);
    return 0;
}

/* Returns an NQN without a key, or NULL. */
static const char *find_missing(json_object *wanted)
{
    json_object_object_foreach (wanted, nqn, found) {
        if (!json_object_get_boolean(found))
            return nqn;
    }
    return NULL;
}

/* Explains why no record is for an NQN. */
static const char *explain_missing(const Selection *c, const char *nqn, size_t broken)
{
    const Key *k;

    KEY_TABLE_FOREACH(&c->m->keys, k)
    {
        if (key_is_handed_in(k) && strcmp(k->subsysnqn, nqn) == 0)
            return " in the store, only a handed-in key: add it to the store, or hand its "
                   "credential "
                   "to the image";
    }
    return broken > 0 ? ", except possibly a broken one" : "";
}

static int count_keys(const Selection *c, ExportResult *result, char **reterr_detail)
{
    const char *missing;
    Key *k;

    KEY_TABLE_FOREACH(&c->m->keys, k)
    {
        result->broken += k->state == KEY_BROKEN;
        if (!is_wanted(c, k))
            continue;
        result->keys++;
        if (c->wanted && json_add_bool(c->wanted, k->subsysnqn, true) < 0)
            return -ENOMEM;
    }
    missing = c->wanted ? find_missing(c->wanted) : NULL;
    if (missing)
        return detail_set(reterr_detail, -ENOENT, "no key is for the subsystem NQN \"%s\"%s",
                          missing, explain_missing(c, missing, result->broken));
    return result->keys > 0 ? 0
                            : detail_set(reterr_detail, -ENOENT, "the store has no keys to export");
}

int manager_export(Manager *m, json_object *subsysnqns, StoreExport **ret, ExportResult *ret_result,
                   char **reterr_detail)
{
    _cleanup_(json_putp) json_object *wanted = NULL;
    ExportResult result = {0};
    Selection c = {.m = m};
    int r;

    if ((r = vault_require_open(m->vault, reterr_detail)) < 0)
        return r;
    if (!vault_store(m->vault))
        return detail_set(reterr_detail, -ENOMEDIUM, "there is no store yet");
    if (subsysnqns && (r = read_wanted(subsysnqns, &wanted)) < 0)
        return r;
    c.wanted = wanted;
    r = count_keys(&c, &result, reterr_detail);
    if (r < 0)
        return r;
    r = store_export_new(vault_store(m->vault), choose, &c, ret);
    if (r == -EROFS)
        return detail_set(reterr_detail, r, "the store of a boot image is an export already");
    if (r == -E2BIG)
        return detail_set(reterr_detail, r,
                          "an export has at most %zu MiB: name the subsystems it needs",
                          STORE_EXPORT_MAX / 1024 / 1024);
    if (r == 0)
        *ret_result = result;
    return r;
}
