/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "basic/encoding.h"
#include "basic/io.h"
#include "basic/json.h"
#include "envelope/cms.h"
#include "envelope/content.h"
#include "envelope/limits.h"
#include "nvme-keyctl/field.h"
#include "nvme-keyctl/pem-file.h"
#include "psk/nqn.h"

/* envelope issuer, seal and show: PSKs for other machines, made on the machine of an administrator,
 * where no service runs. */

/* The machines of a pair. */
typedef struct Recipients {
    X509 *machines[ENVELOPE_RECIPIENTS_MAX];
    size_t n;
} Recipients;

static void recipients_done(const Recipients *r)
{
    for (size_t i = 0; i < r->n; i++)
        X509_free(r->machines[i]);
}

int verb_envelope_issuer(const Options *o)
{
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
    _cleanup_(X509_freep) X509 *certificate = NULL;
    _cleanup_(freep) char *pem = NULL;
    int r;

    if (machine_key_new(&key) < 0 || machine_certificate(key, NULL, true, &certificate) < 0 ||
        machine_certificate_to_pem(certificate, &pem) < 0)
        return cli_fail(EXIT_OTHER, "cannot make a key");
    r = pem_file_write_key(o->arguments[0], key);
    if (r == EXIT_OK)
        (void)fputs(pem, stdout);
    return r;
}

/* True for a certificate that names the host: its SAN has the host NQN as a URI. */
static bool is_host(X509 *certificate, const char *hostnqn)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool found = false;

    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        const ASN1_STRING *uri = n->type == GEN_URI ? n->d.uniformResourceIdentifier : NULL;

        found = uri && (size_t)ASN1_STRING_length(uri) == strlen(hostnqn) &&
                memcmp(ASN1_STRING_get0_data(uri), hostnqn, strlen(hostnqn)) == 0;
    }
    GENERAL_NAMES_free(names);
    return found;
}

/* One of the machines is the host, and the other one, if there is one, the target. */
static int take_role(X509 *machine, const Options *o, const char *path, EnvelopeEntry *e)
{
    char *role = is_host(machine, o->hostnqn) ? e->host : e->target;

    if (role[0])
        return cli_fail(EXIT_INVALID,
                        "%s is a second %s of the pair: a host is the machine whose "
                        "certificate has the host NQN as a URI in its SAN",
                        path, role == e->host ? "host" : "target");
    return machine_fingerprint(X509_get0_pubkey(machine), role) < 0
               ? cli_fail(EXIT_OTHER, "cannot compute a fingerprint")
               : EXIT_OK;
}

static int read_recipients(const Options *o, EnvelopeEntry *e, Recipients *ret)
{
    int r = EXIT_OK;

    for (size_t i = 0; i < o->n_to && r == EXIT_OK; i++) {
        r = pem_file_read_certificate(o->to[i], &ret->machines[ret->n]);
        if (r == EXIT_OK)
            r = take_role(ret->machines[ret->n++], o, o->to[i], e);
    }
    return r;
}

static int check_names(const Options *o, EnvelopeEntry *e)
{
    _cleanup_(freep) char *detail = NULL;

    if (!o->hostnqn || !o->subsysnqn || o->n_to == 0 || !o->issuer || !o->issuer_key)
        return cli_fail(EXIT_USAGE,
                        "envelope seal needs --hostnqn=, --subsysnqn=, --to=, --issuer= "
                        "and --issuer-key=");
    if (o->n_to > 2)
        return cli_fail(EXIT_USAGE, "a pair has one host and one target, so --to= is given twice "
                                    "at most");
    if (nqn_check_text(o->hostnqn, "host NQN", &detail) < 0 ||
        nqn_check_text(o->subsysnqn, "subsystem NQN", &detail) < 0)
        return cli_fail(EXIT_INVALID, "%s", detail ? detail : "out of memory");
    strcpy(e->hostnqn, o->hostnqn);
    strcpy(e->subsysnqn, o->subsysnqn);
    return EXIT_OK;
}

static int make_psk(const Options *o, EnvelopeEntry *e)
{
    _cleanup_(secret_freep) Secret *text = NULL;
    int r;

    if (o->generate) {
        e->hash = PSK_HASH_SHA256;
        if (o->hash && psk_hash_from_string(o->hash, &e->hash) < 0)
            return cli_fail(EXIT_USAGE, "--hmac= must be sha256, sha384 or none");
        return psk_generate(e->hash, &e->configured) == 0
                   ? EXIT_OK
                   : cli_fail(EXIT_OTHER, "cannot make a random PSK");
    }
    r = cli_read_psk(o, e->hostnqn, e->subsysnqn, &text);
    if (r != EXIT_OK)
        return r;
    r = psk_interchange_parse((const char *)text->data, text->size, &e->hash, &e->configured);
    return r == 0 ? EXIT_OK : cli_fail(EXIT_INVALID, "not a PSK: %s", psk_error_text(r));
}

/* The time orders the generations of a pair without a memory of them. */
static int fill_entry(const Options *o, EnvelopeEntry *e, uint64_t now)
{
    int r = cli_parse_versions(o->versions ? o->versions : "1", &e->versions);

    e->generation = o->generation > 0 ? o->generation : now;
    e->expires_usec = o->lifetime_usec > 0 ? now + o->lifetime_usec : 0;
    if (r == EXIT_OK && o->derivation)
        (void)!psk_derivation_from_string(o->derivation, &e->derivation);
    return r == EXIT_OK && !o->tombstone ? make_psk(o, e) : r;
}

static int make_content(EnvelopeEntry *e, uint64_t now, Secret **ret)
{
    EnvelopeContent c = {.issued_usec = now, .entries = e, .n = 1};
    _cleanup_(secret_freep) Secret *random = NULL;
    int r = secret_random((ENVELOPE_ID_SIZE - 1) / 2, &random);

    if (r == 0) {
        hex_encode(random->data, random->size, c.id);
        r = envelope_content_format(&c, ret);
    }
    return r < 0 ? cli_fail(EXIT_OTHER, "cannot make the envelope: %s", strerror(-r)) : EXIT_OK;
}

static int seal(const Options *o, const Secret *content, const Recipients *to)
{
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
    _cleanup_(X509_freep) X509 *issuer = NULL;
    _cleanup_(freep) char *pem = NULL;
    int r = pem_file_read_certificate(o->issuer, &issuer);

    if (r == EXIT_OK)
        r = pem_file_read_key(o->issuer_key, &key);
    if (r != EXIT_OK)
        return r;
    if (EVP_PKEY_eq(key, X509_get0_pubkey(issuer)) != 1)
        return cli_fail(EXIT_INVALID, "the key of --issuer-key= is not that of --issuer=");
    r = envelope_seal(content, issuer, key, to->machines, to->n, &pem);
    if (r < 0)
        return cli_fail(EXIT_OTHER, "cannot seal the envelope: %s", strerror(-r));
    (void)fputs(pem, stdout);
    return EXIT_OK;
}

int verb_envelope_seal(const Options *o)
{
    EnvelopeEntry e = {.generation = 0};
    _cleanup_(recipients_done) Recipients to = {.n = 0};
    _cleanup_(secret_freep) Secret *content = NULL;
    uint64_t now = now_realtime();
    int r = check_names(o, &e);

    if (r == EXIT_OK)
        r = read_recipients(o, &e, &to);
    if (r == EXIT_OK)
        r = fill_entry(o, &e, now);
    if (r == EXIT_OK)
        r = make_content(&e, now, &content);
    secret_free(e.configured);
    return r == EXIT_OK ? seal(o, content, &to) : r;
}

/* Reads a file, or standard input. */
static int read_all(const char *path, uint8_t *ret, size_t size, size_t *ret_size)
{
    FILE *file = path && strcmp(path, "-") != 0 ? fopen(path, "re") : stdin;
    bool failed;

    if (!file)
        return cli_fail(EXIT_INVALID, "cannot read %s: %s", path, strerror(errno));
    *ret_size = fread(ret, 1, size, file);
    failed = ferror(file);
    if (file != stdin)
        (void)fclose(file);
    return failed ? cli_fail(EXIT_OTHER, "cannot read the envelope") : EXIT_OK;
}

static int print_recipients(const Options *o, char (*ids)[MACHINE_KEY_ID_SIZE], size_t n)
{
    _cleanup_(json_putp) json_object *reply = json_object_new_object();
    json_object *array = json_object_new_array();
    int r = json_add_take(reply, "recipients", array);

    for (size_t i = 0; i < n && r == 0; i++)
        r = json_append_take(array, json_object_new_string(ids[i]));
    if (r < 0)
        return cli_out_of_memory();
    if (o->json != JSON_OFF)
        cli_print_json(o, reply);
    for (size_t i = 0; i < n && o->json == JSON_OFF; i++)
        printf("%s\n", ids[i][0] ? ids[i] : "(a certificate without a key identifier)");
    if (o->json == JSON_OFF && o->legend)
        printf("\nSealed to %zu machine%s. The content shows only there.\n", n, n == 1 ? "" : "s");
    return EXIT_OK;
}

static int open_envelope(const Options *o, const uint8_t *data, size_t size, EnvelopeContent *ret)
{
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *machine = NULL;
    _cleanup_(X509_freep) X509 *issuer = NULL;
    _cleanup_(secret_freep) Secret *content = NULL;
    _cleanup_(freep) char *detail = NULL;
    char fingerprint[MACHINE_FINGERPRINT_SIZE];
    int r = pem_file_read_key(o->machine_key, &machine);

    if (r == EXIT_OK)
        r = pem_file_read_certificate(o->issuer, &issuer);
    if (r != EXIT_OK)
        return r;
    r = envelope_open(data, size, machine, &issuer, 1, &content, fingerprint);
    if (r != 0)
        return cli_fail(EXIT_INVALID, "%s", r > 0 ? envelope_refusal_text(r) : strerror(-r));
    r = envelope_content_parse((const char *)content->data, content->size, ret, &detail);
    return r < 0 ? cli_fail(EXIT_INVALID, "%s", detail ? detail : strerror(-r)) : EXIT_OK;
}

/* Everything but the PSK. */
static int add_pair(json_object *array, const EnvelopeEntry *e)
{
    json_object *pair = json_object_new_object();

    return json_append_take(array, pair) | json_add_string(pair, "hostNQN", e->hostnqn) |
           json_add_string(pair, "subsystemNQN", e->subsysnqn) |
           json_add_string(pair, "host", e->host) | json_add_string(pair, "target", e->target) |
           json_add_uint(pair, "generation", e->generation) |
           json_add_bool(pair, "tombstone", !e->configured);
}

static int print_pairs(const Options *o, const EnvelopeContent *c)
{
    _cleanup_(json_putp) json_object *reply = json_object_new_object();
    json_object *array = json_object_new_array();
    int r = json_add_take(reply, "pairs", array) | json_add_string(reply, "id", c->id);

    for (size_t i = 0; i < c->n && r == 0; i++)
        r = add_pair(array, &c->entries[i]);
    if (r < 0)
        return cli_out_of_memory();
    if (o->json != JSON_OFF) {
        cli_print_json(o, reply);
        return EXIT_OK;
    }
    field_print("Envelope", c->id);
    for (size_t i = 0; i < c->n; i++) {
        const EnvelopeEntry *e = &c->entries[i];

        field_print("Subsystem NQN", e->subsysnqn);
        field_print("Host NQN", e->hostnqn);
        field_print("Host", e->host[0] ? e->host : "-");
        field_print("Target", e->target[0] ? e->target : "-");
        printf("%14s: %llu\n", "Generation", (unsigned long long)e->generation);
        field_print("Content", e->configured ? "a PSK" : "the end of the pair");
    }
    return EXIT_OK;
}

static int show_content(const Options *o, const uint8_t *data, size_t size)
{
    _cleanup_(envelope_content_done) EnvelopeContent c = {.n = 0};
    int r;

    if (!o->machine_key || !o->issuer)
        return cli_fail(EXIT_USAGE, "--machine-key= and --issuer= belong together");
    r = open_envelope(o, data, size, &c);
    return r == EXIT_OK ? print_pairs(o, &c) : r;
}

int verb_envelope_show(const Options *o)
{
    uint8_t data[ENVELOPE_SIZE_MAX + 1];
    char ids[ENVELOPE_RECIPIENTS_MAX][MACHINE_KEY_ID_SIZE];
    size_t size = 0;
    int n, r = read_all(o->arguments[0], data, sizeof(data), &size);

    if (r != EXIT_OK)
        return r;
    if (o->machine_key || o->issuer)
        return show_content(o, data, size);
    n = envelope_recipients(data, size, ids, ENVELOPE_RECIPIENTS_MAX);
    if (n < 0 || n > ENVELOPE_RECIPIENTS_MAX)
        return cli_fail(EXIT_INVALID, "%s", envelope_refusal_text(ENVELOPE_MALFORMED));
    return print_recipients(o, ids, (size_t)n);
}
