/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/encoding.h"
#include "nvme-keyd/keys/key.h"
#include "psk/limits.h"

/* Tags of a payload: a sequence of (tag, size, bytes). */
#define TAG_CONFIGURED 'C'
#define TAG_TLS_PSK '0' /* + version */

static const char *const role_names[] = {NULL, "host", "target", "both"};
static const char *const state_names[] = {"pending", "active", "retiring",
                                          "revoked", "broken", "overridden"};
static const char *const kind_names[] = {"configured", "derived"};
static const char *const step_names[] = {NULL, "activate", "retire", "revoke", "remove"};

Key *key_free(Key *k)
{
    if (!k)
        return NULL;
    free(k->hostnqn);
    free(k->subsysnqn);
    free(k->comment);
    free(k->handed_by);
    for (unsigned v = 0; v < KEY_VERSIONS; v++)
        free(k->identities[v]);
    free(k);
    return NULL;
}

const char *key_error_text(const Key *k)
{
    switch (k->error) {
    case -ENOENT:
        return "the record is missing";
    case -ESTALE:
        return "older than the index says";
    case -EIO:
        return "the disk cannot read it";
    default:
        return "authentication failed";
    }
}

const char *key_role_to_string(KeyRole role)
{
    return role_names[role];
}

int key_role_from_string(const char *s, KeyRole *ret)
{
    for (KeyRole role = KEY_ROLE_HOST; role <= KEY_ROLE_BOTH; role++)
        if (strcmp(role_names[role], s) == 0) {
            *ret = role;
            return 0;
        }
    return -EINVAL;
}

const char *key_state_to_string(KeyState state)
{
    return state_names[state];
}

const char *key_kind_to_string(KeyKind kind)
{
    return kind_names[kind];
}

const char *key_step_to_string(KeyStep step)
{
    return step_names[step];
}

/* True for a key whose last step is due, even if it cannot be taken yet. */
static bool is_over(const Key *k, uint64_t now_realtime_usec)
{
    return (k->step == KEY_STEP_REMOVE || k->step == KEY_STEP_REVOKE) &&
           (k->due || k->deadline_usec <= now_realtime_usec);
}

bool key_is_publishable(const Key *k, uint64_t now_realtime_usec)
{
    switch (k->state) {
    case KEY_ACTIVE:
        return true;
    case KEY_PENDING:
        return k->role == KEY_ROLE_TARGET;
    case KEY_RETIRING:
        return k->role == KEY_ROLE_TARGET && !is_over(k, now_realtime_usec);
    default:
        return false;
    }
}

unsigned key_lifetime(const Key *k, unsigned on_demand_sec)
{
    return k->role == KEY_ROLE_HOST ? on_demand_sec : 0;
}

bool key_is_missing(const Key *k, unsigned on_demand_sec)
{
    bool missing = false;

    for (unsigned v = 0; v < KEY_VERSIONS; v++)
        missing |= k->identities[v] && !k->serials[v];
    return missing && key_lifetime(k, on_demand_sec) == 0;
}

/* The hash of the cipher suite, as an identity names it. */
static PskHash identity_hash(const Key *k)
{
    if (k->kind == KEY_DERIVED)
        return k->hash;
    /* The length of the digest shows the hash, even for PSKs without one of their own. */
    return strlen(k->digest) == BASE64_LENGTH(48) ? PSK_HASH_SHA384 : PSK_HASH_SHA256;
}

uint64_t key_expiry(const Key *k, uint64_t max_age_usec)
{
    uint64_t usec;

    if (k->expires_usec > 0)
        return k->expires_usec;
    return k->created_usec == 0 || __builtin_add_overflow(k->created_usec, max_age_usec, &usec)
               ? 0
               : usec;
}

unsigned key_search_ranks(const Key *k)
{
    bool known = k->kind == KEY_DERIVED || k->digest[0];
    PskHash hash = known ? identity_hash(k) : k->hash;
    unsigned ranks = 0;

    for (unsigned v = 0; v < KEY_VERSIONS; v++)
        if (k->versions & KEY_VERSION_BIT(v))
            ranks |= hash == PSK_HASH_NONE ? KEY_RANKS_OF_VERSION(v) : KEY_RANK_BIT(v, hash);
    return ranks;
}

int key_set_identities(Key *k)
{
    PskHash hash = identity_hash(k);
    char text[PSK_IDENTITY_MAX + 1];

    for (unsigned v = 0; v < KEY_VERSIONS; v++) {
        if (!(k->versions & KEY_VERSION_BIT(v)))
            continue;
        psk_identity_format(v, hash, k->hostnqn, k->subsysnqn, v == 0 ? NULL : k->digest, text);
        k->identities[v] = strdup(text);
        if (!k->identities[v])
            return -ENOMEM;
    }
    return 0;
}

static uint8_t *payload_append(uint8_t *p, char tag, const Secret *s)
{
    *p++ = (uint8_t)tag;
    *p++ = (uint8_t)s->size;
    return (uint8_t *)mempcpy(p, s->data, s->size);
}

int key_derive(Key *k, const Secret *configured, Secret **ret_payload)
{
    const PskSource source = {configured, k->hash, k->derivation, k->hostnqn, k->subsysnqn};
    _cleanup_(secret_freep) Secret *payload = NULL;
    uint8_t *p;
    int r;

    r = psk_digest(&source, k->digest);
    if (r == 0)
        r = key_set_identities(k);
    if (r != 0)
        return r;

    payload = secret_new((1 + KEY_VERSIONS) * (2 + PSK_SIZE_MAX));
    if (!payload)
        return -ENOMEM;
    p = payload_append(payload->data, TAG_CONFIGURED, configured);
    for (unsigned v = 0; v < KEY_VERSIONS; v++) {
        _cleanup_(tls_psk_done) TlsPsk tls = {.key = NULL};

        if (!k->identities[v])
            continue;
        r = psk_derive(&source, v, &tls);
        if (r != 0)
            return r;
        p = payload_append(p, (char)(TAG_TLS_PSK + (int)v), tls.key);
    }

    *ret_payload = secret_new_copy(payload->data, (size_t)(p - payload->data));
    return *ret_payload ? 0 : -ENOMEM;
}

int key_adopt(Key *k, const PskIdentity *identity, const Secret *tls_psk, Secret **ret_payload)
{
    _cleanup_(secret_freep) Secret *payload = secret_new(2 + tls_psk->size);
    int r;

    if (!payload)
        return -ENOMEM;
    k->kind = KEY_DERIVED;
    if (identity->digest)
        memcpy(k->digest, identity->digest, identity->digest_length);
    k->digest[identity->digest_length] = '\0';
    r = key_set_identities(k);
    if (r < 0)
        return r;
    (void)payload_append(payload->data, (char)(TAG_TLS_PSK + (int)identity->version), tls_psk);

    *ret_payload = TAKE_PTR(payload);
    return 0;
}

static int payload_find(const Secret *payload, char tag, const uint8_t **ret, size_t *ret_size)
{
    const uint8_t *p = payload->data, *end = p + payload->size;

    while (end - p >= 2) {
        size_t size = p[1];

        if ((size_t)(end - p) - 2 < size)
            return -EBADMSG;
        if (p[0] == (uint8_t)tag) {
            if (size != 32 && size != 48)
                return -EBADMSG;
            *ret = p + 2;
            *ret_size = size;
            return 0;
        }
        p += 2 + size;
    }
    return p == end ? -ENOENT : -EBADMSG;
}

int key_payload_tls_psk(const Secret *payload, unsigned version, const uint8_t **ret,
                        size_t *ret_size)
{
    return payload_find(payload, (char)(TAG_TLS_PSK + (int)version), ret, ret_size);
}

int key_payload_configured(const Secret *payload, const uint8_t **ret, size_t *ret_size)
{
    return payload_find(payload, TAG_CONFIGURED, ret, ret_size);
}
