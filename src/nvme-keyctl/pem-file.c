/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "envelope/limits.h"
#include "nvme-keyctl/pem-file.h"

DEFINE_CLEANUP(BIO, BIO_free_all)

static int fail_with_openssl(const char *what, const char *path)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    int r = cli_fail(EXIT_INVALID, "cannot read %s from %s: %s", what, path,
                     reason ? reason : "there is none");

    ERR_clear_error();
    return r;
}

int pem_file_read_certificate(const char *path, X509 **ret)
{
    char text[MACHINE_PEM_MAX];
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
    int r;

    if (n < 0)
        return cli_fail(EXIT_INVALID, "cannot read %s: %s", path, strerror(errno));
    r = machine_certificate_from_pem(text, (size_t)n, ret);
    if (r == -EBADMSG)
        return cli_fail(EXIT_INVALID,
                        "%s has no certificate of a P-256 key in PEM, as nvme-keyctl machine show "
                        "and nvme-keyctl envelope issuer print one",
                        path);
    return r < 0 ? cli_out_of_memory() : EXIT_OK;
}

int pem_file_read_key(const char *path, EVP_PKEY **ret)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open(path, NULL, NULL, NULL, NULL);
    EVP_PKEY *key = NULL;

    if (store)
        (void)OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY);
    while (store && !key && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (info)
            key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
        if (!info && OSSL_STORE_error(store))
            break;
    }
    (void)OSSL_STORE_close(store);
    if (!key)
        return fail_with_openssl("a private key", path);
    *ret = key;
    return EXIT_OK;
}

int pem_file_write_key(const char *path, EVP_PKEY *key)
{
    _cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    _cleanup_(BIO_free_allp) BIO *b = fd < 0 ? NULL : BIO_new_fd(fd, BIO_NOCLOSE);

    if (fd < 0)
        return cli_fail(EXIT_INVALID, "cannot make %s: %s", path, strerror(errno));
    if (!b || PEM_write_bio_PKCS8PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        fsync(fd) < 0) {
        int error = errno;

        (void)unlink(path);
        return cli_fail(EXIT_OTHER, "cannot write %s: %s", path, strerror(error));
    }
    return EXIT_OK;
}
