/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"

/*
 * What a slot of type systemd-creds has of its own in the header: "credential", the Base64 text of
 * a systemd credential on one line, and "withKey", which tells people what sealed it.
 */

/* Characters of a credential: a KEK with everything systemd adds for a TPM2 is below 4 KiB. It must
 * fit into a pipe, which has at least 8 KiB. */
#define CREDS_TEXT_MAX ((size_t)8192)

/* The first 128 bits of a credential tell what sealed it (systemd, src/shared/creds-util.h). They
 * are authenticated with the rest of it. */
#define CREDS_KEY_ID_SIZE 16
/* The name of a type that this version does not know. */
#define CREDS_KEY_UNKNOWN "unknown"

typedef struct CredsKeyType {
    uint8_t id[CREDS_KEY_ID_SIZE];
    const char *name;    /* as systemd-creds --with-key= calls it */
    bool null;           /* no key at all: anybody can make such a credential */
    bool needs_host_key; /* or it is not known whether it does */
    bool since_262;      /* no older systemd can read it */
} CredsKeyType;

/* Finds the credential of slot, borrowed, and the static description of what sealed it. A type of
 * key that this version does not know is left to systemd.
 * Returns -EBADMSG for what is no credential, -EKEYREJECTED for no key unless allow_null. */
int creds_blob_parse(json_object *slot, bool allow_null, const char **ret_credential,
                     const CredsKeyType **ret_type, char **reterr_detail) _must_check_;

/* Adds the members for a credential on one line. Returns errors as above, or -ENOMEM. */
int creds_blob_format(const char *credential, bool allow_null, json_object *slot,
                      char **reterr_detail) _must_check_;

/* The static name of what seals the slot, by its credential: the member "withKey" may have been
 * written by a version that did not know it. CREDS_KEY_UNKNOWN also where there is no credential.
 */
const char *creds_blob_key_name(json_object *slot);

/* Whether every slot of an array needs the host key, so that a store is lost with it. */
bool creds_blobs_need_host_key(json_object *slots);

/* What sealed the credential that a file has, Base64 or not; NULL for anything that is not known to
 * be a sealed credential. */
const CredsKeyType *creds_blob_find_key_type(const void *data, size_t size);
