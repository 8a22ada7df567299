/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/job/job.h"

/*
 * The work on keys, certificates and envelopes in a child process, which gets the private key of
 * the machine, and neither the store nor its key. The data of a request is a byte that names the
 * work, and blobs; the result is blobs as well, but for an envelope: see taken.h.
 *
 *    work      secret          blobs                     result
 *    CERTIFY   key, or empty   name, or empty            fingerprint, key, certificate in PEM
 *    REQUEST   key             name, or empty            certificate request in PEM
 *    INSPECT   empty           certificates              for each its fingerprint, or empty
 *    OPEN      key             envelope, certificates    TakenEnvelope
 *
 * An empty key makes one. A key is a DER ECPrivateKey (RFC 5915), a certificate PEM, an envelope
 * PEM or DER. OPEN returns an EnvelopeRefusal as the error for an envelope that is refused.
 */
typedef enum EnvelopeWork {
    WORK_CERTIFY,
    WORK_REQUEST,
    WORK_INSPECT,
    WORK_OPEN,
} EnvelopeWork;

/* Of one request: an envelope, and issuers of the store and of files. */
#define WORK_BLOBS_MAX 33

/* A JobWork. Any bytes are safe. Returns -EBADMSG for another form, -ENOMEM, -EIO. */
int envelope_work(const Secret *secret, const void *data, size_t size, Secret **ret_output,
                  char **reterr_detail) _must_check_;

/* For main() with this option. Returns the exit status. */
#define ENVELOPE_JOB_OPTION "--envelope-helper"
int envelope_job_main(void);
