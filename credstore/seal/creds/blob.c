/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/encoding.h"
#include "basic/json.h"
#include "credstore/seal/creds/blob.h"

/* Base64 of the smallest multiple of three bytes that holds an id. */
#define ID_TEXT_LENGTH 24
#define ID_DECODED_SIZE (ID_TEXT_LENGTH / 4 * 3)

/* Keys with a TPM2 come in two formats: systemd 262 and newer write the second one, which pins the
 * SRK, and older versions cannot read it. */
static const CredsKeyType key_types[] = {
    {.id = {0x5a, 0x1c, 0x6a, 0x86, 0xdf, 0x9d, 0x40, 0x96, 0xb1, 0xd5, 0xa6, 0x5e, 0x08, 0x62,
            0xf1, 0x9a},
     .name = "host",
     .needs_host_key = true},
    {.id = {0x0c, 0x7c, 0xc0, 0x7b, 0x11, 0x76, 0x45, 0x91, 0x9c, 0x4b, 0x0b, 0xea, 0x08, 0xbc,
            0x20, 0xfe},
     .name = "tpm2"},
    {.id = {0xfa, 0xf7, 0xeb, 0x93, 0x41, 0xe3, 0x41, 0x2c, 0xa1, 0xa4, 0x36, 0xf9, 0x5a, 0x29,
            0x36, 0x2f},
     .name = "tpm2-with-public-key"},
    {.id = {0x93, 0xa8, 0x94, 0x09, 0x48, 0x74, 0x44, 0x90, 0x90, 0xca, 0xf2, 0xfc, 0x93, 0xca,
            0xb5, 0x53},
     .name = "host+tpm2",
     .needs_host_key = true},
    {.id = {0xaf, 0x49, 0x50, 0xa8, 0x49, 0x13, 0x4e, 0xb1, 0xa7, 0x38, 0x46, 0x30, 0x4f, 0xf3,
            0x0c, 0x05},
     .name = "host+tpm2-with-public-key",
     .needs_host_key = true},
    {.id = {0xd4, 0x06, 0x2d, 0xfb, 0x71, 0xad, 0x4c, 0x86, 0x80, 0x4b, 0x40, 0xef, 0x11, 0x80,
            0xf1, 0xfc},
     .name = "tpm2",
     .since_262 = true},
    {.id = {0x5e, 0x2d, 0x5c, 0x76, 0x03, 0x72, 0x4e, 0xaf, 0x84, 0x3c, 0x6f, 0xb5, 0xf6, 0x40,
            0x98, 0xf5},
     .name = "tpm2-with-public-key",
     .since_262 = true},
    {.id = {0x14, 0x14, 0x25, 0x88, 0x18, 0xa2, 0x40, 0xcd, 0x90, 0x0b, 0xce, 0x86, 0x2d, 0xb5,
            0xc7, 0xb9},
     .name = "host+tpm2",
     .needs_host_key = true,
     .since_262 = true},
    {.id = {0xaf, 0xbf, 0xea, 0xac, 0xeb, 0x6a, 0x4a, 0x37, 0x95, 0x41, 0x9d, 0x13, 0x5c, 0x47,
            0xf3, 0x7b},
     .name = "host+tpm2-with-public-key",
     .needs_host_key = true,
     .since_262 = true},
    {.id = {0x05, 0x84, 0x69, 0xda, 0xf6, 0xf5, 0x43, 0x24, 0x80, 0x05, 0x49, 0xda, 0x0f, 0x8e,
            0xa2, 0xfb},
     .name = "null",
     .null = true},
};

static const CredsKeyType unknown_type = {.name = CREDS_KEY_UNKNOWN, .needs_host_key = true};

static const CredsKeyType *find_key_type(const uint8_t id[static CREDS_KEY_ID_SIZE])
{
    for (size_t i = 0; i < ARRAY_SIZE(key_types); i++)
        if (memcmp(id, key_types[i].id, CREDS_KEY_ID_SIZE) == 0)
            return &key_types[i];
    return &unknown_type;
}

/* Decodes the id at the beginning of the text of a credential. */
static bool decode_id(const char *text, size_t length, uint8_t ret[static ID_DECODED_SIZE])
{
    size_t n;

    return length > ID_TEXT_LENGTH &&
           base64_decode(text, ID_TEXT_LENGTH, ret, ID_DECODED_SIZE, &n) == 0 &&
           n == ID_DECODED_SIZE;
}

const CredsKeyType *creds_blob_find_key_type(const void *data, size_t size)
{
    uint8_t id[ID_DECODED_SIZE];
    const CredsKeyType *type = &unknown_type;

    if (decode_id(data, size, id))
        type = find_key_type(id);
    else if (size >= CREDS_KEY_ID_SIZE)
        type = find_key_type(data);
    return type == &unknown_type ? NULL : type;
}

static const CredsKeyType *key_of_slot(json_object *slot)
{
    uint8_t id[ID_DECODED_SIZE];
    const char *credential;

    if (json_get_string(slot, "credential", &credential) <= 0 ||
        !decode_id(credential, strlen(credential), id))
        return &unknown_type;
    return find_key_type(id);
}

const char *creds_blob_key_name(json_object *slot)
{
    return key_of_slot(slot)->name;
}

bool creds_blobs_need_host_key(json_object *slots)
{
    size_t n = json_object_array_length(slots);

    for (size_t i = 0; i < n; i++) {
        json_object *slot = json_object_array_get_idx(slots, i);
        const char *type = "";

        (void)json_get_string(slot, "type", &type);
        if (strcmp(type, "systemd-creds") != 0 || !key_of_slot(slot)->needs_host_key)
            return false;
    }
    return n > 0;
}

static int check_credential(const char *credential, bool allow_null, const CredsKeyType **ret,
                            char **reterr_detail)
{
    uint8_t id[ID_DECODED_SIZE];
    const CredsKeyType *type;
    size_t length = strlen(credential);

    if (length > CREDS_TEXT_MAX || !decode_id(credential, length, id))
        return detail_set(reterr_detail, -EBADMSG, "not a systemd credential");
    type = find_key_type(id);
    if (type->null && !allow_null)
        return detail_set(reterr_detail, -EKEYREJECTED,
                          "the credential is sealed with no key (null, tpm2-absent), "
                          "which is not allowed");

    *ret = type;
    return 0;
}

int creds_blob_parse(json_object *slot, bool allow_null, const char **ret_credential,
                     const CredsKeyType **ret_type, char **reterr_detail)
{
    const CredsKeyType *type = &unknown_type;
    const char *credential;
    int r;

    if (json_get_string(slot, "credential", &credential) <= 0)
        return detail_set(reterr_detail, -EBADMSG, "the slot has no credential");
    r = check_credential(credential, allow_null, &type, reterr_detail);
    if (r < 0)
        return r;

    *ret_credential = credential;
    *ret_type = type;
    return 0;
}

int creds_blob_format(const char *credential, bool allow_null, json_object *slot,
                      char **reterr_detail)
{
    const CredsKeyType *type = &unknown_type;
    int r = check_credential(credential, allow_null, &type, reterr_detail);

    if (r < 0)
        return r;
    r = json_add_string(slot, "credential", credential);
    if (r < 0)
        return r;
    return json_add_string(slot, "withKey", type->name);
}
