/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/names.h"
#include "credstore/seal/creds/blob.h"
#include "credstore/seal/creds/creds.h"
#include "credstore/seal/creds/program.h"
#include "credstore/seal/creds/service.h"
#include "credstore/seal/limits.h"

#define WITH_KEY_DEFAULT "auto"

/* The values of systemd-creds --with-key=, from 252 to 262. If a value has two names, all versions
 * take the older one. */
typedef struct WithKey {
    const char *name;
    const char *passed;
    bool null;
    bool needs_host_key;
} WithKey;

static const WithKey with_keys[] = {
    {WITH_KEY_DEFAULT, WITH_KEY_DEFAULT, false, true},
    {"auto-initrd", "auto-initrd", false, false},
    {"host", "host", false, true},
    {"tpm2", "tpm2", false, false},
    {"tpm2-with-public-key", "tpm2-with-public-key", false, false},
    {"host+tpm2", "host+tpm2", false, true},
    {"tpm2+host", "host+tpm2", false, true},
    {"host+tpm2-with-public-key", "host+tpm2-with-public-key", false, true},
    {"tpm2-with-public-key+host", "host+tpm2-with-public-key", false, true},
    {"null", "tpm2-absent", true, false},
    {"tpm2-absent", "tpm2-absent", true, false},
};

static int find_with_key(const SlotOptions *options, const WithKey **ret, char **reterr_detail)
{
    const char *name = options->with_key ? options->with_key : WITH_KEY_DEFAULT;

    for (size_t i = 0; i < ARRAY_SIZE(with_keys); i++) {
        if (strcmp(name, with_keys[i].name) != 0)
            continue;
        if (with_keys[i].null && !options->allow_null_key)
            return detail_set(reterr_detail, -EKEYREJECTED,
                              "key type %s is no key at all, which is not allowed", name);
        *ret = &with_keys[i];
        return 0;
    }
    return detail_set(reterr_detail, -EINVAL,
                      "no such type of key: use auto, auto-initrd, host, tpm2, host+tpm2, "
                      "tpm2-with-public-key, host+tpm2-with-public-key or null");
}

/* Joins the details of both ways in one line; first may be NULL. */
static int join_details(int error, const char *first, const char *second, char **reterr_detail)
{
    if (error == -ETIMEDOUT)
        second = "systemd did not answer in time";
    if (!second)
        second = strerror(-error);
    return detail_set(reterr_detail, error, "%s%s%s", first ? first : "", first ? "; " : "",
                      second);
}

static bool is_final(int r)
{
    return r == 0 || r == -ETIMEDOUT || r == -ENOMEM;
}

/* Tries the program first, because only it takes a choice of key and leaves the PCRs out. */
static int encrypt(const Creds *creds, const Secret *kek, const char *with_key,
                   char **ret_credential, char **reterr_detail)
{
    _cleanup_(freep) char *by_program = NULL, *by_service = NULL;
    int r = creds_program_encrypt(creds->program, kek, with_key, creds->deadline_usec,
                                  ret_credential, &by_program),
        q;

    if (is_final(r) || strcmp(with_key, WITH_KEY_DEFAULT) != 0)
        return r == 0 ? 0 : join_details(r, NULL, by_program, reterr_detail);
    q = creds_service_encrypt(creds->socket, kek, creds->deadline_usec, ret_credential,
                              &by_service);
    if (q == 0)
        return 0;
    if (q == -EOPNOTSUPP && !by_service)
        return join_details(r, NULL, by_program, reterr_detail);
    return join_details(q, by_program, by_service, reterr_detail);
}

int creds_seal(const Creds *creds, const Secret *kek, const SlotOptions *options, json_object *slot,
               char **reterr_detail)
{
    _cleanup_(freep) char *credential = NULL;
    const WithKey *with_key = &with_keys[0];
    int r = find_with_key(options, &with_key, reterr_detail);

    if (r == 0 && with_key->needs_host_key)
        r = host_key_check(&creds->host_key, reterr_detail);
    if (r < 0)
        return r;
    r = encrypt(creds, kek, with_key->passed, &credential, reterr_detail);
    if (r < 0)
        return r;
    return creds_blob_format(credential, options->allow_null_key, slot, reterr_detail);
}

/* Whether this systemd seems not to know the format: the program says so in words, the service by
 * an errno that also means a missing TPM. */
static bool is_too_old(int program_error, const char *by_service, const char *by_program)
{
    if (program_error == -EREMOTEIO)
        return by_program && strstr(by_program, "Unknown encryption format");
    return by_service && strstr(by_service, strerror(EOPNOTSUPP));
}

/* A verdict of the service on the credential is final, because the program has the same host key
 * and TPM, and would wait for it once more. Without a verdict the program may succeed, or explain
 * in words what the service reports only as an errno. */
static int decrypt(const Creds *creds, const CredsSealed *sealed, bool since_262, Secret **ret,
                   char **reterr_detail)
{
    _cleanup_(freep) char *by_service = NULL, *by_program = NULL;
    int r = creds_service_decrypt(creds->socket, sealed, creds->deadline_usec, ret, &by_service);

    if (r == 0)
        return 0;
    if (r != -EOPNOTSUPP)
        return join_details(r, NULL, by_service, reterr_detail);
    r = creds_program_decrypt(creds->program, sealed, creds->deadline_usec, ret, &by_program);
    if (r == 0)
        return 0;
    if (since_262 && is_too_old(r, by_service, by_program))
        return detail_set(reterr_detail, -EKEYREJECTED,
                          "the credential was sealed by systemd 262 or newer, and this systemd "
                          "cannot read it");
    /* The program is missing, may not be run, or refuses. */
    if (r == -EREMOTEIO || r == -ENOENT || r == -EACCES || r == -EPERM)
        return join_details(-EKEYREJECTED, by_service, by_program, reterr_detail);
    return join_details(r, by_service, by_program, reterr_detail);
}

int creds_unseal(const Creds *creds, json_object *slot, const SlotOptions *options, Secret **ret,
                 char **reterr_detail)
{
    CredsSealed sealed = {
        .name = NAMES_KEK_CREDENTIAL, .min = STORE_KEY_SIZE, .max = STORE_KEY_SIZE};
    const CredsKeyType *type = NULL;
    int r =
        creds_blob_parse(slot, options->allow_null_key, &sealed.credential, &type, reterr_detail);

    if (r == 0 && type->needs_host_key)
        r = host_key_check(&creds->host_key, reterr_detail);
    if (r < 0)
        return r;
    sealed.null = type->null;
    return decrypt(creds, &sealed, type->since_262, ret, reterr_detail);
}

int creds_open(const Creds *creds, const char *name, const char *credential, size_t max,
               Secret **ret, char **reterr_detail)
{
    const CredsSealed sealed = {.name = name, .credential = credential, .min = 1, .max = max};
    const CredsKeyType *type = creds_blob_find_key_type(credential, strlen(credential));

    if (type && type->null)
        return detail_set(reterr_detail, -EKEYREJECTED,
                          "it is sealed with no key, so everyone can have made it");
    /* A type that is not known may need the host key. */
    if (!type || type->needs_host_key) {
        int r = host_key_check(&creds->host_key, reterr_detail);

        if (r < 0)
            return r;
    }
    return decrypt(creds, &sealed, type && type->since_262, ret, reterr_detail);
}
