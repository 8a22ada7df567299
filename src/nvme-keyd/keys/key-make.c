/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/io.h"
#include "basic/text.h"
#include "nvme-keyd/keys/key-make.h"
#include "psk/hostnqn.h"
#include "psk/identity.h"
#include "psk/nqn.h"

#define UUID_PREFIX "nqn.2014-08.org.nvmexpress:uuid:"

int key_read_hostnqn(char ret[static NQN_LENGTH_MAX + 2], char **reterr_detail)
{
    _cleanup_(freep) char *why = NULL;

    if (hostnqn_read(ret, &why) < 0)
        return detail_set(reterr_detail, -ENODATA, "no host NQN given, and %s", why ? why : "none");
    return 0;
}

/* Refuses swapped host and subsystem NQNs: the kernel would never find such a key. */
static int check_sides(const KeyRequest *q, const char *hostnqn, char **reterr_detail)
{
    _cleanup_(freep) char *detail = NULL;
    char own[NQN_LENGTH_MAX + 2];
    const char *why = NULL;

    if (q->force)
        return 0;
    if (strcmp(hostnqn, q->subsysnqn) == 0)
        why = "both are the same";
    else if (strcmp(hostnqn, NQN_DISCOVERY) == 0)
        why = "the host NQN is that of discovery subsystems";
    else if (text_after(q->subsysnqn, UUID_PREFIX) && !text_after(hostnqn, UUID_PREFIX))
        why = "the subsystem NQN has the form of a host NQN, and the host NQN does not";
    else if (hostnqn_read(own, &detail) == 0 && strcmp(q->subsysnqn, own) == 0)
        why = "the subsystem NQN is that of this host";
    return why ? detail_set(reterr_detail, -EINVAL,
                            "host and subsystem NQN seem to be swapped (%s): if they are right, "
                            "force it",
                            why)
               : 0;
}

/* Explicitly requested versions are refused, not left out. */
static int check_versions(const Key *k, char **reterr_detail)
{
    if (k->versions & KEY_VERSION_BIT(0) && !psk_identity_fits_version_0(k->hostnqn, k->subsysnqn))
        return detail_set(reterr_detail, -EINVAL, "%s", psk_error_text(PSK_E_IDENTITY_LENGTH));
    return 0;
}

int key_new(const KeyRequest *q, const char *hostnqn, Key **ret)
{
    _cleanup_(key_freep) Key *k = calloc(1, sizeof(*k));

    if (!k)
        return -ENOMEM;
    k->hostnqn = strdup(hostnqn);
    k->subsysnqn = strdup(q->subsysnqn);
    k->comment = q->comment ? strdup(q->comment) : NULL;
    if (!k->hostnqn || !k->subsysnqn || (q->comment && !k->comment))
        return -ENOMEM;
    k->role = q->role;
    k->state = KEY_ACTIVE;
    k->hash = q->hash;
    k->derivation = q->derivation;
    /* A host should offer one identity, the better one; a target cannot know which one hosts offer.
     */
    k->versions = q->versions ? q->versions : KEY_VERSION_BIT(1);
    if (!q->versions && q->role != KEY_ROLE_HOST &&
        psk_identity_fits_version_0(hostnqn, q->subsysnqn))
        k->versions |= KEY_VERSION_BIT(0);
    k->created_usec = k->changed_usec = now_realtime();
    if (q->lifetime_usec > 0)
        k->expires_usec = k->created_usec + q->lifetime_usec;
    k->rotate_usec = q->rotate_usec;
    *ret = TAKE_PTR(k);
    return 0;
}

/* A name that a person chooses begins with "nqn.", unless forced; one from a file need not. */
static int check_name(const char *name, const char *what, bool strict, char **reterr_detail)
{
    return !strict && nqn_is_usable(name, strlen(name)) ? 0
                                                        : nqn_check_text(name, what, reterr_detail);
}

int key_check_schedule(KeyRole role, char **reterr_detail)
{
    return role != KEY_ROLE_HOST
               ? 0
               : detail_set(reterr_detail, -EINVAL,
                            "a host follows the schedule of its target, which would not know a PSK "
                            "that is made here: schedule the rotation there");
}

int key_prepare(const KeyRequest *q, Key **ret, char **reterr_detail)
{
    _cleanup_(key_freep) Key *k = NULL;
    char own[NQN_LENGTH_MAX + 2];
    const char *hostnqn = q->hostnqn;
    int r;

    if (q->rotate_usec > 0 && (r = key_check_schedule(q->role, reterr_detail)) < 0)
        return r;
    if (!hostnqn && q->role == KEY_ROLE_TARGET)
        return detail_set(reterr_detail, -ENODATA,
                          "a target needs the NQN of the host that connects, --hostnqn=: that of "
                          "this machine matches no other host");
    if (!hostnqn && (r = key_read_hostnqn(own, reterr_detail)) < 0)
        return r;
    if (!hostnqn)
        hostnqn = own;
    if ((r = check_name(hostnqn, "host NQN", !q->force, reterr_detail)) < 0 ||
        (r = check_name(q->subsysnqn, "subsystem NQN", !q->force, reterr_detail)) < 0 ||
        (r = check_sides(q, hostnqn, reterr_detail)) < 0 || (r = key_new(q, hostnqn, &k)) < 0 ||
        (r = check_versions(k, reterr_detail)) < 0)
        return r;

    *ret = TAKE_PTR(k);
    return 0;
}

int key_fill(Key *k, const Secret *configured, Secret **ret_payload, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *made = NULL;
    int r;

    if (!configured) {
        r = psk_generate(k->hash, &made);
        if (r < 0)
            return detail_set(reterr_detail, r, "cannot make a random PSK: %s", strerror(-r));
    }
    r = key_derive(k, made ? made : configured, ret_payload);
    if (r != 0)
        return detail_set(reterr_detail, r > 0 ? -EINVAL : r, "%s", psk_error_text(r));
    return 0;
}

static int make_derived(const KeyRequest *request, const char *identity, Key **ret,
                        Secret **ret_payload, char **reterr_detail)
{
    _cleanup_(key_freep) Key *k = NULL;
    char hostnqn[NQN_LENGTH_MAX + 1], subsysnqn[NQN_LENGTH_MAX + 1];
    KeyRequest q = *request;
    PskIdentity parts;
    int r;

    r = psk_identity_parse_key(identity, strlen(identity), request->configured->size, &parts);
    if (r != 0)
        return detail_set(reterr_detail, -EINVAL, "%s", psk_error_text(r));
    (void)snprintf(hostnqn, sizeof(hostnqn), "%.*s", (int)parts.hostnqn_length, parts.hostnqn);
    (void)snprintf(subsysnqn, sizeof(subsysnqn), "%.*s", (int)parts.subsysnqn_length,
                   parts.subsysnqn);
    q.subsysnqn = subsysnqn;
    q.versions = KEY_VERSION_BIT(parts.version);
    q.hash = parts.hash;
    if ((r = key_new(&q, hostnqn, &k)) < 0 ||
        (r = key_adopt(k, &parts, request->configured, ret_payload)) < 0)
        return r;

    *ret = TAKE_PTR(k);
    return 0;
}

static int make_configured(const KeyRequest *request, Key **ret, Secret **ret_payload,
                           char **reterr_detail)
{
    _cleanup_(key_freep) Key *k = NULL;
    int r;

    if ((r = check_name(request->hostnqn, "host NQN", false, reterr_detail)) < 0 ||
        (r = check_name(request->subsysnqn, "subsystem NQN", false, reterr_detail)) < 0 ||
        (r = key_new(request, request->hostnqn, &k)) < 0)
        return r;
    r = key_fill(k, request->configured, ret_payload, reterr_detail);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(k);
    return 0;
}

int key_make(const KeyRequest *request, const char *identity, Key **ret, Secret **ret_payload,
             char **reterr_detail)
{
    return identity ? make_derived(request, identity, ret, ret_payload, reterr_detail)
                    : make_configured(request, ret, ret_payload, reterr_detail);
}
