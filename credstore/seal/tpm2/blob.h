/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"

/* Data from a TPM, none of it secret, as Base64 in a member of a JSON object. */

/* The largest: twice the size of a sealed key of 32 bytes. */
#define TPM2_BLOB_MAX ((size_t)512)

/* Reads 1 to capacity bytes. Returns -EBADMSG. */
int tpm2_blob_get(json_object *object, const char *key, uint8_t *ret, size_t capacity,
                  size_t *ret_size) _must_check_;

/* Adds size bytes, at most TPM2_BLOB_MAX. Returns -EINVAL for more or none, -ENOMEM. */
int tpm2_blob_add(json_object *object, const char *key, const uint8_t *data, size_t size)
    _must_check_;
