/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "build-config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "basic/encoding.h"
#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "basic/names.h"
#include "credstore/detail.h"
#include "credstore/slot.h"
#include "credstore/spawn.h"

/* The KEK is a credential of systemd, sealed by systemd-creds with the host key, a TPM2 or both. */

/* Characters of a credential: a KEK with everything systemd adds for a TPM2 is below 4 KiB. It must
 * fit into a pipe, which has at least 8 KiB. */
#define CREDENTIAL_MAX ((size_t)8192)

/* The first 128 bits of a credential tell what sealed it (systemd, src/shared/creds-util.h). */
#define KEY_TYPE_SIZE 16
/* Base64 of the smallest multiple of three bytes that holds them. */
#define KEY_TYPE_LENGTH 24

#define NAME_OPTION "--name=" NAMES_KEK_CREDENTIAL

typedef struct KeyType {
    uint8_t id[KEY_TYPE_SIZE];
    const char *name; /* as systemd-creds --with-key= calls it, NULL: anybody can make one */
} KeyType;

static const KeyType key_types[] = {
    {{0x5a, 0x1c, 0x6a, 0x86, 0xdf, 0x9d, 0x40, 0x96, 0xb1, 0xd5, 0xa6, 0x5e, 0x08, 0x62, 0xf1,
      0x9a},
     "host"},
    {{0x0c, 0x7c, 0xc0, 0x7b, 0x11, 0x76, 0x45, 0x91, 0x9c, 0x4b, 0x0b, 0xea, 0x08, 0xbc, 0x20,
      0xfe},
     "tpm2"},
    {{0xfa, 0xf7, 0xeb, 0x93, 0x41, 0xe3, 0x41, 0x2c, 0xa1, 0xa4, 0x36, 0xf9, 0x5a, 0x29, 0x36,
      0x2f},
     "tpm2-with-public-key"},
    {{0x93, 0xa8, 0x94, 0x09, 0x48, 0x74, 0x44, 0x90, 0x90, 0xca, 0xf2, 0xfc, 0x93, 0xca, 0xb5,
      0x53},
     "host+tpm2"},
    {{0xaf, 0x49, 0x50, 0xa8, 0x49, 0x13, 0x4e, 0xb1, 0xa7, 0x38, 0x46, 0x30, 0x4f, 0xf3, 0x0c,
      0x05},
     "host+tpm2-with-public-key"},
    /* tpm2-absent, called null since systemd 256. */
    {{0x05, 0x84, 0x69, 0xda, 0xf6, 0xf5, 0x43, 0x24, 0x80, 0x05, 0x49, 0xda, 0x0f, 0x8e, 0xa2,
      0xfb},
     NULL},
};

/* Returns -EBADMSG for what is no credential, -EKEYREJECTED for one without a key. A type that this
 * version does not know is left to systemd-creds; its name is "unknown". */
static int find_key_type(const char *credential, const char **ret_name, char **reterr_detail)
{
    uint8_t head[KEY_TYPE_LENGTH / 4 * 3];
    size_t n;

    if (strlen(credential) <= KEY_TYPE_LENGTH ||
        base64_decode(credential, KEY_TYPE_LENGTH, head, sizeof(head), &n) < 0 || n != sizeof(head))
        return detail_set(reterr_detail, -EBADMSG, "not a systemd credential");

    *ret_name = "unknown";
    for (size_t i = 0; i < ARRAY_SIZE(key_types); i++)
        if (memcmp(head, key_types[i].id, KEY_TYPE_SIZE) == 0) {
            if (!key_types[i].name)
                return detail_set(reterr_detail, -EKEYREJECTED,
                                  "the credential is sealed with no key (null, tpm2-absent)");
            *ret_name = key_types[i].name;
        }
    return 0;
}

static int usable(void)
{
    return access(SYSTEMD_CREDS_PATH, X_OK) < 0 ? -errno : 0;
}

static int run(const char *const argv[], const void *input, size_t size, size_t output_max,
               Secret **ret, char **reterr_detail)
{
    return spawn_filter(argv, input, size, output_max, now_monotonic() + SEAL_TIMEOUT_USEC, ret,
                        reterr_detail);
}

/* The text of a credential on one line: systemd-creds breaks it and reads it either way. */
static char *join_lines(const Secret *text)
{
    char *joined = malloc(text->size + 1), *p = joined;

    if (!joined)
        return NULL;
    for (size_t i = 0; i < text->size; i++)
        if (text->data[i] != '\n')
            *p++ = (char)text->data[i];
    *p = '\0';
    return joined;
}

static int seal(const Secret *kek, _unused_ const SlotOptions *options, json_object *slot, char **reterr_detail)
{
    /* Without PCRs: one slot has to survive a firmware update. */
    static const char *const argv[] = {
        SYSTEMD_CREDS_PATH, "encrypt", NAME_OPTION, "--with-key=auto",
        "--tpm2-pcrs=",     "-",       "-",         NULL};
    _cleanup_(secret_freep) Secret *output = NULL;
    _cleanup_(freep) char *credential = NULL;
    const char *key_type;
    int r;

    r = run(argv, kek->data, kek->size, CREDENTIAL_MAX, &output, reterr_detail);
    if (r < 0)
        return r;
    credential = join_lines(output);
    if (!credential)
        return -ENOMEM;
    r = find_key_type(credential, &key_type, reterr_detail);
    if (r < 0)
        return r;
    r = json_add_string(slot, "credential", credential);
    if (r < 0)
        return r;
    return json_add_string(slot, "withKey", key_type);
}

/* Reads the credential that the service manager has unsealed for the unit. Returns -ENOENT. */
static int read_given(Secret **ret)
{
    const char *dir = secure_getenv("CREDENTIALS_DIRECTORY");
    _cleanup_(closep) int dirfd = -EBADF, fd = -EBADF;

    if (!dir)
        return -ENOENT;
    dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return -errno;
    fd = openat(dirfd, NAMES_KEK_CREDENTIAL, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
    if (fd < 0)
        return -errno;
    return secret_read_fd(fd, STORE_KEY_SIZE, 0, ret);
}

static int decrypt(json_object *slot, Secret **ret, char **reterr_detail)
{
    static const char *const argv[] = {SYSTEMD_CREDS_PATH, "decrypt", NAME_OPTION, "-", "-", NULL};
    const char *credential, *key_type;
    int r;

    if (json_get_string(slot, "credential", &credential) <= 0 ||
        strlen(credential) > CREDENTIAL_MAX)
        return detail_set(reterr_detail, -EBADMSG, "the slot has no credential");
    /* Anybody could have made one without a key, and a store to go with it. */
    r = find_key_type(credential, &key_type, reterr_detail);
    if (r < 0)
        return r;
    r = run(argv, credential, strlen(credential), STORE_KEY_SIZE, ret, reterr_detail);
    /* No such program, none that may be run, or one that says no. */
    return r == -EREMOTEIO || r == -ENOENT || r == -EACCES ? -EKEYREJECTED : r;
}

static int unseal(json_object *slot, _unused_ const SlotOptions *options, Secret **ret_kek, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *kek = NULL;
    int r = read_given(&kek);

    if (r == -ENOENT)
        r = decrypt(slot, &kek, reterr_detail);
    else if (r < 0)
        return detail_set(reterr_detail, r, "credential " NAMES_KEK_CREDENTIAL ": %s",
                          strerror(-r));
    if (!kek)
        return r;
    if (kek->size != STORE_KEY_SIZE)
        return detail_set(reterr_detail, -EBADMSG,
                          "credential " NAMES_KEK_CREDENTIAL " has %zu bytes, not %d", kek->size,
                          STORE_KEY_SIZE);

    *ret_kek = TAKE_PTR(kek);
    return 0;
}

const SlotType slot_systemd_creds = {
    .name = "systemd-creds",
    .usable = usable,
    .seal = seal,
    .unseal = unseal,
};
