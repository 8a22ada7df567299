/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdint.h>
#include <tss2/tss2_tpm2_types.h>

#include "basic/macro.h"

/* The members of a tpm2 slot. None is secret. */
typedef struct Tpm2Object {
    TPM2B_NAME srk_name; /* identifies the one TPM that can unseal it */
    TPMI_ALG_HASH bank;  /* TPM2_ALG_NULL if it is bound to no PCR */
    uint32_t pcrs;       /* a bit for each */
    uint32_t unmeasured; /* those of them that nothing had been measured into; for people */
    TPM2B_PUBLIC public;
    TPM2B_PRIVATE private;
} Tpm2Object;

/* The template of every sealed key; its policy digest is empty. */
extern const TPM2B_PUBLIC tpm2_sealed_template;

/* Parses the members of object: "srkName"; "pcrs" (rising numbers); "bank" ("sha256", "sha384" or
 * "sha1"), unless pcrs is empty; optionally "unmeasured" (some of pcrs); "public" and "private"
 * (Base64 of TPM2B_PUBLIC and TPM2B_PRIVATE). Ignores others. The policy of public is empty (all
 * zero) if and only if pcrs is. Returns -EBADMSG for anything that tpm2_object_format() would not
 * write. */
int tpm2_object_parse(json_object *object, Tpm2Object *ret) _must_check_;

/* Adds these members to object. Returns -ENOMEM, or -EINVAL if they could not be parsed again. */
int tpm2_object_format(const Tpm2Object *sealed, json_object *object) _must_check_;
