/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "formats/found.h"
#include "psk/identity.h"
#include "psk/keyfile.h"
#include "psk/limits.h"
#include "psk/nqn.h"

#define SOURCE_CREDENTIAL "systemd-creds"
#define PIN_PREFIX "pin:"

/* The names of a pair, terminated. */
typedef struct Names {
    char hostnqn[NQN_LENGTH_MAX + 1], subsysnqn[NQN_LENGTH_MAX + 1];
    char identity[PSK_IDENTITY_MAX + 1];
} Names;

int found_note(FoundKind kind, size_t line, const char *text, FoundFn fn, void *userdata)
{
    return fn(&(Found){.kind = kind, .line = line, .text = text}, userdata);
}

static bool part_is(const Part *p, const char *text)
{
    return p->length == strlen(text) && memcmp(p->text, text, p->length) == 0;
}

static bool part_begins(const Part *p, const char *prefix)
{
    return p->length >= strlen(prefix) && memcmp(p->text, prefix, strlen(prefix)) == 0;
}

/* Copies a name that may be missing. Returns PSK_E_NQN. */
static int copy_name(const Part *p, char ret[static NQN_LENGTH_MAX + 1])
{
    if (!p->text)
        return 0;
    if (!nqn_is_usable(p->text, p->length))
        return PSK_E_NQN;
    memcpy(ret, p->text, p->length);
    ret[p->length] = '\0';
    return 0;
}

/* strtol(3) with base 0 finds a number at the beginning, as libnvme does. */
static bool is_serial(const Part *p)
{
    size_t sign = p->length > 1 && (p->text[0] == '-' || p->text[0] == '+');

    return p->length > sign && p->text[sign] >= '0' && p->text[sign] <= '9';
}

/* A name of a file without a directory, as systemd allows it for a credential. */
static bool is_credential_name(const Part *p)
{
    for (size_t i = 0; i < p->length; i++)
        if (p->text[i] <= ' ' || p->text[i] >= 0x7f || p->text[i] == '/')
            return false;
    return p->length > 0 && p->length <= FORMAT_CREDENTIAL_MAX && p->text[0] != '.';
}

static int report_credential(const FoundKey *k, Found *f, FoundFn fn, void *userdata)
{
    char name[FORMAT_CREDENTIAL_MAX + 1];

    if (!is_credential_name(&k->key))
        return found_note(FOUND_FAULT, k->line,
                          "tls-key= is not the name of a credential, as key-source=systemd-creds "
                          "requires it",
                          fn, userdata);
    memcpy(name, k->key.text, k->key.length);
    name[k->key.length] = '\0';
    f->kind = FOUND_CREDENTIAL;
    f->credential = name;
    return fn(f, userdata);
}

/* Parses a key; one that belongs to an identity has its size checked, and brings the names. */
static int parse_psk(const FoundKey *k, Names *names, Found *f, Secret **ret)
{
    PskIdentity i;
    int r = k->identity.text ? keyfile_parse_derived_psk(k->key.text, k->key.length, &f->hash, ret)
                             : psk_interchange_parse(k->key.text, k->key.length, &f->hash, ret);

    if (r != 0)
        return r;
    f->psk = *ret;
    /* libnvme derives a key without a hash, whatever stands beside it. */
    if (!k->identity.text || f->hash == PSK_HASH_NONE) {
        f->identity = NULL;
        return 0;
    }
    r = psk_identity_parse_key(f->identity, k->identity.length, (*ret)->size, &i);
    if (r != 0)
        return r;
    if ((r = copy_name(&(Part){i.hostnqn, i.hostnqn_length}, names->hostnqn)) == 0)
        r = copy_name(&(Part){i.subsysnqn, i.subsysnqn_length}, names->subsysnqn);
    f->hostnqn = names->hostnqn;
    f->subsysnqn = names->subsysnqn;
    return r;
}

/* An identity is printable text that fits, so that a message can carry it. */
static int copy_identity(const Part *p, char ret[static PSK_IDENTITY_MAX + 1])
{
    if (!p->text)
        return 0;
    if (p->length > PSK_IDENTITY_MAX || memchr(p->text, '\0', p->length))
        return PSK_E_IDENTITY;
    memcpy(ret, p->text, p->length);
    ret[p->length] = '\0';
    return 0;
}

int found_report(const FoundKey *key, FoundFn fn, void *userdata)
{
    _cleanup_(secret_freep) Secret *psk = NULL;
    Names names;
    Found f = {.kind = FOUND_PSK,
               .line = key->line,
               .source_line = key->source_line,
               .hostnqn = key->hostnqn.text ? names.hostnqn : NULL,
               .subsysnqn = key->subsysnqn.text ? names.subsysnqn : NULL,
               .identity = key->identity.text ? names.identity : NULL};
    int r;

    if ((r = copy_name(&key->hostnqn, names.hostnqn)) != 0 ||
        (r = copy_name(&key->subsysnqn, names.subsysnqn)) != 0 ||
        (r = copy_identity(&key->identity, names.identity)) != 0)
        return found_note(FOUND_FAULT, key->line, psk_error_text(r), fn, userdata);
    if (key->source.text && part_is(&key->source, SOURCE_CREDENTIAL))
        return report_credential(key, &f, fn, userdata);
    if (key->source.text && key->source.length > 0)
        return found_note(FOUND_OTHER, key->line, "its key-source= is none that can be read", fn,
                          userdata);
    if (is_serial(&key->key))
        return found_note(FOUND_OTHER, key->line, "it names a key of the keyring by its serial", fn,
                          userdata);
    if (part_begins(&key->key, PIN_PREFIX))
        return found_note(FOUND_FAULT, key->line,
                          "a PIN is no PSK: write the PSK that nvme keys gen-tls-psk makes of it",
                          fn, userdata);
    r = parse_psk(key, &names, &f, &psk);
    if (r < 0)
        return r;
    return r > 0 ? found_note(FOUND_FAULT, key->line, psk_error_text(r), fn, userdata)
                 : fn(&f, userdata);
}
