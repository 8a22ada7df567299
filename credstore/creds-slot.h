/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "basic/macro.h"

/*
 * What a slot of type systemd-creds has of its own in the header: "credential", the Base64 text of
 * a systemd credential on one line, and "withKey", which tells people what sealed it.
 */

/* Characters of a credential: a KEK with everything systemd adds for a TPM2 is below 4 KiB. It must
 * fit into a pipe, which has at least 8 KiB. */
#define CREDS_TEXT_MAX ((size_t)8192)

/* Finds the credential of slot, borrowed, and whether it is sealed with no key: anybody can make
 * such a credential, and a store that opens with it. A type of key that this version does not know
 * is left to systemd.
 * Returns -EBADMSG for what is no credential, -EKEYREJECTED for no key unless allow_null. */
int creds_slot_parse(json_object *slot, bool allow_null, const char **ret_credential,
                     bool *ret_null, char **reterr_detail) _must_check_;

/* Adds the members for a credential on one line. Returns errors as above, or -ENOMEM. */
int creds_slot_format(const char *credential, bool allow_null, json_object *slot,
                      char **reterr_detail) _must_check_;
