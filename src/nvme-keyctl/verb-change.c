/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "basic/limits.h"
#include "basic/text.h"
#include "nvme-keyctl/cli.h"
#include "nvme-keyctl/output.h"
#include "psk/limits.h"
#include "varlink/json-wire.h"

/* add, generate, rotate and sync change keys or the ring. */

int cli_add_versions(json_object *p, const char *versions)
{
    json_object *array;
    int r;

    if (!versions)
        return EXIT_OK;
    array = json_object_new_array();
    r = json_add_take(p, "identityVersions", array);
    for (const char *s = versions; r == 0; s += 2) {
        if (s[0] != '0' && s[0] != '1')
            return cli_fail(EXIT_USAGE, "--identity-version= must be 0, 1 or 0,1");
        r = json_append_take(array, json_object_new_int(s[0] - '0'));
        if (s[1] != ',' && s[1] != '\0')
            return cli_fail(EXIT_USAGE, "--identity-version= must be 0, 1 or 0,1");
        if (s[1] == '\0')
            break;
    }
    return r < 0 ? cli_out_of_memory() : EXIT_OK;
}

static int add_optional(json_object *p, const char *member, const char *value)
{
    return value && json_add_string(p, member, value) < 0 ? cli_out_of_memory() : EXIT_OK;
}

/* Checked here, because the service would only name the parameter. */
static int add_comment(const Options *o, json_object *p)
{
    size_t length = o->comment ? strlen(o->comment) : 0;

    if (length > COMMENT_LENGTH_MAX)
        return cli_fail(EXIT_INVALID, "the comment has %zu bytes, but may have at most %d", length,
                        COMMENT_LENGTH_MAX);
    if (o->comment && !text_is_printable(o->comment))
        return cli_fail(EXIT_INVALID,
                        "the comment must be one line of UTF-8 without control characters");
    return add_optional(p, "comment", o->comment);
}

static int add_lifetime(const Options *o, json_object *p)
{
    if (o->rotate_after_usec > 0 &&
        json_add_uint(p, "rotateAfterSec", o->rotate_after_usec / USEC_PER_SEC) < 0)
        return cli_out_of_memory();
    return o->lifetime_usec > 0 &&
                   json_add_uint(p, "expiresInSec", o->lifetime_usec / USEC_PER_SEC) < 0
               ? cli_out_of_memory()
               : EXIT_OK;
}

/* Has the service check the call before the user types a PSK. ret may be NULL. */
static int check_first(const Options *o, const char *method, json_object *p, json_object **ret)
{
    _cleanup_(json_putp) json_object *reply = NULL;
    json_object *copy = NULL;
    int r;

    if (json_object_deep_copy(p, &copy, NULL) < 0)
        return cli_out_of_memory();
    if (json_add_bool(copy, "dryRun", true) < 0) {
        json_object_put(copy);
        return cli_out_of_memory();
    }
    r = cli_call(o, method, copy, &reply);
    if (r == EXIT_OK && ret)
        *ret = TAKE_PTR(reply);
    return r;
}

static int add_psk(const Options *o, json_object *p, const char *hostnqn, const char *subsysnqn)
{
    _cleanup_(secret_freep) Secret *psk = NULL;
    int r = cli_read_psk(o, hostnqn, subsysnqn, &psk);

    if (r != EXIT_OK)
        return r;
    return json_add_take(p, "psk",
                         json_object_new_string_len((const char *)psk->data, (int)psk->size)) < 0
               ? cli_out_of_memory()
               : EXIT_OK;
}

/* Reads the PSK that replaces the one of an active key. */
static int add_rotated(const Options *o, json_object *p)
{
    _cleanup_(json_putp) json_object *reply = NULL;
    json_object *key = NULL;
    int r = check_first(o, "Rotate", p, &reply);

    if (r != EXIT_OK)
        return r;
    (void)json_get_object(reply, "key", &key);
    return add_psk(o, p, json_string_or(key, "hostNQN", ""),
                   json_string_or(key, "subsystemNQN", ""));
}

/* The members that add and generate share. The host NQN is looked up here, where the user is. */
static int add_description(const Options *o, json_object *p)
{
    char hostnqn[NQN_LENGTH_MAX + 2];
    int r;

    if (!o->subsysnqn)
        return cli_fail(EXIT_USAGE, "--subsysnqn= is missing");
    if ((r = cli_check_nqn(o, o->subsysnqn, "subsystem NQN")) != EXIT_OK)
        return r;
    if (!o->hostnqn && o->role && strcmp(o->role, "target") == 0)
        return cli_fail(EXIT_USAGE,
                        "--hostnqn= is missing: a target needs the NQN of the host that connects");
    r = cli_hostnqn(o, hostnqn);
    if (r != EXIT_OK)
        return r;
    if ((r = add_optional(p, "subsystemNQN", o->subsysnqn)) != EXIT_OK ||
        (r = add_optional(p, "hostNQN", hostnqn)) != EXIT_OK ||
        (r = add_optional(p, "role", o->role)) != EXIT_OK ||
        (r = add_optional(p, "derivation", o->derivation)) != EXIT_OK ||
        (r = add_comment(o, p)) != EXIT_OK || (r = add_lifetime(o, p)) != EXIT_OK ||
        (r = cli_add_versions(p, o->versions)) != EXIT_OK)
        return r;
    return o->force && json_add_bool(p, "force", true) < 0 ? cli_out_of_memory() : EXIT_OK;
}

static void warn_unpublished(json_object *key, const char *id)
{
    json_object *identities;
    uint64_t lifetime;

    if (json_get_array(key, "identities", &identities) <= 0 ||
        json_get_uint(key, "lifetimeSec", INT64_MAX, &lifetime) > 0)
        return;
    for (size_t i = 0; i < json_object_array_length(identities); i++) {
        uint64_t serial = 0;

        if (json_get_uint(json_object_array_get_idx(identities, i), "serial", INT32_MAX, &serial) <=
            0) {
            (void)cli_fail(EXIT_OK,
                           "warning: key %s is stored, but not in the kernel's keyring: see "
                           "nvme-keyctl status",
                           id);
            return;
        }
    }
}

/* A target accepts both versions by default, which long NQNs prevent. */
static void print_version_limit(const Options *o, json_object *key)
{
    json_object *versions;

    if (!o->versions && o->role && strcmp(o->role, "host") != 0 &&
        json_get_array(key, "identityVersions", &versions) > 0 &&
        json_object_array_length(versions) == 1)
        (void)cli_fail(EXIT_OK,
                       "the NQNs are too long for identity version 0, so the target accepts "
                       "version 1 only");
}

/* The PSK was not shown, so no other machine can have it, and its key is removed again. */
static int undo_generate(const Options *o, const char *id, int error)
{
    _cleanup_(json_putp) json_object *p = json_object_new_object(), *reply = NULL;

    if (!p || add_optional(p, "id", id) != EXIT_OK ||
        cli_call(o, "Remove", TAKE_PTR(p), &reply) != EXIT_OK)
        return cli_fail(EXIT_OTHER,
                        "key %s was added, but its PSK is lost, because standard output %s: run "
                        "nvme-keyctl remove %s",
                        id, output_error_text(error), id);
    return cli_fail(EXIT_OTHER,
                    "cannot show the PSK, so key %s was removed again: standard output %s", id,
                    output_error_text(error));
}

static bool is_pending(json_object *key)
{
    return strcmp(json_string_or(key, "state", ""), "pending") == 0;
}

/* The old PSK is still there, and the other end has it. */
static int lost_rotation(const Options *o, json_object *key, const char *id, int error)
{
    return cli_fail(EXIT_OTHER,
                    "key %s %s %s, but its PSK is lost, because standard output %s: run "
                    "nvme-keyctl %s %s",
                    id, is_pending(key) ? "succeeds" : "replaced", o->arguments[0],
                    output_error_text(error), is_pending(key) ? "remove" : "rotate --revert", id);
}

/* Prints the id of the key in the reply, and its PSK if the reply has one. */
static int print_key(const Options *o, json_object *reply)
{
    const char *id, *psk = NULL;
    json_object *key;
    int r;

    if (json_get_object(reply, "key", &key) <= 0 || json_get_string(key, "id", &id) <= 0)
        return cli_fail(EXIT_OTHER, "the answer of nvme-keyd holds no key");
    if (o->json != JSON_OFF)
        cli_print_json(o, reply);
    else
        printf("%s\n", id);
    if (o->json == JSON_OFF && json_get_string(reply, "psk", &psk) > 0)
        (void)puts(psk);
    r = o->print_key ? output_flush() : 0;
    if (r < 0)
        return o->generate ? lost_rotation(o, key, id, r) : undo_generate(o, id, r);
    print_version_limit(o, key);
    /* A host does not publish a pending key. */
    if (!is_pending(key))
        warn_unpublished(key, id);
    cli_print_new_store(reply);
    cli_print_warnings(reply);
    return EXIT_OK;
}

int verb_add(const Options *o)
{
    _cleanup_(varlink_json_erase_putp) json_object *p = json_object_new_object();
    int r;

    if (!p)
        return cli_out_of_memory();
    if ((r = add_description(o, p)) != EXIT_OK || (r = check_first(o, "Add", p, NULL)) != EXIT_OK ||
        (r = add_psk(o, p, json_string_or(p, "hostNQN", ""), o->subsysnqn)) != EXIT_OK)
        return r;
    return cli_call_and_print(o, "Add", TAKE_PTR(p), print_key);
}

int verb_generate(const Options *o)
{
    _cleanup_(json_putp) json_object *p = json_object_new_object();
    int r;

    if (!p)
        return cli_out_of_memory();
    if ((o->print_key && (r = output_check_secret("PSK")) != EXIT_OK) ||
        (r = add_description(o, p)) != EXIT_OK || (r = add_optional(p, "hash", o->hash)) != EXIT_OK)
        return r;
    if (o->print_key && json_add_bool(p, "returnPSK", true) < 0)
        return cli_out_of_memory();
    return cli_call_and_print(o, "Generate", TAKE_PTR(p), print_key);
}

/* Options that leave nothing to choose exclude each other. */
static int check_rotate(const Options *o)
{
    bool makes = o->generate || o->same_psk;

    if (o->at && strcmp(o->at, "never") == 0)
        return cli_fail(EXIT_USAGE, "--at=never drops what is planned for a key: give it to "
                                    "activate, retire, revoke or remove");
    if (o->generate + o->same_psk + (o->key_file != NULL) > 1)
        return cli_fail(EXIT_USAGE, "--generate, --same-psk and --key-file= exclude each other");
    if (o->print_key && !o->generate)
        return cli_fail(EXIT_USAGE, "--print-key needs --generate");
    if (o->hash && !makes)
        return cli_fail(EXIT_USAGE, "--hmac= needs --generate or --same-psk");
    return EXIT_OK;
}

static int add_rotation(const Options *o, json_object *p)
{
    int r;

    if ((r = add_optional(p, "id", o->arguments[0])) != EXIT_OK ||
        (r = add_optional(p, "hash", o->hash)) != EXIT_OK ||
        (r = add_optional(p, "derivation", o->derivation)) != EXIT_OK ||
        (r = cli_add_versions(p, o->versions)) != EXIT_OK || (r = add_comment(o, p)) != EXIT_OK ||
        (r = add_lifetime(o, p)) != EXIT_OK || (r = cli_add_time(o, p)) != EXIT_OK)
        return r;
    if ((o->force && json_add_bool(p, "force", true) < 0) ||
        (o->same_psk && json_add_bool(p, "samePSK", true) < 0) ||
        (o->print_key && json_add_bool(p, "returnPSK", true) < 0))
        return cli_out_of_memory();
    return EXIT_OK;
}

/* Goes back to the key before a rotation, and prints its id. */
static int revert(const Options *o)
{
    _cleanup_(json_putp) json_object *reply = NULL;
    int r;

    if (o->generate || o->same_psk || o->key_file || o->print_key || o->hash || o->versions ||
        o->derivation || o->comment || o->at || o->in || o->wait || o->no_block || o->address)
        return cli_fail(EXIT_USAGE, "--revert takes no other option of rotate but --force");
    r = cli_switch(o, "Revert", o->arguments[0], &reply);
    return r == EXIT_OK ? print_key(o, reply) : r;
}

/* Switches to the new key, which a host keeps pending until then. A key that was just generated can
 * hardly be known to a target, so that is no failure. */
static int switch_to(const Options *o, json_object *reply)
{
    json_object *key;
    const char *id;
    int r;

    if (json_get_object(reply, "key", &key) <= 0 || json_get_string(key, "id", &id) <= 0 ||
        !is_pending(key) || o->at || o->in)
        return EXIT_OK;
    r = cli_switch(o, "Activate", id, NULL);
    return r == EXIT_NOT_ACCEPTED && o->generate && !o->wait ? EXIT_OK : r;
}

int verb_rotate(const Options *o)
{
    _cleanup_(varlink_json_erase_putp) json_object *p = json_object_new_object(), *reply = NULL;
    int r;

    if (o->revert)
        return revert(o);
    if (!p)
        return cli_out_of_memory();
    if ((r = check_rotate(o)) != EXIT_OK ||
        (o->print_key && (r = output_check_secret("PSK")) != EXIT_OK) ||
        (r = add_rotation(o, p)) != EXIT_OK ||
        (!o->generate && !o->same_psk && (r = add_rotated(o, p)) != EXIT_OK))
        return r;
    r = cli_call(o, "Rotate", TAKE_PTR(p), &reply);
    if (r == EXIT_OK)
        r = print_key(o, reply);
    /* The id and the PSK are printed first, because asking the targets takes a while. */
    if (r == EXIT_OK)
        r = output_flush() < 0 ? EXIT_OTHER : switch_to(o, reply);
    return r;
}

int verb_sync(const Options *o)
{
    _cleanup_(json_putp) json_object *reply = NULL;
    uint64_t added = 0, kept = 0, removed = 0, held = 0, broken = 0;
    int r = cli_call(o, "Sync", NULL, &reply);

    if (r != EXIT_OK)
        return r;
    if (o->json != JSON_OFF) {
        cli_print_json(o, reply);
    } else if (json_get_uint(reply, "added", INT64_MAX, &added) > 0 &&
               json_get_uint(reply, "kept", INT64_MAX, &kept) > 0 &&
               json_get_uint(reply, "removed", INT64_MAX, &removed) > 0 && o->legend) {
        printf("%llu right, %llu added, %llu removed\n", (unsigned long long)kept,
               (unsigned long long)added, (unsigned long long)removed);
        if (json_get_uint(reply, "held", INT64_MAX, &held) > 0 && held > 0)
            printf("%llu unwanted, but kept for a live controller (see nvme-keyctl status)\n",
                   (unsigned long long)held);
    }
    if (json_get_uint(reply, "broken", INT64_MAX, &broken) > 0 && broken > 0)
        return cli_fail(EXIT_STORE,
                        "%llu records of the store are broken: restore the store from a backup, or "
                        "remove these keys (see nvme-keyctl list) and add them again",
                        (unsigned long long)broken);
    return EXIT_OK;
}
