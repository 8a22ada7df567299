/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "build-config.h"
#include "credstore/seal/environment.h"
#include "credstore/seal/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/io.h"
#include "basic/names.h"
#include "credstore/seal/creds/blob.h"
#include "credstore/seal/creds/creds.h"
#include "credstore/seal/seal-type.h"
#include "credstore/seal/ways.h"

/* The KEK is a systemd credential, sealed by the host key, a TPM2 or both. */

#define SOCKET_DEFAULT "/run/systemd/io.systemd.Credentials"

Creds creds_of_system(void)
{
    const char *socket = secure_getenv(CREDS_ENV_SOCKET);

    return (Creds){
        .socket = socket && *socket ? socket : SOCKET_DEFAULT,
        .program = SYSTEMD_CREDS_PATH,
        .host_key = host_key_of_system(),
        .deadline_usec = now_monotonic() + SEAL_TIMEOUT_USEC,
    };
}

static int usable(void)
{
    Creds creds = creds_of_system();

    if (access(creds.program, X_OK) == 0 || access(creds.socket, R_OK | W_OK) == 0)
        return 0;
    return -errno;
}

static int seal(const Secret *kek, const SlotOptions *options, json_object *slot,
                char **reterr_detail)
{
    Creds creds = creds_of_system();

    return creds_seal(&creds, kek, options, slot, reterr_detail);
}

static int read_from(const char *dir, Secret **ret)
{
    _cleanup_(closep) int dirfd = -EBADF, fd = -EBADF;

    if (!dir)
        return -ENOENT;
    dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return -errno;
    fd = openat(dirfd, NAMES_KEK_CREDENTIAL, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
    if (fd < 0)
        return -errno;
    return secret_read_fd(fd, CREDS_TEXT_MAX, 0, ret);
}

/* Reads the handed-in KEK, a credential of this unit or of the one that fetches credentials for it.
 * Returns -ENOENT. What sealed it, if anything, is unknown here: the administrator of the unit
 * chose it, and systemd refuses one sealed with no key if there is a TPM2 and Secure Boot. */
static int read_given(Secret **ret)
{
    int r = read_from(secure_getenv("CREDENTIALS_DIRECTORY"), ret);

    return r == -ENOENT ? read_from(secure_getenv(NAMES_ENV_CREDENTIALS), ret) : r;
}

/* Reads the handed-in KEK, and checks that it can be one. */
static int use_given(Secret **ret, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *kek = NULL;
    int r = read_given(&kek);

    if (r == -ENOENT)
        return r;
    if (r < 0 || !kek)
        return detail_set(reterr_detail, r, "credential " NAMES_KEK_CREDENTIAL ": %s",
                          strerror(-r));
    if (creds_blob_find_key_type(kek->data, kek->size))
        return detail_set(reterr_detail, -EBADMSG,
                          "credential " NAMES_KEK_CREDENTIAL
                          " is still sealed: LoadCredential= does "
                          "not unseal, ImportCredential= and LoadCredentialEncrypted= do");
    if (kek->size != STORE_KEY_SIZE)
        return detail_set(reterr_detail, -EBADMSG,
                          "credential " NAMES_KEK_CREDENTIAL " has %zu bytes, not %d", kek->size,
                          STORE_KEY_SIZE);
    *ret = TAKE_PTR(kek);
    return 0;
}

static int unseal(json_object *slot, const SlotOptions *options, Secret **ret_kek,
                  char **reterr_detail)
{
    _cleanup_(freep) char *given = NULL, *own = NULL;
    _cleanup_(secret_freep) Secret *kek = NULL;
    Creds creds = creds_of_system();
    const char *key = creds_blob_key_name(slot);
    int r;

    if (!options->skip_given && !(options->closed_ways & WAY_CREDS_GIVEN) &&
        use_given(ret_kek, &given) == 0)
        return 0;
    if (options->closed_ways & way_of_creds_key(key))
        return detail_set(reterr_detail, -EXDEV, "%s%sit is sealed by the key %s: " WAY_CLOSED,
                          given ? given : "", given ? "; " : "", key);
    r = creds_unseal(&creds, slot, options, &kek, &own);
    if (r == 0 && kek && kek->size != STORE_KEY_SIZE)
        r = detail_set(&own, -EBADMSG, "the credential contains no key");
    if (r < 0)
        return detail_set(reterr_detail, r, "%s%s%s", given ? given : "", given ? "; " : "",
                          own ? own : strerror(-r));
    *ret_kek = TAKE_PTR(kek);
    return 0;
}

const SlotType slot_systemd_creds = {
    .name = "systemd-creds",
    .usable = usable,
    .seal = seal,
    .unseal = unseal,
};
