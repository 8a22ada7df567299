/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/crypto-memory.h"
#include "envelope/cms.h"
#include "nvme-keyd/envelopes/blobs.h"
#include "nvme-keyd/envelopes/limits.h"
#include "nvme-keyd/envelopes/taken.h"
#include "nvme-keyd/envelopes/work.h"
#include "psk/nqn.h"

_Static_assert(1 + ISSUERS_MAX + ISSUER_FILES_MAX <= WORK_BLOBS_MAX, "an envelope and its issuers");

static int return_blobs(const Blob *blobs, size_t n, Secret **ret)
{
    *ret = secret_new(blobs_size(blobs, n));
    if (!*ret)
        return -ENOMEM;
    blobs_write((*ret)->data, blobs, n);
    return 0;
}

/* An empty name is none. */
static int read_name(const Blob *b, char ret[static NQN_LENGTH_MAX + 1])
{
    if (b->size > 0 && !nqn_is_usable(b->data, b->size))
        return -EBADMSG;
    memcpy(ret, b->data, b->size);
    ret[b->size] = '\0';
    return 0;
}

static int certify(const Secret *secret, const char *name, Secret **ret)
{
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
    _cleanup_(X509_freep) X509 *certificate = NULL;
    _cleanup_(secret_freep) Secret *der = NULL;
    _cleanup_(freep) char *pem = NULL;
    char fingerprint[MACHINE_FINGERPRINT_SIZE];
    int r = secret->size > 0 ? machine_key_from_der(secret, &key) : machine_key_new(&key);

    if (r < 0 || (r = machine_key_to_der(key, &der)) < 0 ||
        (r = machine_fingerprint(key, fingerprint)) < 0 ||
        (r = machine_certificate(key, *name ? name : NULL, false, &certificate)) < 0 ||
        (r = machine_certificate_to_pem(certificate, &pem)) < 0)
        return r;
    return return_blobs((Blob[]){{fingerprint, MACHINE_FINGERPRINT_SIZE - 1},
                                 {der->data, der->size},
                                 {pem, strlen(pem)}},
                        3, ret);
}

static int request(const Secret *secret, const char *name, Secret **ret)
{
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
    _cleanup_(freep) char *pem = NULL;
    int r;

    if ((r = machine_key_from_der(secret, &key)) < 0 ||
        (r = machine_request(key, *name ? name : NULL, &pem)) < 0)
        return r;
    return return_blobs(&(Blob){pem, strlen(pem)}, 1, ret);
}

static int inspect(const Blob *certificates, size_t n, Secret **ret)
{
    char fingerprints[WORK_BLOBS_MAX][MACHINE_FINGERPRINT_SIZE];
    Blob results[WORK_BLOBS_MAX] = {{NULL, 0}};

    for (size_t i = 0; i < n; i++) {
        _cleanup_(X509_freep) X509 *c = NULL;

        if (machine_certificate_from_pem(certificates[i].data, certificates[i].size, &c) == 0 &&
            machine_fingerprint(X509_get0_pubkey(c), fingerprints[i]) == 0)
            results[i] = (Blob){fingerprints[i], MACHINE_FINGERPRINT_SIZE - 1};
    }
    return return_blobs(results, n, ret);
}

typedef struct Issuers {
    X509 *certificates[WORK_BLOBS_MAX];
    size_t n;
} Issuers;

static void issuers_done(const Issuers *i)
{
    for (size_t j = 0; j < i->n; j++)
        X509_free(i->certificates[j]);
}

/* Only a certificate is an issuer. */
static void read_issuers(const Blob *blobs, size_t n, Issuers *ret)
{
    for (size_t i = 0; i < n; i++)
        if (machine_certificate_from_pem(blobs[i].data, blobs[i].size,
                                         &ret->certificates[ret->n]) == 0)
            ret->n++;
}

static int take_content(const Secret *text, const char *issuer, EVP_PKEY *key, Secret **ret,
                        char **reterr_detail)
{
    _cleanup_(envelope_content_done) EnvelopeContent content = {.n = 0};
    char machine[MACHINE_FINGERPRINT_SIZE];
    int r = envelope_content_parse((const char *)text->data, text->size, &content, reterr_detail);

    if (r == -EBADMSG)
        return ENVELOPE_MALFORMED;
    if (r == 0)
        r = machine_fingerprint(key, machine);
    if (r == 0)
        r = taken_pack(&content, issuer, machine, ret);
    return r == -ENOENT ? ENVELOPE_OTHER_PAIRS : r;
}

static int open_envelope(const Secret *secret, const Blob *blobs, size_t n, Secret **ret,
                         char **reterr_detail)
{
    _cleanup_(issuers_done) Issuers issuers = {.n = 0};
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
    _cleanup_(secret_freep) Secret *text = NULL;
    char issuer[MACHINE_FINGERPRINT_SIZE];
    int r = machine_key_from_der(secret, &key);

    if (r < 0)
        return r;
    read_issuers(blobs + 1, n - 1, &issuers);
    r = envelope_open(blobs[0].data, blobs[0].size, key, issuers.certificates, issuers.n, &text,
                      issuer);
    return r != 0 ? r : take_content(text, issuer, key, ret, reterr_detail);
}

int envelope_work(const Secret *secret, const void *data, size_t size, Secret **ret_output,
                  char **reterr_detail)
{
    Blob blobs[WORK_BLOBS_MAX];
    char name[NQN_LENGTH_MAX + 1];
    const uint8_t *bytes = data;
    int n = size > 0 ? blobs_read(bytes + 1, size - 1, blobs, WORK_BLOBS_MAX) : -EBADMSG;

    *ret_output = NULL;
    if (n <= 0)
        return -EBADMSG;
    switch ((EnvelopeWork)bytes[0]) {
    case WORK_CERTIFY:
        return read_name(&blobs[0], name) < 0 ? -EBADMSG : certify(secret, name, ret_output);
    case WORK_REQUEST:
        return read_name(&blobs[0], name) < 0 ? -EBADMSG : request(secret, name, ret_output);
    case WORK_INSPECT:
        return inspect(blobs, (size_t)n, ret_output);
    case WORK_OPEN:
        return open_envelope(secret, blobs, (size_t)n, ret_output, reterr_detail);
    default:
        return -EBADMSG;
    }
}

/* OpenSSL keeps what it decrypts on the heap. */
int envelope_job_main(void)
{
    return crypto_memory_init() < 0 ? EXIT_FAILURE : job_helper_main(envelope_work);
}
