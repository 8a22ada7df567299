/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/encoding.h"
#include "basic/json.h"
#include "credstore/seal/tpm2/blob.h"

int tpm2_blob_get(json_object *object, const char *key, uint8_t *ret, size_t capacity,
                  size_t *ret_size)
{
    const char *text;
    size_t size;

    if (json_get_string(object, key, &text) <= 0 ||
        base64_decode(text, strlen(text), ret, capacity, &size) < 0 || size == 0)
        return -EBADMSG;
    *ret_size = size;
    return 0;
}

int tpm2_blob_add(json_object *object, const char *key, const uint8_t *data, size_t size)
{
    char text[BASE64_LENGTH(TPM2_BLOB_MAX) + 1];

    if (size == 0 || size > TPM2_BLOB_MAX)
        return -EINVAL;
    base64_encode(data, size, text);
    return json_add_string(object, key, text);
}
