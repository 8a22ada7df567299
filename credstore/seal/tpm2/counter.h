/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/tpm2/name.h"

/*
 * The rollback counter: a counter in the memory of the TPM that only rises, which distinguishes an
 * old copy of a store from the current one. Needs no header of the TSS; without the tpm2 option
 * counter-none.c replaces it.
 *
 * Reading and incrementing need its password, 32 bytes, in a session salted to the storage root
 * key: so a returned value is current, and comes from the very TPM that made the counter. The owner
 * of the TPM can remove the counter. A replacement has another password, and a TPM starts each new
 * counter above all that it ever had.
 *
 * Each call is one conversation with the TPM, and blocks as context.h describes.
 */

/* The indices of counters, within the range that the TCG leaves to the owner of the TPM (0x01800000
 * to 0x01bfffff). */
#define TPM2_COUNTER_FIRST UINT32_C(0x01a00000)
#define TPM2_COUNTER_LAST UINT32_C(0x01a0ffff)

/* The members of a counter that a store keeps. None is secret. */
typedef struct Tpm2Counter {
    uint32_t index;
    Tpm2Name name;     /* of the index: SHA-256 of its public area, which has a random part */
    Tpm2Name srk_name; /* identifies its TPM */
} Tpm2Counter;

/* The owner of a counter: the identity of its store (store.h). */
#define TPM2_COUNTER_OWNER_SIZE 33

typedef struct Tpm2CounterMark {
    uint32_t index;
    char owner[TPM2_COUNTER_OWNER_SIZE];
} Tpm2CounterMark;

/* A counter before it is made. The first increment changes its name. With both names,
 * tpm2_counter_remove() can remove the counter at any moment. */
typedef struct Tpm2CounterPlan {
    Tpm2Counter counter;
    Tpm2Counter unwritten; /* the same before the first increment */
    uint64_t nonce;        /* the random part of the names */
} Tpm2CounterPlan;

/* Chooses the index and the names of a counter of the store owner, in the TPM whose storage root
 * key has the name srk_name. Does not talk to the TPM. Returns -EINVAL (owner is no identity),
 * -EOPNOTSUPP, -EIO. */
int tpm2_counter_plan(const Tpm2Name *srk_name, const char owner[static TPM2_COUNTER_OWNER_SIZE],
                      Tpm2CounterPlan *ret) _must_check_;

/* Makes a planned counter with auth as its password, and increments it once, because it has no
 * value before. Removes it again on failure. *reterr_detail, here and below, if not NULL, gets a
 * line for people about the failure, to be freed. Returns -EINVAL (auth is not of STORE_KEY_SIZE),
 * -EADDRINUSE (its index is taken: plan another), -ENODEV (no TPM), -EACCES, -EKEYREJECTED (another
 * TPM, or the owner hierarchy has a password), -ENOSPC (no room in the TPM), -EBUSY (it limits
 * writing), -ETIMEDOUT, -ENOMEM, -EOPNOTSUPP, -EIO. */
int tpm2_counter_create(const Tpm2Counter *planned, uint64_t nonce,
                        const char owner[static TPM2_COUNTER_OWNER_SIZE], const Secret *auth,
                        char **reterr_detail) _must_check_;

/* Finds a counter of another store than owner. The result is not authentic: the owner of the TPM,
 * and an attacker on its bus, can hide or forge one. Returns -ENOENT, or an error of the TPM. */
int tpm2_counter_find_other(const char owner[static TPM2_COUNTER_OWNER_SIZE], Tpm2CounterMark *ret,
                            char **reterr_detail) _must_check_;

/* Removes a counter of any store. Returns -ENOENT if there is none at index, -EKEYREJECTED if the
 * owner hierarchy has a password. */
int tpm2_counter_remove_marked(uint32_t index, char **reterr_detail) _must_check_;

/* Reads the counter. Returns -EKEYREJECTED if this is another TPM, the counter is gone or another
 * one has its index, or auth is wrong; else as tpm2_counter_create(). */
int tpm2_counter_read(const Tpm2Counter *counter, const Secret *auth, uint64_t *ret_value,
                      char **reterr_detail) _must_check_;

/* Adds one and reads the result. After an error it is unknown whether one was added. A write wears
 * the memory of the TPM, and takes up to a second on some. Errors as tpm2_counter_read(). */
int tpm2_counter_increment(const Tpm2Counter *counter, const Secret *auth, uint64_t *ret_value,
                           char **reterr_detail) _must_check_;

/* Removes the counter for good, without its password, but no other one at its index. Returns
 * -ENOENT where the TPM no longer has it, -EKEYREJECTED for another TPM, or if the owner hierarchy
 * has a password; else as tpm2_counter_read(). */
int tpm2_counter_remove(const Tpm2Counter *counter, char **reterr_detail) _must_check_;

/* Parses the members "nvIndex" (a number), "nvName" and "srkName" (Base64) of object; ignores
 * others. Returns -EBADMSG for anything that tpm2_counter_format() would not write. Both work
 * without a TPM and without the tpm2 option. */
int tpm2_counter_parse(json_object *object, Tpm2Counter *ret) _must_check_;

/* Adds these members to object. Returns -ENOMEM, or -EINVAL if they could not be parsed again. */
int tpm2_counter_format(const Tpm2Counter *counter, json_object *object) _must_check_;
