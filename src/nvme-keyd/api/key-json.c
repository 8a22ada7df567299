/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "basic/limits.h"
#include "nvme-keyd/api/key-json.h"

/* Enough for people to compare keys and machines; the identity has the whole digest. */
#define FINGERPRINT_LENGTH 12

static int add_identities(json_object *o, const Key *k)
{
    json_object *array = json_object_new_array();
    int r = json_add_take(o, "identities", array);

    for (unsigned v = 0; v < KEY_VERSIONS && r == 0; v++) {
        json_object *identity;

        if (!k->identities[v])
            continue;
        identity = json_object_new_object();
        r = json_append_take(array, identity);
        if (r == 0)
            r = json_add_uint(identity, "version", v) |
                json_add_string(identity, "identity", k->identities[v]);
        if (r == 0 && k->serials[v])
            r = json_add_uint(identity, "serial", (uint64_t)k->serials[v]);
    }
    return r;
}

static int add_fingerprint(json_object *o, const Key *k)
{
    char fingerprint[FINGERPRINT_LENGTH + 1];

    if (!k->digest[0])
        return 0;
    (void)snprintf(fingerprint, sizeof(fingerprint), "%.*s", FINGERPRINT_LENGTH, k->digest);
    return json_add_string(o, "fingerprint", fingerprint);
}

int key_versions_from_json(json_object *object, unsigned *ret)
{
    json_object *array;
    unsigned bits = 0;
    int r = json_get_array(object, "identityVersions", &array);

    if (r <= 0)
        return r;
    for (size_t i = 0; i < json_object_array_length(array); i++) {
        json_object *v = json_object_array_get_idx(array, i);

        if (!json_object_is_type(v, json_type_int) || json_object_get_int64(v) < 0 ||
            json_object_get_int64(v) >= KEY_VERSIONS)
            return -EINVAL;
        bits |= KEY_VERSION_BIT((unsigned)json_object_get_int64(v));
    }
    if (bits == 0)
        return -EINVAL;
    *ret = bits;
    return 1;
}

static int add_versions(json_object *o, unsigned versions)
{
    json_object *array = json_object_new_array();
    int r = json_add_take(o, "identityVersions", array);

    for (unsigned v = 0; v < KEY_VERSIONS && r == 0; v++)
        if (versions & KEY_VERSION_BIT(v))
            r = json_append_take(array, json_object_new_int((int)v));
    return r;
}

static int add_names(json_object *o, const Key *k)
{
    int r = json_add_string(o, "kind", key_kind_to_string(k->kind)) |
            json_add_string(o, "role", key_role_to_string(k->role)) |
            json_add_string(o, "hostNQN", k->hostnqn) |
            json_add_string(o, "subsystemNQN", k->subsysnqn) |
            json_add_string(o, "hash", psk_hash_to_string(k->hash)) | add_versions(o, k->versions) |
            add_fingerprint(o, k);

    /* A derived key came without its configured PSK, so its derivation is not known. */
    if (k->kind == KEY_CONFIGURED)
        r |= json_add_string(o, "derivation", psk_derivation_to_string(k->derivation));
    return r;
}

static int add_time(json_object *o, const char *member, uint64_t usec)
{
    return usec > 0 ? json_add_uint(o, member, usec) : 0;
}

static int add_life(json_object *o, const Key *k)
{
    int r = add_time(o, "deadline", k->deadline_usec) | add_time(o, "confirmed", k->confirmed_usec);

    if (k->step != KEY_STEP_NONE)
        r |= json_add_string(o, "step", key_step_to_string(k->step));
    if (k->succeeds[0])
        r |= json_add_string(o, "succeeds", k->succeeds);
    if (k->follow)
        r |= json_add_bool(o, "follow", true);
    if (k->rotate_usec > 0)
        r |= json_add_uint(o, "rotateAfterSec", k->rotate_usec / USEC_PER_SEC);
    return r;
}

int key_to_json(const Key *k, json_object **ret)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    int r;

    if (!o)
        return -ENOMEM;
    r = json_add_string(o, "id", k->id) | json_add_uint(o, "generation", k->generation) |
        json_add_string(o, "state", key_state_to_string(k->state));
    if (k->state == KEY_BROKEN) {
        r |= json_add_string(o, "error", key_error_text(k));
    } else {
        r |= add_names(o, k) | add_identities(o, k);
        if (k->created_usec > 0)
            r |= json_add_uint(o, "created", k->created_usec) |
                 json_add_uint(o, "changed", k->changed_usec);
        r |= add_life(o, k);
        if (k->comment)
            r |= json_add_string(o, "comment", k->comment);
        if (k->handed_by)
            r |= json_add_string(o, "credential", k->handed_by);
    }
    if (r < 0)
        return -ENOMEM;

    *ret = TAKE_PTR(o);
    return 0;
}
