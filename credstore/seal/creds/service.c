/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/encoding.h"
#include "basic/io.h"
#include "basic/json.h"
#include "basic/names.h"
#include "basic/text.h"
#include "credstore/seal/creds/blob.h"
#include "credstore/seal/creds/service.h"
#include "credstore/seal/limits.h"
#include "varlink/client.h"
#include "varlink/json-wire.h"

#define INTERFACE "io.systemd.Credentials"
/* The longest name of an error that is quoted. */
#define ERROR_LENGTH_MAX 100

/* Verdicts of the service on a credential (systemd, varlink-io.systemd.Credentials.c). Those of the
 * TPM have names since 259; before that they are only an errno. */
static const struct {
    const char *error;
    const char *text;
} verdicts[] = {
    {INTERFACE ".BadFormat", "the credential is damaged, or sealed by another host key"},
    {INTERFACE ".TimeMismatch", "the credential is not valid at this time"},
    {INTERFACE ".BadScope", "the credential is one of a user, not of the system"},
    {INTERFACE ".CantFindPCRSignature", "there is no signature for the PCRs of this boot"},
    {INTERFACE ".NullKeyNotAllowed", "the credential is sealed with no key"},
    {INTERFACE ".KeyBelongsToOtherTPM", "the credential is sealed by another TPM, or damaged"},
    {INTERFACE ".TPMInDictionaryLockout", "the TPM is locked out after wrong attempts"},
    {INTERFACE ".UnexpectedPCRState", "the PCRs of the TPM are not those it was sealed to"},
    {INTERFACE ".NVIndexUnusable", "an NV index of the TPM is missing or cannot be used"},
};

static int refuse(const char *error, json_object *parameters, const char *name,
                  char **reterr_detail)
{
    uint64_t number = 0;

    if (strcmp(error, INTERFACE ".NameMismatch") == 0)
        return detail_set(reterr_detail, -EKEYREJECTED,
                          INTERFACE ": the credential has another name than %s", name);

    for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++)
        if (strcmp(error, verdicts[i].error) == 0)
            return detail_set(reterr_detail, -EKEYREJECTED, INTERFACE ": %s", verdicts[i].text);
    if (strlen(error) > ERROR_LENGTH_MAX || !text_is_printable(error))
        return detail_set(reterr_detail, -EOPNOTSUPP, INTERFACE ": an error with an invalid name");
    /* An error of a later version is a verdict on the credential too. */
    if (text_after(error, INTERFACE "."))
        return detail_set(reterr_detail, -EKEYREJECTED, "%s", error);
    if (json_get_uint(parameters, "errno", INT32_MAX, &number) > 0)
        return detail_set(reterr_detail, -EOPNOTSUPP, INTERFACE ": %s", strerror((int)number));
    return detail_set(reterr_detail, -EOPNOTSUPP, INTERFACE ": %s", error);
}

static int connect_service(const char *path, VarlinkClient **ret, char **reterr_detail)
{
    int r = varlink_client_connect(path, NULL, SEAL_TIMEOUT_USEC, ret);

    if (r == 0 || r == -ENOMEM)
        return r;
    if (r == -ENOENT)
        return -EOPNOTSUPP;
    return detail_set(reterr_detail, -EOPNOTSUPP, "%s: %s", path, strerror(-r));
}

/* Takes parameters. *ret is a successful reply, which may hold a secret. */
static int call(const char *path, const char *method, const char *name, json_object *parameters,
                uint64_t deadline_usec, json_object **ret, char **reterr_detail)
{
    _cleanup_(varlink_json_erase_putp) json_object *in = parameters, *out = NULL;
    _cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
    _cleanup_(freep) char *error = NULL;
    uint64_t now;
    int r = connect_service(path, &client, reterr_detail);

    if (r < 0)
        return r;
    now = now_monotonic();
    if (now >= deadline_usec)
        return -ETIMEDOUT;
    r = varlink_client_call(client, method, TAKE_PTR(in), deadline_usec - now, &out, &error);
    if (r == -ENOMEM || r == -ETIMEDOUT)
        return r;
    if (r < 0)
        return detail_set(reterr_detail, -EOPNOTSUPP, INTERFACE ": %s", strerror(-r));
    if (error)
        return refuse(error, out, name, reterr_detail);

    *ret = TAKE_PTR(out);
    return 0;
}

static json_object *new_parameters(const char *name)
{
    json_object *p = json_object_new_object();

    if (p && json_add_string(p, "name", name) == 0 && json_add_string(p, "scope", "system") == 0)
        return p;
    json_object_put(p);
    return NULL;
}

int creds_service_encrypt(const char *path, const Secret *kek, uint64_t deadline_usec,
                          char **ret_credential, char **reterr_detail)
{
    _cleanup_(varlink_json_erase_putp) json_object *in = new_parameters(NAMES_KEK_CREDENTIAL),
                                                   *out = NULL;
    char data[BASE64_LENGTH(STORE_KEY_SIZE) + 1];
    CLEANUP_ERASE(data);
    const char *blob;
    char *credential;
    int r;

    if (kek->size != STORE_KEY_SIZE)
        return -EINVAL;
    base64_encode(kek->data, kek->size, data);
    if (!in || json_add_string(in, "data", data) < 0)
        return -ENOMEM;
    r = call(path, INTERFACE ".Encrypt", NAMES_KEK_CREDENTIAL, TAKE_PTR(in), deadline_usec, &out,
             reterr_detail);
    if (r < 0)
        return r;
    if (json_get_string(out, "blob", &blob) <= 0 || strlen(blob) > CREDS_TEXT_MAX)
        return detail_set(reterr_detail, -EBADMSG, INTERFACE ": a reply without a credential");
    credential = strdup(blob);
    if (!credential)
        return -ENOMEM;

    *ret_credential = credential;
    return 0;
}

static int decode_content(const char *text, const CredsSealed *sealed, Secret **ret)
{
    _cleanup_(secret_freep) Secret *room = secret_new(sealed->max);
    size_t n;

    if (!room)
        return -ENOMEM;
    if (base64_decode(text, strlen(text), room->data, room->size, &n) < 0 || n < sealed->min)
        return -EBADMSG;

    *ret = secret_new_copy(room->data, n);
    return *ret ? 0 : -ENOMEM;
}

int creds_service_decrypt(const char *path, const CredsSealed *sealed, uint64_t deadline_usec,
                          Secret **ret, char **reterr_detail)
{
    _cleanup_(varlink_json_erase_putp) json_object *in = new_parameters(sealed->name), *out = NULL;
    const char *data;
    int r;

    /* Services before 259 reject the parameter. */
    if (!in || json_add_string(in, "blob", sealed->credential) < 0 ||
        (sealed->null && json_add_bool(in, "allowNull", true) < 0))
        return -ENOMEM;
    r = call(path, INTERFACE ".Decrypt", sealed->name, TAKE_PTR(in), deadline_usec, &out,
             reterr_detail);
    if (r < 0)
        return r;
    r = json_get_string(out, "data", &data) > 0 ? decode_content(data, sealed, ret) : -EBADMSG;
    if (r == -EBADMSG)
        return detail_set(reterr_detail, r, "credential %s is not %s%zu bytes", sealed->name,
                          sealed->min < sealed->max ? "up to " : "", sealed->max);
    return r;
}
