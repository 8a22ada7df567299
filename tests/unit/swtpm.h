/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <tss2/tss2_esys.h>

#include "basic/macro.h"
#include "test.h"

#define SWTPM_DIRECTORY_MAX 64

/* A TPM (swtpm) for one test, with its state in a directory that is removed with it. */
typedef struct Swtpm {
    char dir[SWTPM_DIRECTORY_MAX];
    pid_t pid;
} Swtpm;

/* Starts it, on the present state or a fresh one, and makes the library use it. Returns -ENOENT if
 * swtpm is not installed. */
int swtpm_start(Swtpm *s);
void swtpm_stop(Swtpm *s);
/* Stops it and removes its state. */
void swtpm_done(Swtpm *s);
/* Makes it accept commands without an answer, and answer again. */
void swtpm_freeze(const Swtpm *s);
void swtpm_thaw(const Swtpm *s);
/* Makes the library use it; prefix is "" or another TCTI before it, such as "pcap:". */
void swtpm_set_tcti(const Swtpm *s, const char *prefix);

/* Declares and starts one, or skips the test. */
#define SWTPM(s)                                                                                   \
    _cleanup_(swtpm_done) Swtpm s = {};                                                            \
    int s##_started = swtpm_start(&s);                                                             \
    if (s##_started == -ENOENT)                                                                    \
        TEST_SKIP("swtpm is not installed");                                                       \
    ASSERT_OK(s##_started)

/* Opens the TPM and calls fn, one of the functions below or one of the test. */
TSS2_RC tpm_do(TSS2_RC (*fn)(ESYS_CONTEXT *esys));

/* Extends a PCR in n banks: SHA-1, SHA-256, SHA-384. */
TSS2_RC pcr_extend(ESYS_CONTEXT *esys, ESYS_TR pcr, uint32_t n);
TSS2_RC extend_pcr7(ESYS_CONTEXT *esys);
TSS2_RC extend_pcr7_of_sha1(ESYS_CONTEXT *esys);
/* Extends as firmware does that measures into this bank alone. */
TSS2_RC extend_pcr7_of_sha384(ESYS_CONTEXT *esys);
/* Makes this the only PCR bank from the next start on. */
TSS2_RC allocate_sha1(ESYS_CONTEXT *esys);
TSS2_RC allocate_sha384(ESYS_CONTEXT *esys);
TSS2_RC allocate_sha512(ESYS_CONTEXT *esys);
/* Makes the storage root key, without NODA, as vendors have: its use counts for the lockout. */
TSS2_RC persist_rsa(ESYS_CONTEXT *esys);
TSS2_RC change_owner_auth(ESYS_CONTEXT *esys);
TSS2_RC clear_tpm(ESYS_CONTEXT *esys);
/* Tries a wrong password until the TPM refuses all. */
TSS2_RC lock_out(ESYS_CONTEXT *esys);

/* Kinds of handles. The library's own constants of these names shift into the sign bit. */
#define TRANSIENTS UINT32_C(0x80000000)
#define SESSIONS UINT32_C(0x02000000)
#define PERSISTENTS UINT32_C(0x81000000)
#define NV_INDICES UINT32_C(0x01000000)

/* The number of handles of a kind in the TPM; -1 if it does not answer. */
int count_handles(TPM2_HANDLE first);
/* True if it holds no object and no session. */
bool tpm_is_clean(void);
/* Drops the sessions that remain after ESYS gave up on a response, as a resource manager does when
 * its user closes the device. */
void flush_sessions(void);

/* True if a file contains needle. */
bool file_contains(const char *path, const uint8_t *needle, size_t size);

/* Checks the detail in the fixture f. */
#define ASSERT_DETAIL(f, words)                                                                    \
    do {                                                                                           \
        if (!(f).detail || !strstr((f).detail, words))                                             \
            TEST_FAIL("the detail is \"%s\", without \"%s\"", (f).detail ? (f).detail : "",        \
                      words);                                                                      \
    } while (0)
