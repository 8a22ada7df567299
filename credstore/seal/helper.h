/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>

#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/seal-options.h"
#include "credstore/seal/tpm2/counter.h"

/*
 * A request is work that waits for a TPM or for systemd-creds, packed so that another process of
 * this program can carry it out: a slot type seals or unseals a key-encryption key (KEK), or a
 * counter of the TPM is changed. It has that KEK, or that counter's password, and no other secret.
 */
typedef enum SealWork {
    SEAL_WORK_SEAL,           /* KEK into a slot; output: the slot as JSON */
    SEAL_WORK_SEAL_IF_USABLE, /* the same; -ENODEV if this machine lacks the device or service */
    SEAL_WORK_UNSEAL,         /* output: the KEK */
    SEAL_WORK_COUNTER_CREATE, /* output: a SealedCounter */
    SEAL_WORK_COUNTER_READ,   /* output: a uint64_t */
    SEAL_WORK_COUNTER_COUNT,  /* increments it if it is below a value; output: a uint64_t */
    SEAL_WORK_COUNTER_REMOVE,
    SEAL_WORK_COUNTER_REMOVE_MARKED,
    SEAL_WORK_COUNTER_FIND_OTHER, /* output: a Tpm2CounterMark */
    SEAL_WORKS
} SealWork;

typedef struct SealedCounter {
    Tpm2Counter counter;
    uint64_t value;
} SealedCounter;

/* The parts of a request. A part that the work does not need is zero or NULL. */
typedef struct SealRequest {
    SealWork work;
    SlotOptions options;
    json_object *slot;    /* has a type and an id at least */
    const Secret *secret; /* a KEK, or the password of a counter */
    Tpm2Counter counter;  /* to create one: the planned one; to remove a marked one: its index */
    uint64_t value;       /* to count up to; to create one: the nonce of its plan */
    char owner[TPM2_COUNTER_OWNER_SIZE];
} SealRequest;

/* Larger than any slot; a pipe takes a request of this size at once. */
#define SEAL_REQUEST_MAX ((size_t)48 * 1024)

/* Packs a request. Returns -E2BIG, -ENOMEM. */
int seal_request_pack(const SealRequest *request, Secret **ret) _must_check_;

/* Carries out a packed request; any bytes are safe. Returns -EBADMSG for malformed ones, or an
 * error of SlotType or tpm2/counter.h; with a detail that names the type of a slot. *ret_output is
 * NULL if there is none. */
int seal_work(const void *request, size_t size, Secret **ret_output, char **reterr_detail)
    _must_check_;
