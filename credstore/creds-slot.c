/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "basic/encoding.h"
#include "basic/json.h"
#include "credstore/creds-slot.h"
#include "credstore/detail.h"

/* The first 128 bits of a credential tell what sealed it (systemd, src/shared/creds-util.h). They
 * are authenticated with the rest of it. */
#define KEY_TYPE_SIZE 16
/* Base64 of the smallest multiple of three bytes that holds them. */
#define KEY_TYPE_LENGTH 24

typedef struct KeyType {
    uint8_t id[KEY_TYPE_SIZE];
    const char *name; /* as systemd-creds --with-key= calls it */
    bool null;
} KeyType;

static const KeyType key_types[] = {
    {{0x5a, 0x1c, 0x6a, 0x86, 0xdf, 0x9d, 0x40, 0x96, 0xb1, 0xd5, 0xa6, 0x5e, 0x08, 0x62, 0xf1,
      0x9a},
     "host",
     false},
    {{0x0c, 0x7c, 0xc0, 0x7b, 0x11, 0x76, 0x45, 0x91, 0x9c, 0x4b, 0x0b, 0xea, 0x08, 0xbc, 0x20,
      0xfe},
     "tpm2",
     false},
    {{0xfa, 0xf7, 0xeb, 0x93, 0x41, 0xe3, 0x41, 0x2c, 0xa1, 0xa4, 0x36, 0xf9, 0x5a, 0x29, 0x36,
      0x2f},
     "tpm2-with-public-key",
     false},
    {{0x93, 0xa8, 0x94, 0x09, 0x48, 0x74, 0x44, 0x90, 0x90, 0xca, 0xf2, 0xfc, 0x93, 0xca, 0xb5,
      0x53},
     "host+tpm2",
     false},
    {{0xaf, 0x49, 0x50, 0xa8, 0x49, 0x13, 0x4e, 0xb1, 0xa7, 0x38, 0x46, 0x30, 0x4f, 0xf3, 0x0c,
      0x05},
     "host+tpm2-with-public-key",
     false},
    {{0x05, 0x84, 0x69, 0xda, 0xf6, 0xf5, 0x43, 0x24, 0x80, 0x05, 0x49, 0xda, 0x0f, 0x8e, 0xa2,
      0xfb},
     "null",
     true},
};

static const KeyType unknown_type = {.name = "unknown"};

static const KeyType *find_key_type(const uint8_t id[static KEY_TYPE_SIZE])
{
    for (size_t i = 0; i < ARRAY_SIZE(key_types); i++)
        if (memcmp(id, key_types[i].id, KEY_TYPE_SIZE) == 0)
            return &key_types[i];
    return &unknown_type;
}

static int check_credential(const char *credential, bool allow_null, const KeyType **ret,
                            char **reterr_detail)
{
    uint8_t head[KEY_TYPE_LENGTH / 4 * 3];
    const KeyType *type;
    size_t n, length = strlen(credential);

    if (length <= KEY_TYPE_LENGTH || length > CREDS_TEXT_MAX ||
        base64_decode(credential, KEY_TYPE_LENGTH, head, sizeof(head), &n) < 0 || n != sizeof(head))
        return detail_set(reterr_detail, -EBADMSG, "not a systemd credential");
    type = find_key_type(head);
    if (type->null && !allow_null)
        return detail_set(reterr_detail, -EKEYREJECTED,
                          "the credential is sealed with no key (null, tpm2-absent), "
                          "which is not allowed");

    *ret = type;
    return 0;
}

int creds_slot_parse(json_object *slot, bool allow_null, const char **ret_credential,
                     bool *ret_null, char **reterr_detail)
{
    const KeyType *type = &unknown_type;
    const char *credential;
    int r;

    if (json_get_string(slot, "credential", &credential) <= 0)
        return detail_set(reterr_detail, -EBADMSG, "the slot has no credential");
    r = check_credential(credential, allow_null, &type, reterr_detail);
    if (r < 0)
        return r;

    *ret_credential = credential;
    *ret_null = type->null;
    return 0;
}

int creds_slot_format(const char *credential, bool allow_null, json_object *slot,
                      char **reterr_detail)
{
    const KeyType *type = &unknown_type;
    int r = check_credential(credential, allow_null, &type, reterr_detail);

    if (r < 0)
        return r;
    r = json_add_string(slot, "credential", credential);
    if (r < 0)
        return r;
    return json_add_string(slot, "withKey", type->name);
}
