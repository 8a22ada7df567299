/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>

#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/seal-options.h"

/*
 * A slot type seals the key-encryption key (KEK) of a slot, which wraps the store key. Each type is
 * one file. It adds the members that it needs to unseal to the slot's JSON object in the header.
 */
typedef struct SlotType {
    const char *name;
    /* Whether this machine can seal with it now: 0 or a negative errno with a reason. NULL: a new
     * store gets no such slot by itself. */
    int (*usable)(void);
    /* Seals kek and adds the members needed to unseal it to slot. */
    int (*seal)(const Secret *kek, const SlotOptions *options, json_object *slot,
                char **reterr_detail);
    /* Unseals the KEK. Uses only the options that limit how a store opens. Returns -EKEYREJECTED if
     * the slot cannot be opened on this machine, -EBADMSG if its members are malformed, -EXDEV if
     * options->closed_ways has its way, -ETIMEDOUT past SEAL_TIMEOUT_USEC. */
    int (*unseal)(json_object *slot, const SlotOptions *options, Secret **ret_kek,
                  char **reterr_detail);
} SlotType;

extern const SlotType slot_systemd_creds;
extern const SlotType slot_recovery;
/* Without the build option tpm2 a fallback replaces it, which is never usable. */
extern const SlotType slot_tpm2;

/* The types in the order in which sealing and unsealing try them; ends with NULL. */
extern const SlotType *const slot_types[];
