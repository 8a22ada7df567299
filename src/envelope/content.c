/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/json.h"
#include "basic/text.h"
#include "envelope/content.h"
#include "envelope/limits.h"
#include "psk/nqn.h"
#include "varlink/json-wire.h"

#define FORMAT_NAME "nvme-keyd envelope"
#define FORMAT_VERSION 1
#define VERSIONS_MAX 2

void envelope_content_done(const EnvelopeContent *c)
{
    for (size_t i = 0; i < c->n; i++)
        secret_free(c->entries[i].configured);
    free(c->entries);
}

int envelope_add_versions(json_object *o, unsigned versions)
{
    json_object *array = json_object_new_array();
    int r = json_add_take(o, "identityVersions", array);

    for (unsigned v = 0; v < VERSIONS_MAX && r == 0; v++)
        if (versions & 1U << v)
            r = json_append_take(array, json_object_new_int((int)v));
    return r;
}

/* Texts of PSKs are erased with the whole object. */
static int add_psk(json_object *o, const EnvelopeEntry *e)
{
    _cleanup_(secret_freep) Secret *text = NULL;
    int r = envelope_add_versions(o, e->versions);

    if (r == 0)
        r = json_add_string(o, "derivation", psk_derivation_to_string(e->derivation));
    if (r == 0)
        r = psk_interchange_format(e->hash, e->configured, &text);
    return r == 0 ? json_add_string(o, "psk", (const char *)text->data) : r;
}

static int add_entry(json_object *array, const EnvelopeEntry *e)
{
    json_object *o = json_object_new_object();

    if (json_append_take(array, o) < 0 || json_add_string(o, "hostNQN", e->hostnqn) < 0 ||
        json_add_string(o, "subsystemNQN", e->subsysnqn) < 0 ||
        (e->host[0] && json_add_string(o, "host", e->host) < 0) ||
        (e->target[0] && json_add_string(o, "target", e->target) < 0) ||
        json_add_uint(o, "generation", e->generation) < 0 ||
        (e->not_before_usec > 0 && json_add_uint(o, "notBefore", e->not_before_usec) < 0) ||
        (e->expires_usec > 0 && json_add_uint(o, "expires", e->expires_usec) < 0))
        return -ENOMEM;
    return e->configured ? add_psk(o, e) : json_add_bool(o, "tombstone", true);
}

int envelope_content_format(const EnvelopeContent *c, Secret **ret)
{
    _cleanup_(varlink_json_erase_putp) json_object *o = json_object_new_object();
    _cleanup_(varlink_buffer_done) VarlinkBuffer b = VARLINK_BUFFER(ENVELOPE_CONTENT_MAX);
    json_object *array = json_object_new_array();
    int r = json_add_take(o, "keys", array);

    for (size_t i = 0; i < c->n && r == 0; i++)
        r = add_entry(array, &c->entries[i]);
    if (r == 0)
        r = json_add_string(o, "format", FORMAT_NAME) |
            json_add_uint(o, "version", FORMAT_VERSION) | json_add_string(o, "id", c->id) |
            json_add_uint(o, "issued", c->issued_usec);
    if (r == 0)
        r = varlink_json_append(&b, o);
    if (r < 0)
        return r == -ENOBUFS ? -E2BIG : r;
    *ret = secret_new_copy(b.data + b.start, varlink_buffer_size(&b));
    return *ret ? 0 : -ENOMEM;
}

/* An absent fingerprint is empty. */
static bool read_fingerprint(json_object *o, const char *member,
                             char ret[static MACHINE_FINGERPRINT_SIZE])
{
    const char *s;
    int r = json_get_string(o, member, &s);

    if (r <= 0)
        return r == 0;
    return json_copy_string(o, member, ret, MACHINE_FINGERPRINT_SIZE) &&
           text_is_hex(ret, MACHINE_FINGERPRINT_SIZE - 1);
}

bool envelope_read_versions(json_object *o, unsigned *ret)
{
    json_object *array;

    if (json_get_array(o, "identityVersions", &array) <= 0)
        return false;
    for (size_t i = 0; i < json_object_array_length(array); i++) {
        json_object *v = json_object_array_get_idx(array, i);
        int64_t n = json_object_get_int64(v);

        if (!json_object_is_type(v, json_type_int) || n < 0 || n >= VERSIONS_MAX)
            return false;
        *ret |= 1U << n;
    }
    return *ret != 0;
}

static int read_nqn(json_object *o, const char *member, const char *what,
                    char ret[static NQN_LENGTH_MAX + 1], char **reterr_detail)
{
    if (!json_copy_string(o, member, ret, NQN_LENGTH_MAX + 1))
        return detail_set(reterr_detail, -EBADMSG, "\"%s\" is missing or too long", member);
    return nqn_check_text(ret, what, reterr_detail) < 0 ? -EBADMSG : 0;
}

static int read_psk(json_object *o, EnvelopeEntry *e, char **reterr_detail)
{
    const char *text, *derivation;
    int r;

    if (json_get_string(o, "psk", &text) <= 0)
        return detail_set(reterr_detail, -EBADMSG, "neither \"psk\" nor \"tombstone\" is there");
    r = psk_interchange_parse(text, strlen(text), &e->hash, &e->configured);
    if (r > 0)
        return detail_set(reterr_detail, -EBADMSG, "not a PSK: %s", psk_error_text(r));
    if (r < 0)
        return r;
    if (json_get_string(o, "derivation", &derivation) <= 0 ||
        psk_derivation_from_string(derivation, &e->derivation) < 0)
        return detail_set(reterr_detail, -EBADMSG, "\"derivation\" is missing or unknown");
    if (!envelope_read_versions(o, &e->versions))
        return detail_set(reterr_detail, -EBADMSG, "\"identityVersions\" is missing or unknown");
    return 0;
}

static bool read_times(json_object *o, EnvelopeEntry *e)
{
    return json_get_uint(o, "notBefore", INT64_MAX, &e->not_before_usec) >= 0 &&
           json_get_uint(o, "expires", INT64_MAX, &e->expires_usec) >= 0;
}

static int read_entry(json_object *o, EnvelopeEntry *e, char **reterr_detail)
{
    bool tombstone = false;
    int r;

    if (!json_object_is_type(o, json_type_object))
        return detail_set(reterr_detail, -EBADMSG, "it is no object");
    if ((r = read_nqn(o, "hostNQN", "host NQN", e->hostnqn, reterr_detail)) < 0 ||
        (r = read_nqn(o, "subsystemNQN", "subsystem NQN", e->subsysnqn, reterr_detail)) < 0)
        return r;
    if (!read_fingerprint(o, "host", e->host) || !read_fingerprint(o, "target", e->target) ||
        (!e->host[0] && !e->target[0]))
        return detail_set(reterr_detail, -EBADMSG, "\"host\" or \"target\" is no fingerprint");
    if (json_get_uint(o, "generation", INT64_MAX, &e->generation) <= 0 || e->generation == 0)
        return detail_set(reterr_detail, -EBADMSG, "\"generation\" is missing");
    if (!read_times(o, e))
        return detail_set(reterr_detail, -EBADMSG, "\"notBefore\" or \"expires\" is no time");
    if (json_get_bool(o, "tombstone", &tombstone) < 0)
        return detail_set(reterr_detail, -EBADMSG, "\"tombstone\" is no boolean");
    return tombstone ? 0 : read_psk(o, e, reterr_detail);
}

/* Prefixes the detail with the place of the entry. */
static int fail_entry(size_t i, int error, char **reterr_detail)
{
    _cleanup_(freep) char *why = reterr_detail ? TAKE_PTR(*reterr_detail) : NULL;

    return error == -ENOMEM ? error
                            : detail_set(reterr_detail, error, "key %zu of the envelope: %s", i + 1,
                                         why ? why : "wrong");
}

static int read_entries(json_object *array, EnvelopeContent *c, char **reterr_detail)
{
    size_t n = json_object_array_length(array);
    int r;

    if (n == 0 || n > ENVELOPE_ENTRIES_MAX)
        return detail_set(reterr_detail, -EBADMSG, "an envelope has 1 to %d keys, and this one %zu",
                          ENVELOPE_ENTRIES_MAX, n);
    c->entries = calloc(n, sizeof(*c->entries));
    if (!c->entries)
        return -ENOMEM;
    for (; c->n < n; c->n++) {
        r = read_entry(json_object_array_get_idx(array, c->n), &c->entries[c->n], reterr_detail);
        if (r < 0) {
            secret_free(c->entries[c->n].configured);
            return fail_entry(c->n, r, reterr_detail);
        }
    }
    return 0;
}

static int read_head(json_object *o, EnvelopeContent *c, char **reterr_detail)
{
    const char *format;
    uint64_t version;

    if (json_get_string(o, "format", &format) <= 0 || strcmp(format, FORMAT_NAME) != 0 ||
        json_get_uint(o, "version", UINT32_MAX, &version) <= 0)
        return detail_set(reterr_detail, -EBADMSG, "the content is not that of an envelope");
    if (version != FORMAT_VERSION)
        return detail_set(reterr_detail, -EBADMSG,
                          "the envelope has version %llu, and this nvme-keyd knows %d",
                          (unsigned long long)version, FORMAT_VERSION);
    if (!json_copy_string(o, "id", c->id, sizeof(c->id)) ||
        !text_is_hex(c->id, sizeof(c->id) - 1) ||
        json_get_uint(o, "issued", INT64_MAX, &c->issued_usec) <= 0)
        return detail_set(reterr_detail, -EBADMSG, "\"id\" or \"issued\" is missing");
    return 0;
}

int envelope_content_parse(const char *text, size_t size, EnvelopeContent *ret,
                           char **reterr_detail)
{
    _cleanup_(varlink_json_erase_putp) json_object *o = NULL;
    _cleanup_(envelope_content_done) EnvelopeContent c = {.n = 0};
    json_object *array;
    int r = size > ENVELOPE_CONTENT_MAX ? -EBADMSG : varlink_json_parse(text, size, &o);

    if (r == -EBADMSG)
        return detail_set(reterr_detail, r, "the content is not that of an envelope");
    if (r < 0 || (r = read_head(o, &c, reterr_detail)) < 0)
        return r;
    if (json_get_array(o, "keys", &array) <= 0)
        return detail_set(reterr_detail, -EBADMSG, "\"keys\" is missing");
    r = read_entries(array, &c, reterr_detail);
    if (r < 0)
        return r;
    *ret = c;
    c = (EnvelopeContent){.n = 0};
    return 0;
}
