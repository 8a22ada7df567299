/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>

#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/seal-options.h"

/*
 * A slot type seals the key-encryption key (KEK) of a slot, which wraps the store key. Each type is
 * one file; what it needs to unseal is its own members of the slot's JSON object in the header.
 */
typedef struct SlotType {
    const char *name;
    /* Whether this machine can seal with it now: 0 or a negative errno with a reason. NULL: not
     * without somebody who asks for it. */
    int (*usable)(void);
    /* Seals kek and adds the members needed to unseal it to slot. */
    int (*seal)(const Secret *kek, const SlotOptions *options, json_object *slot,
                char **reterr_detail);
    /* Unseals the KEK; of the options it heeds what may open a store at all. Returns -EKEYREJECTED
     * when the slot cannot be opened on this machine, -EBADMSG when its members make no sense,
     * -EXDEV when options->closed_ways has the way that it would take, -ETIMEDOUT past
     * SEAL_TIMEOUT_USEC. */
    int (*unseal)(json_object *slot, const SlotOptions *options, Secret **ret_kek,
                  char **reterr_detail);
} SlotType;

extern const SlotType slot_systemd_creds;
extern const SlotType slot_recovery;
/* Without the tpm2 option a fallback stands in, which is never usable. */
extern const SlotType slot_tpm2;

/* The types in the order in which sealing and unsealing try them; ends with NULL. */
extern const SlotType *const slot_types[];
