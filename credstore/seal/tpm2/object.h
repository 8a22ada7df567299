/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdint.h>
#include <tss2/tss2_tpm2_types.h>

#include "basic/macro.h"

/* What a slot of type "tpm2" keeps. None of it is secret. */
typedef struct Tpm2Object {
    TPM2B_NAME srk_name; /* the one TPM that can unseal it */
    TPMI_ALG_HASH bank;  /* TPM2_ALG_NULL where it is bound to no PCR */
    uint32_t pcrs;       /* a bit for each */
    uint32_t unmeasured; /* those of them that nothing had been measured into; tells people */
    TPM2B_PUBLIC public;
    TPM2B_PRIVATE private;
} Tpm2Object;

/* What every sealed key has in common; its policy digest is empty. */
extern const TPM2B_PUBLIC tpm2_sealed_template;

/* The members of object are "srkName", "pcrs" (numbers, rising), unless that is empty "bank"
 * ("sha256", "sha384" or "sha1"), perhaps "unmeasured" (some of pcrs), "public" and "private"
 * (Base64 of TPM2B_PUBLIC and TPM2B_PRIVATE); others are not looked at. The policy of public is
 * empty (all zero) if and only if pcrs is. Returns -EBADMSG for anything that the formatter would
 * not have written. */
int tpm2_object_parse(json_object *object, Tpm2Object *ret) _must_check_;

/* Adds them to object. Returns -ENOMEM, or -EINVAL when sealed is none that can be parsed again. */
int tpm2_object_format(const Tpm2Object *sealed, json_object *object) _must_check_;
