/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdint.h>

#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/creds/host-key.h"
#include "credstore/seal/seal-options.h"

/* Seals and unseals the KEK of a slot by systemd's Varlink service, or by its program. */

typedef struct Creds {
    const char *socket;     /* of io.systemd.Credentials; may be absent */
    const char *program;    /* systemd-creds; may be absent */
    HostKey host_key;       /* checked before either uses it */
    uint64_t deadline_usec; /* CLOCK_MONOTONIC, for both together */
} Creds;

/* Adds the members of a slot. Returns -EINVAL for an unknown options->with_key, -EKEYREJECTED if
 * the credential is sealed with no key and that is not allowed, or if systemd would delete the host
 * key (host_key_check()), -EBADMSG if systemd returns no credential, -ETIMEDOUT, -ENOMEM, or errors
 * of spawn_filter() and creds_service_encrypt(). */
int creds_seal(const Creds *creds, const Secret *kek, const SlotOptions *options, json_object *slot,
               char **reterr_detail) _must_check_;

/* Returns -EKEYREJECTED if neither opens it, or systemd would delete the host key, -EBADMSG if the
 * slot or its content is malformed, -ETIMEDOUT, -ENOMEM, or an error of spawn_filter(). */
int creds_unseal(const Creds *creds, json_object *slot, const SlotOptions *options, Secret **ret,
                 char **reterr_detail) _must_check_;

/* Unseals a credential that another program has made: name is its name, credential its Base64 text
 * on one line. *ret has 1 to max bytes. One that is sealed with no key is refused. Returns as
 * creds_unseal(). */
int creds_open(const Creds *creds, const char *name, const char *credential, size_t max,
               Secret **ret, char **reterr_detail) _must_check_;

/* The service and the program of this machine, with a deadline that begins now. */
Creds creds_of_system(void);
