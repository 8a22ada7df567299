/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "nvme-keyctl/cli.h"
#include "psk/derive.h"
#include "psk/limits.h"

/* identity: prints the identities of a PSK, without a daemon and without storing it. */

/* Versions, derivations, and with --match= hashes. */
#define N_IDENTITIES (2 * PSK_DERIVATIONS * 2)
#define N_COLUMNS 4
/* Fewer characters of a digest may be there by accident. */
#define MATCH_MIN 8

typedef struct Identities {
    const char *versions[N_IDENTITIES];
    const char *derivations[N_IDENTITIES];
    const char *hashes[N_IDENTITIES];
    TlsPsk keys[N_IDENTITIES];
    size_t n;
} Identities;

static void identities_done(const Identities *l)
{
    for (size_t i = 0; i < l->n; i++)
        tls_psk_done(&l->keys[i]);
}

/* True for the identity that --match= means: its text, its digest, or the beginning of the digest.
 */
static bool matches(const char *wanted, const char *identity)
{
    const char *digest = strrchr(identity, ' ') + 1;

    return strcmp(identity, wanted) == 0 ||
           (strncmp(identity, "NVMe1", 5) == 0 && strncmp(digest, wanted, strlen(wanted)) == 0);
}

static int derive_one(const Options *o, const PskSource *source, unsigned version, Identities *l)
{
    TlsPsk *key = &l->keys[l->n];
    int r = psk_derive(source, version, key);

    if (r == PSK_E_IDENTITY_LENGTH && source->derivation == PSK_RFC8446 && !o->match)
        (void)cli_fail(EXIT_OK, "warning: %s", psk_error_text(r));
    if (r == PSK_E_IDENTITY_LENGTH)
        return EXIT_OK;
    if (r != 0)
        return cli_fail(EXIT_OTHER, "cannot derive the TLS PSK: %s", psk_error_text(r));
    if (o->match && !matches(o->match, key->identity)) {
        tls_psk_done(key);
        return EXIT_OK;
    }
    l->versions[l->n] = version == 0 ? "0" : "1";
    l->derivations[l->n] = psk_derivation_to_string(source->derivation);
    l->hashes[l->n++] = psk_hash_to_string(source->hash);
    return EXIT_OK;
}

static int derive_all(const Options *o, PskSource *source, Identities *l)
{
    int r = EXIT_OK;

    for (unsigned version = 0; version < 2; version++)
        for (PskDerivation d = PSK_RFC8446; d < PSK_DERIVATIONS && r == EXIT_OK; d++) {
            source->derivation = d;
            r = derive_one(o, source, version, l);
        }
    return r;
}

/* A peer may have been given the same PSK with another hash, so --match= tries both of its size. */
static int derive_matching(const Options *o, PskSource *source, Identities *l)
{
    const PskHash given = source->hash;
    int r = derive_all(o, source, l);

    if (r != EXIT_OK || !o->match)
        return r;
    source->hash = given != PSK_HASH_NONE           ? PSK_HASH_NONE
                   : source->configured->size == 32 ? PSK_HASH_SHA256
                                                    : PSK_HASH_SHA384;
    r = derive_all(o, source, l);
    if (r == EXIT_OK && l->n == 0)
        return cli_fail(EXIT_NO_KEY,
                        "no derivation, version or hash of this PSK gives that identity for these "
                        "NQNs: the peer has another PSK, or other NQNs");
    return r;
}

static int print_json(const Options *o, const Identities *l)
{
    _cleanup_(json_putp) json_object *reply = json_object_new_object();
    json_object *array = json_object_new_array();
    int r = json_add_take(reply, "identities", array);

    for (size_t i = 0; i < l->n && r == 0; i++) {
        json_object *entry = json_object_new_object();

        r = json_append_take(array, entry);
        if (r == 0)
            r = json_add_uint(entry, "version", (uint64_t)(l->versions[i][0] - '0')) |
                json_add_string(entry, "derivation", l->derivations[i]) |
                json_add_string(entry, "hash", l->hashes[i]) |
                json_add_string(entry, "identity", l->keys[i].identity);
    }
    if (r < 0)
        return cli_out_of_memory();
    cli_print_json(o, reply);
    return EXIT_OK;
}

static int print_table(const Options *o, const Identities *l)
{
    const char *cells[(N_IDENTITIES + 1) * N_COLUMNS] = {"VERSION", "DERIVATION", "HASH",
                                                         "IDENTITY"};

    for (size_t i = 0; i < l->n; i++) {
        cells[(i + 1) * N_COLUMNS] = l->versions[i];
        cells[(i + 1) * N_COLUMNS + 1] = l->derivations[i];
        cells[(i + 1) * N_COLUMNS + 2] = l->hashes[i];
        cells[(i + 1) * N_COLUMNS + 3] = l->keys[i].identity;
    }
    return cli_print_table(o, cells, N_COLUMNS, l->n + 1);
}

int verb_identity(const Options *o)
{
    _cleanup_(secret_freep) Secret *text = NULL, *configured = NULL;
    _cleanup_(identities_done) Identities list = {.n = 0};
    char hostnqn[NQN_LENGTH_MAX + 2];
    PskSource source = {.subsysnqn = o->subsysnqn, .hostnqn = hostnqn};
    Options any = *o;
    int r;

    /* Nothing is stored, so a name may be any that a machine has. */
    any.force = true;

    if (!o->subsysnqn)
        return cli_fail(EXIT_USAGE, "--subsysnqn= is missing");
    if (o->match && strlen(o->match) < MATCH_MIN)
        return cli_fail(EXIT_USAGE,
                        "--match= needs an identity, or at least %d characters of a digest",
                        MATCH_MIN);
    if ((r = cli_check_nqn(&any, o->subsysnqn, "subsystem NQN")) != EXIT_OK ||
        (r = cli_hostnqn(&any, hostnqn)) != EXIT_OK ||
        (r = cli_read_psk(o, hostnqn, o->subsysnqn, &text)) != EXIT_OK)
        return r;
    r = psk_interchange_parse((const char *)text->data, text->size, &source.hash, &configured);
    if (r != 0)
        return cli_fail(EXIT_INVALID, "not a PSK: %s", psk_error_text(r));
    source.configured = configured;

    r = derive_matching(o, &source, &list);
    if (r != EXIT_OK)
        return r;
    if (o->json != JSON_OFF)
        return print_json(o, &list);
    return print_table(o, &list);
}
