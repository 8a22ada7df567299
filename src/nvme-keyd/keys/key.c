/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/encoding.h"
#include "basic/json.h"
#include "nvme-keyd/keys/key.h"
#include "psk/limits.h"
#include "psk/nqn.h"

/* Tags of a payload: a sequence of (tag, size, bytes). */
#define TAG_CONFIGURED 'C'
#define TAG_TLS_PSK '0' /* + version */

static const char *const role_names[] = {NULL, "host", "target", "both"};
static const char *const state_names[] = {"pending", "active", "retiring",
                                          "revoked", "broken", "overridden"};
static const char *const kind_names[] = {"configured", "derived"};

static int name_index(const char *const *names, size_t n, const char *s)
{
    for (size_t i = 0; i < n; i++)
        if (names[i] && strcmp(names[i], s) == 0)
            return (int)i;
    return -EINVAL;
}

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
        /* With a stale index, the generation of the record is unknown. */
        return k->generation > 0 ? "older than the index says"
                                 : "its index is older than the header says";
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
    int i = name_index(role_names, ARRAY_SIZE(role_names), s);

    if (i < 0)
        return i;
    *ret = (KeyRole)i;
    return 0;
}

const char *key_state_to_string(KeyState state)
{
    return state_names[state];
}

const char *key_kind_to_string(KeyKind kind)
{
    return kind_names[kind];
}

bool key_is_publishable(const Key *k, uint64_t now_realtime_usec)
{
    switch (k->state) {
    case KEY_ACTIVE:
        return true;
    case KEY_PENDING:
        return k->role == KEY_ROLE_TARGET;
    case KEY_RETIRING:
        return k->role == KEY_ROLE_TARGET && !k->expired &&
               (k->deadline_usec == 0 || now_realtime_usec < k->deadline_usec);
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

static int set_identities(Key *k)
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

int key_versions_to_json(json_object *object, unsigned versions)
{
    json_object *array = json_object_new_array();
    int r = json_add_take(object, "identityVersions", array);

    for (unsigned v = 0; v < KEY_VERSIONS && r == 0; v++)
        if (versions & KEY_VERSION_BIT(v))
            r = json_append_take(array, json_object_new_int((int)v));
    return r;
}

static int read_nqn(json_object *meta, const char *member, char **ret)
{
    size_t position;
    const char *s;

    if (json_get_string(meta, member, &s) <= 0 || nqn_check(s, strlen(s), &position) != NQN_OK)
        return -EBADMSG;
    *ret = strdup(s);
    return *ret ? 0 : -ENOMEM;
}

static int read_names(json_object *meta, Key *k)
{
    const char *kind, *role, *state, *hash, *derivation;
    int i, j;

    if (json_get_string(meta, "kind", &kind) <= 0 ||
        (j = name_index(kind_names, ARRAY_SIZE(kind_names), kind)) < 0 ||
        json_get_string(meta, "role", &role) <= 0 || key_role_from_string(role, &k->role) < 0 ||
        json_get_string(meta, "state", &state) <= 0 ||
        (i = name_index(state_names, KEY_BROKEN, state)) < 0 ||
        json_get_string(meta, "hash", &hash) <= 0 || psk_hash_from_string(hash, &k->hash) < 0 ||
        json_get_string(meta, "derivation", &derivation) <= 0 ||
        psk_derivation_from_string(derivation, &k->derivation) < 0 ||
        key_versions_from_json(meta, &k->versions) <= 0)
        return -EBADMSG;

    k->kind = (KeyKind)j;
    k->state = (KeyState)i;
    return 0;
}

/* The meaning of a digest of n characters for this kind of key. */
static bool digest_fits(const Key *k, size_t n)
{
    if (k->kind == KEY_CONFIGURED)
        return n == BASE64_LENGTH(32) || n == BASE64_LENGTH(48);
    if (k->hash == PSK_HASH_NONE)
        return false;
    if (k->versions == KEY_VERSION_BIT(1))
        return n == BASE64_LENGTH(psk_hash_size(k->hash));
    return k->versions == KEY_VERSION_BIT(0) && n == 0;
}

static int read_digest(json_object *meta, Key *k)
{
    const char *digest = "";

    if (json_get_string(meta, "digest", &digest) < 0 || !digest_fits(k, strlen(digest)))
        return -EBADMSG;
    strcpy(k->digest, digest);
    return 0;
}

static int read_times(json_object *meta, Key *k)
{
    if (json_get_uint(meta, "created", INT64_MAX, &k->created_usec) <= 0 ||
        json_get_uint(meta, "changed", INT64_MAX, &k->changed_usec) <= 0 ||
        json_get_uint(meta, "deadline", INT64_MAX, &k->deadline_usec) < 0)
        return -EBADMSG;
    return 0;
}

int key_from_meta(json_object *meta, Key **ret)
{
    _cleanup_(key_freep) Key *k = calloc(1, sizeof(*k));
    const char *comment = NULL;
    int r;

    if (!k)
        return -ENOMEM;
    if ((r = read_nqn(meta, "hostNQN", &k->hostnqn)) < 0 ||
        (r = read_nqn(meta, "subsystemNQN", &k->subsysnqn)) < 0 || (r = read_names(meta, k)) < 0 ||
        (r = read_digest(meta, k)) < 0 || (r = read_times(meta, k)) < 0)
        return r;
    if (json_get_string(meta, "comment", &comment) < 0)
        return -EBADMSG;
    if (comment && !(k->comment = strdup(comment)))
        return -ENOMEM;
    r = set_identities(k);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(k);
    return 0;
}

int key_to_meta(const Key *k, json_object **ret)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    int r;

    if (!o)
        return -ENOMEM;
    /* All members are tried; any failure is reported as the same error. */
    r = json_add_string(o, "kind", key_kind_to_string(k->kind)) |
        json_add_string(o, "hostNQN", k->hostnqn) |
        json_add_string(o, "subsystemNQN", k->subsysnqn) |
        json_add_string(o, "role", key_role_to_string(k->role)) |
        json_add_string(o, "state", key_state_to_string(k->state)) |
        json_add_string(o, "hash", psk_hash_to_string(k->hash)) |
        json_add_string(o, "derivation", psk_derivation_to_string(k->derivation)) |
        key_versions_to_json(o, k->versions) | json_add_uint(o, "created", k->created_usec) |
        json_add_uint(o, "changed", k->changed_usec);
    if (k->digest[0])
        r |= json_add_string(o, "digest", k->digest);
    if (k->deadline_usec > 0)
        r |= json_add_uint(o, "deadline", k->deadline_usec);
    if (k->comment)
        r |= json_add_string(o, "comment", k->comment);
    if (r < 0)
        return -ENOMEM;

    *ret = TAKE_PTR(o);
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
        r = set_identities(k);
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
    r = set_identities(k);
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
