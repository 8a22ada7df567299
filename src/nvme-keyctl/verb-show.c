/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "basic/json.h"
#include "nvme-keyctl/cli.h"
#include "nvme-keyctl/field.h"

/* A retiring key may have no step: then it stays until it gets one. */
static void print_step(json_object *key)
{
    char text[64];

    if (field_step(key, text, sizeof(text)))
        field_print("Next step", text);
}

static void print_schedule(json_object *key)
{
    uint64_t sec;

    if (json_get_uint(key, "rotateAfterSec", INT64_MAX, &sec) > 0)
        printf("%14s: at an age of %llu days%s\n", "Rotated", (unsigned long long)sec / 86400,
               json_object_object_get_ex(key, "rotationDue", NULL) ? ", which it has" : "");
}

static void print_identities(json_object *key)
{
    json_object *identities;
    uint64_t lifetime = 0;

    (void)json_get_uint(key, "lifetimeSec", INT64_MAX, &lifetime);
    if (json_get_array(key, "identities", &identities) <= 0)
        return;
    for (size_t i = 0; i < json_object_array_length(identities); i++) {
        json_object *identity = json_object_array_get_idx(identities, i);
        const char *text = json_string_or(identity, "identity", "-");
        uint64_t serial = 0;

        field_print("Identity", text);
        if (json_get_uint(identity, "serial", INT32_MAX, &serial) > 0)
            printf("%14s: %08x\n", "Key serial", (unsigned)serial);
        else
            field_print("Key serial", lifetime > 0 ? "none until the kernel asks for the key"
                                                   : "none, not in the keyring");
    }
}

int verb_show(const Options *o)
{
    _cleanup_(json_putp) json_object *p = json_object_new_object(), *reply = NULL;
    json_object *key;
    int r;

    if (!p || json_add_string(p, "id", o->arguments[0]) < 0)
        return cli_out_of_memory();
    r = cli_call(o, "Describe", TAKE_PTR(p), &reply);
    if (r != EXIT_OK)
        return r;
    if (json_get_object(reply, "key", &key) <= 0)
        return cli_fail(EXIT_OTHER, "the answer of nvme-keyd holds no key");
    if (o->json != JSON_OFF) {
        cli_print_json(o, reply);
        return EXIT_OK;
    }
    field_print_member(key, "ID", "id");
    field_print_member(key, "State", "state");
    field_print_member(key, "Error", "error");
    field_print_member(key, "Kind", "kind");
    field_print_member(key, "Role", "role");
    field_print_member(key, "Host NQN", "hostNQN");
    field_print_member(key, "Subsystem NQN", "subsystemNQN");
    field_print_member(key, "Hash", "hash");
    field_print_member(key, "Derivation", "derivation");
    field_print_member(key, "Fingerprint", "fingerprint");
    print_identities(key);
    field_print_time(key, "Created", "created");
    field_print_time(key, "Changed", "changed");
    field_print_member(key, "Succeeds", "succeeds");
    field_print_time(key, "Confirmed", "confirmed");
    print_step(key);
    field_print_time(key, json_object_object_get_ex(key, "expired", NULL) ? "Expired" : "Expires",
                     "expires");
    print_schedule(key);
    field_print_member(key, "Comment", "comment");
    field_print_member(key, "Credential", "credential");
    return EXIT_OK;
}
