/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "basic/encoding.h"
#include "basic/json.h"
#include "basic/text.h"
#include "envelope/content.h"
#include "fleet/json-read.h"
#include "fleet/statement.h"
#include "psk/nqn.h"

#define FORMAT_APPROVAL "nvme-keyd approval"
#define FORMAT_REVOCATION "nvme-keyd revocation"
#define FORMAT_PAIR "nvme-keyd pair"
#define FORMAT_ROTATION "nvme-keyd rotation"

static int digest(const char *text, char *ret, size_t bytes)
{
    unsigned char d[EVP_MAX_MD_SIZE];

    if (EVP_Digest(text, strlen(text), d, NULL, EVP_sha256(), NULL) != 1)
        return -EIO;
    hex_encode(d, bytes, ret);
    return 0;
}

int fleet_digest(const char *text, char ret[static 65])
{
    return digest(text, ret, 32);
}

/* An NQN has no blank. */
int fleet_pair_id(const char *hostnqn, const char *subsysnqn, char ret[static FLEET_ID_SIZE])
{
    char text[2 * NQN_LENGTH_MAX + 2];

    (void)snprintf(text, sizeof(text), "%s %s", hostnqn, subsysnqn);
    return digest(text, ret, (FLEET_ID_SIZE - 1) / 2);
}

/* Begins a statement. Returns NULL without memory. */
static json_object *new_statement(const char *format)
{
    json_object *o = json_object_new_object();

    if ((json_add_string(o, "format", format) | json_add_uint(o, "version", FLEET_FORMAT_VERSION)) <
        0) {
        json_object_put(o);
        return NULL;
    }
    return o;
}

int fleet_approval_format(const FleetApproval *a, char **ret)
{
    _cleanup_(json_putp) json_object *o = new_statement(FORMAT_APPROVAL);

    if (!o ||
        (json_add_string(o, "fingerprint", a->fingerprint) | json_add_string(o, "name", a->name) |
         json_add_string(o, "certificate", a->certificate) |
         json_add_uint(o, "time", a->time_usec)) < 0)
        return -ENOMEM;
    return json_format(o, ret);
}

int fleet_revocation_format(const FleetRevocation *r, char **ret)
{
    _cleanup_(json_putp) json_object *o = new_statement(FORMAT_REVOCATION);

    if (!o || (json_add_string(o, "fingerprint", r->fingerprint) |
               json_add_uint(o, "time", r->time_usec)) < 0)
        return -ENOMEM;
    return json_format(o, ret);
}

int fleet_rotation_format(const FleetRotation *r, char **ret)
{
    _cleanup_(json_putp) json_object *o = new_statement(FORMAT_ROTATION);

    if (!o || json_add_uint(o, "started", r->started_usec) < 0)
        return -ENOMEM;
    return json_format(o, ret);
}

int fleet_pair_format(const FleetPair *p, char **ret)
{
    _cleanup_(json_putp) json_object *o = new_statement(FORMAT_PAIR);

    if (!o ||
        (json_add_string(o, "hostNQN", p->hostnqn) |
         json_add_string(o, "subsystemNQN", p->subsysnqn) | json_add_string(o, "host", p->host) |
         json_add_string(o, "target", p->target) |
         json_add_string(o, "hash", psk_hash_to_string(p->hash)) |
         json_add_string(o, "derivation", psk_derivation_to_string(p->derivation)) |
         json_add_uint(o, "lifetime", p->lifetime_usec) |
         json_add_uint(o, "generation", p->generation) | json_add_bool(o, "ended", p->ended) |
         json_add_string(o, "envelope", p->envelope) | envelope_add_versions(o, p->versions)) < 0)
        return -ENOMEM;
    return json_format(o, ret);
}

int fleet_approval_parse(const char *text, size_t size, FleetApproval *ret)
{
    _cleanup_(json_putp) json_object *o = NULL;
    const char *certificate;
    int r = fleet_json_open(text, size, FORMAT_APPROVAL, &o);

    if (r < 0)
        return r;
    if (!fleet_json_hex(o, "fingerprint", ret->fingerprint, sizeof(ret->fingerprint)) ||
        !fleet_json_text(o, "name", ret->name, sizeof(ret->name)) ||
        json_get_uint(o, "time", INT64_MAX, &ret->time_usec) <= 0 ||
        json_get_string(o, "certificate", &certificate) <= 0)
        return -EBADMSG;
    ret->certificate = strdup(certificate);
    return ret->certificate ? 0 : -ENOMEM;
}

int fleet_revocation_parse(const char *text, size_t size, FleetRevocation *ret)
{
    _cleanup_(json_putp) json_object *o = NULL;
    int r = fleet_json_open(text, size, FORMAT_REVOCATION, &o);

    if (r < 0)
        return r;
    return fleet_json_hex(o, "fingerprint", ret->fingerprint, sizeof(ret->fingerprint)) &&
                   json_get_uint(o, "time", INT64_MAX, &ret->time_usec) > 0
               ? 0
               : -EBADMSG;
}

int fleet_rotation_parse(const char *text, size_t size, FleetRotation *ret)
{
    _cleanup_(json_putp) json_object *o = NULL;
    int r = fleet_json_open(text, size, FORMAT_ROTATION, &o);

    if (r < 0)
        return r;
    return json_get_uint(o, "started", INT64_MAX, &ret->started_usec) > 0 ? 0 : -EBADMSG;
}

/* How a PSK of the pair is made. */
static bool read_recipe(json_object *o, FleetPair *p)
{
    return psk_hash_from_string(json_string_or(o, "hash", ""), &p->hash) == 0 &&
           psk_derivation_from_string(json_string_or(o, "derivation", ""), &p->derivation) == 0 &&
           json_get_uint(o, "lifetime", LIFETIME_SEC_MAX * USEC_PER_SEC, &p->lifetime_usec) > 0 &&
           envelope_read_versions(o, &p->versions);
}

static bool read_state(json_object *o, FleetPair *p)
{
    return json_get_uint(o, "generation", INT64_MAX, &p->generation) > 0 && p->generation > 0 &&
           json_get_bool(o, "ended", &p->ended) > 0 &&
           (json_string_or(o, "envelope", "-")[0] == '\0' ||
            fleet_json_hex(o, "envelope", p->envelope, sizeof(p->envelope)));
}

int fleet_pair_parse(const char *text, size_t size, FleetPair *ret)
{
    _cleanup_(json_putp) json_object *o = NULL;
    int r = fleet_json_open(text, size, FORMAT_PAIR, &o);

    if (r < 0)
        return r;
    *ret = (FleetPair){.generation = 0};
    if (!fleet_json_nqn(o, "hostNQN", ret->hostnqn) ||
        !fleet_json_nqn(o, "subsystemNQN", ret->subsysnqn) ||
        !fleet_json_hex(o, "host", ret->host, sizeof(ret->host)) ||
        !fleet_json_hex(o, "target", ret->target, sizeof(ret->target)) || !read_recipe(o, ret) ||
        !read_state(o, ret))
        return -EBADMSG;
    return fleet_pair_id(ret->hostnqn, ret->subsysnqn, ret->id);
}
