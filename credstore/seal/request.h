/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/seal/helper.h"
#include "credstore/seal/seal-type.h"

/* A packed request: this, then the secret, then the slot as text. Both sides are one program. */
typedef struct RequestHead {
    uint32_t work;
    uint32_t flags;
    uint32_t pcrs;
    uint32_t closed_ways;
    uint64_t value;
    uint32_t secret_size;
    uint32_t n_known;
    Tpm2Counter counter;
    Tpm2Name known[STORE_SLOTS_MAX + 1];
    char bank[16];
    char with_key[32];
    char owner[TPM2_COUNTER_OWNER_SIZE];
} RequestHead;

/* A request as it was received. Borrows from head. */
typedef struct UnpackedRequest {
    RequestHead head;
    Tpm2Names known;
    SlotOptions options;
    Secret *secret;
    json_object *slot;
    const SlotType *type;
} UnpackedRequest;

/* Reads bytes that may be anything; *u is zero before, and needs seal_request_done() in any case.
 * Returns -EBADMSG if they are no packed request, or -ENOMEM. */
int seal_request_unpack(const uint8_t *data, size_t size, UnpackedRequest *u) _must_check_;
void seal_request_done(UnpackedRequest *u);

/* True if the work is that of a slot, else it is that of a counter. */
bool seal_request_is_of_slot(const RequestHead *h);
