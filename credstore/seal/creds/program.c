/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/names.h"
#include "credstore/seal/creds/blob.h"
#include "credstore/seal/creds/program.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/spawn.h"

#define NAME_OPTION "--name=" NAMES_KEK_CREDENTIAL
/* "--with-key=" and the longest name. */
#define KEY_OPTION_SIZE 64

/* Joins the lines that systemd-creds prints; it reads the text either way. */
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

int creds_program_encrypt(const char *path, const Secret *kek, const char *with_key,
                          uint64_t deadline_usec, char **ret_credential, char **reterr_detail)
{
    char key_option[KEY_OPTION_SIZE];
    /* Without PCRs, so that this slot survives a firmware update. */
    const char *const argv[] = {path,           "encrypt", NAME_OPTION, key_option,
                                "--tpm2-pcrs=", "-",       "-",         NULL};
    _cleanup_(secret_freep) Secret *output = NULL;
    char *credential;
    int r;

    if (snprintf(key_option, sizeof(key_option), "--with-key=%s", with_key) >= KEY_OPTION_SIZE)
        return detail_set(reterr_detail, -EINVAL, "no such type of key");
    r = spawn_filter(argv, kek->data, kek->size, CREDS_TEXT_MAX, deadline_usec, &output,
                     reterr_detail);
    if (r == -EFBIG)
        return detail_set(reterr_detail, -EBADMSG, "%s printed more than a credential has", path);
    if (r < 0)
        return r;
    credential = join_lines(output);
    if (!credential)
        return -ENOMEM;

    *ret_credential = credential;
    return 0;
}

static int decrypt(const char *const argv[], const CredsSealed *sealed, uint64_t deadline_usec,
                   Secret **ret, char **reterr_detail)
{
    int r = spawn_filter(argv, sealed->credential, strlen(sealed->credential), sealed->max,
                         deadline_usec, ret, reterr_detail);

    if (r == -EFBIG)
        return detail_set(reterr_detail, -EBADMSG, "credential %s has more than %zu bytes",
                          sealed->name, sealed->max);
    return r;
}

int creds_program_decrypt(const char *path, const CredsSealed *sealed, uint64_t deadline_usec,
                          Secret **ret, char **reterr_detail)
{
    char name_option[sizeof("--name=") + CREDS_NAME_MAX];
    const char *const plain[] = {path, "decrypt", name_option, "-", "-", NULL};
    const char *const allowed[] = {path, "decrypt", name_option, "--allow-null", "-", "-", NULL};

    if (snprintf(name_option, sizeof(name_option), "--name=%s", sealed->name) >=
        (int)sizeof(name_option))
        return detail_set(reterr_detail, -EINVAL, "the name of the credential is too long");
    /* With a TPM2 and Secure Boot, systemd 256 and newer require the option. Older versions reject
     * it, so a second run without it yields their message about the credential itself. */
    if (sealed->null) {
        int r = decrypt(allowed, sealed, deadline_usec, ret, reterr_detail);

        if (r != -EREMOTEIO)
            return r;
    }
    return decrypt(plain, sealed, deadline_usec, ret, reterr_detail);
}
