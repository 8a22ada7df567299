/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "credstore/seal/limits.h"
#include "nvme-keyctl/pcrs.h"

/* The names of systemd 255 and newer. */
static const char *const names[TPM2_PCRS] = {
    [0] = "platform-code",
    [1] = "platform-config",
    [2] = "external-code",
    [3] = "external-config",
    [4] = "boot-loader-code",
    [5] = "boot-loader-config",
    [6] = "host-platform",
    [7] = "secure-boot-policy",
    [9] = "kernel-initrd",
    [10] = "ima",
    [11] = "kernel-boot",
    [12] = "kernel-config",
    [13] = "sysexts",
    [14] = "shim-policy",
    [15] = "system-identity",
    [16] = "debug",
    [23] = "application-support",
};

static int find_name(const char *word, size_t length)
{
    for (int i = 0; i < TPM2_PCRS; i++)
        if (names[i] && strlen(names[i]) == length && memcmp(names[i], word, length) == 0)
            return i;
    return -EINVAL;
}

static int parse_one(const char *word, size_t length)
{
    int n = 0;

    if (length == 0 || !isdigit((unsigned char)word[0]))
        return find_name(word, length);
    for (size_t i = 0; i < length; i++) {
        if (!isdigit((unsigned char)word[i]))
            return -EINVAL;
        n = 10 * n + (word[i] - '0');
        if (n >= TPM2_PCRS)
            return -EINVAL;
    }
    return n;
}

/* Names of the banks that a slot can be bound to. */
static const char *const banks[] = {"sha256", "sha384", "sha1"};

/* *bank: the one of the PCRs before, or NULL. */
static int parse_bank(const char *word, size_t length, const char **bank)
{
    for (size_t i = 0; i < ARRAY_SIZE(banks); i++)
        if (strlen(banks[i]) == length && memcmp(banks[i], word, length) == 0) {
            if (*bank && *bank != banks[i])
                return -EINVAL;
            *bank = banks[i];
            return 0;
        }
    return -EINVAL;
}

int pcrs_parse(const char *list, json_object **ret, const char **ret_bank)
{
    _cleanup_(json_putp) json_object *array = json_object_new_array();
    const char *next = *list ? list : NULL, *bank = NULL;

    if (!array)
        return -ENOMEM;
    while (next) {
        size_t length = strcspn(next, "+");
        size_t name = strcspn(next, "+:");
        int pcr = parse_one(next, name);

        if (pcr >= 0 && name < length && parse_bank(next + name + 1, length - name - 1, &bank) < 0)
            pcr = -EINVAL;
        if (pcr < 0)
            return pcr;
        if (json_append_take(array, json_object_new_int(pcr)) < 0)
            return -ENOMEM;
        next = next[length] ? next + length + 1 : NULL;
    }
    *ret = TAKE_PTR(array);
    *ret_bank = bank;
    return 0;
}
