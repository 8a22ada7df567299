/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/tpm2/name.h"

/*
 * A counter in the TPM's own memory that only ever rises, for telling an old copy of something from
 * the current one. Needs no header of the TSS; without the tpm2 option a fallback stands in.
 *
 * It is read and incremented by who knows its password, 32 bytes, in a session salted to the
 * storage root key: so a value that is returned comes from the very TPM that made the counter, and
 * is of now. The owner of the TPM can remove it. One that somebody else makes in its place has
 * another password, and a TPM starts each new counter above all that it ever had.
 *
 * Each call is one conversation with the TPM, and blocks as tpm2-context.h says.
 */

/* Where counters are, in what the TCG leaves to the owner of the TPM (0x01800000 to 0x01bfffff). */
#define TPM2_COUNTER_FIRST UINT32_C(0x01a00000)
#define TPM2_COUNTER_LAST UINT32_C(0x01a0ffff)

/* What is to be kept of a counter. None of it is secret. */
typedef struct Tpm2Counter {
    uint32_t index;
    Tpm2Name name;     /* of the index: SHA-256 of its public area, which has a random part */
    Tpm2Name srk_name; /* the one TPM that has it */
} Tpm2Counter;

/* What tells whose counter it is: the identity of its store (store.h). */
#define TPM2_COUNTER_OWNER_SIZE 33

typedef struct Tpm2CounterMark {
    uint32_t index;
    char owner[TPM2_COUNTER_OWNER_SIZE];
} Tpm2CounterMark;

/* Makes a counter of the store owner in the TPM whose storage root key has the name srk_name, under
 * a free index, with auth as its password, and increments it once, before which it has no value.
 * *reterr_detail, here and below, if not NULL, gets a line for people about the failure, to be
 * freed. What was made is removed again on failure. Returns -EINVAL (auth is not of
 * STORE_KEY_SIZE), -ENODEV (no TPM), -EACCES, -EKEYREJECTED (another TPM, or the owner hierarchy
 * has a password), -ENOSPC (no room in the TPM), -EBUSY (it limits writing), -ETIMEDOUT, -ENOMEM,
 * -EOPNOTSUPP, -EIO. */
int tpm2_counter_create(const Tpm2Name *srk_name, const char owner[static TPM2_COUNTER_OWNER_SIZE],
                        const Secret *auth, Tpm2Counter *ret, char **reterr_detail) _must_check_;

/* Finds a counter that was made as above for another store than owner. Nothing of it is authentic:
 * the owner of the TPM, and whatever is on its bus, can hide one, or make one up. Returns -ENOENT,
 * or an error of the TPM. */
int tpm2_counter_find_other(const char owner[static TPM2_COUNTER_OWNER_SIZE], Tpm2CounterMark *ret,
                            char **reterr_detail) _must_check_;

/* Removes a counter that was made as above, whosever it is. Returns -ENOENT where there is no such
 * one, -EKEYREJECTED when the owner hierarchy has a password. */
int tpm2_counter_remove_marked(uint32_t index, char **reterr_detail) _must_check_;

/* Returns -EKEYREJECTED when this is another TPM, the counter is gone or another one has its index,
 * or auth is wrong; else as before. */
int tpm2_counter_read(const Tpm2Counter *counter, const Secret *auth, uint64_t *ret_value,
                      char **reterr_detail) _must_check_;

/* Adds one and reads the result. On an error it is unknown whether one was added. Writing wears the
 * TPM's memory, and takes up to a second on some. Errors as above. */
int tpm2_counter_increment(const Tpm2Counter *counter, const Secret *auth, uint64_t *ret_value,
                           char **reterr_detail) _must_check_;

/* Removes it for good. Takes no password, but nothing else is removed. Errors as above,
 * -EKEYREJECTED also when the owner hierarchy has a password. */
int tpm2_counter_remove(const Tpm2Counter *counter, char **reterr_detail) _must_check_;

/* The members of object are "nvIndex" (a number), "nvName" and "srkName" (Base64); others are not
 * looked at. Returns -EBADMSG for anything that the formatter would not have written. These two
 * work without a TPM and without the tpm2 option. */
int tpm2_counter_parse(json_object *object, Tpm2Counter *ret) _must_check_;

/* Adds them to object. Returns -ENOMEM, or -EINVAL when counter is none that can be parsed again.
 */
int tpm2_counter_format(const Tpm2Counter *counter, json_object *object) _must_check_;
