/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"

/*
 * The members of a systemd-creds slot: "credential", the Base64 text of a systemd credential on one
 * line, and "withKey", the name of the key that sealed it, for people.
 */

/* Characters of a credential. A KEK with all additions of systemd for a TPM2 is below 4 KiB, and a
 * pipe, which must hold it, has at least 8 KiB. */
#define CREDS_TEXT_MAX ((size_t)8192)

/* The first 128 bits of a credential identify the kind of key that sealed it (systemd,
 * src/shared/creds-util.h). They are authenticated with the rest of it. */
#define CREDS_KEY_ID_SIZE 16
/* The name of a kind that this version does not know. */
#define CREDS_KEY_UNKNOWN "unknown"

typedef struct CredsKeyType {
    uint8_t id[CREDS_KEY_ID_SIZE];
    const char *name;    /* as systemd-creds --with-key= calls it */
    bool null;           /* no key at all: everyone can make such a credential */
    bool needs_host_key; /* also if that is unknown */
    bool since_262;      /* no older systemd can read it */
} CredsKeyType;

/* systemd takes a name that a file may have. */
#define CREDS_NAME_MAX 255

/* A credential to be unsealed. */
typedef struct CredsSealed {
    const char *name;
    const char *credential; /* Base64 on one line */
    bool null;              /* it is sealed with no key, and that is allowed */
    size_t min, max; /* of bytes that it may have; else -EBADMSG, from the program for more */
} CredsSealed;

/* Finds the credential of slot, borrowed, and the static description of the key that sealed it;
 * systemd decides about a kind that this version does not know. Returns -EBADMSG if there is no
 * credential, -EKEYREJECTED if it is sealed with no key, unless allow_null. */
int creds_blob_parse(json_object *slot, bool allow_null, const char **ret_credential,
                     const CredsKeyType **ret_type, char **reterr_detail) _must_check_;

/* Adds the members for a credential on one line. Returns the errors above, or -ENOMEM. */
int creds_blob_format(const char *credential, bool allow_null, json_object *slot,
                      char **reterr_detail) _must_check_;

/* Returns the static name of the key that seals the slot, from its credential, because an older
 * version may have written "withKey". CREDS_KEY_UNKNOWN also if there is no credential. */
const char *creds_blob_key_name(json_object *slot);

/* Whether every slot of an array needs the host key, so that the store is lost with it. */
bool creds_blobs_need_host_key(json_object *slots);

/* Returns the kind of key that sealed the content of a credential file, Base64 or not; NULL unless
 * it is known to be a sealed credential. */
const CredsKeyType *creds_blob_find_key_type(const void *data, size_t size);
