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

/* A TPM (swtpm) of a test's own, with its state in a directory that goes with it. */
typedef struct Swtpm {
    char dir[SWTPM_DIRECTORY_MAX];
    pid_t pid;
} Swtpm;

/* Starts on the state that is there, or a fresh one, and points the library to it.
 * Returns -ENOENT where swtpm is not installed. */
int swtpm_start(Swtpm *s);
void swtpm_stop(Swtpm *s);
/* Stops it and removes its state. */
void swtpm_done(Swtpm *s);
/* Makes it a TPM that takes commands and does not answer, and one that does again. */
void swtpm_freeze(const Swtpm *s);
void swtpm_thaw(const Swtpm *s);
/* Points the library to it; prefix is "" or another TCTI to go through, e.g. "pcap:". */
void swtpm_set_tcti(const Swtpm *s, const char *prefix);

/* Declares and starts one, or skips the test. */
#define SWTPM(s)                                                                                   \
    _cleanup_(swtpm_done) Swtpm s = {};                                                            \
    int s##_started = swtpm_start(&s);                                                             \
    if (s##_started == -ENOENT)                                                                    \
        TEST_SKIP("swtpm is not installed");                                                       \
    ASSERT_OK(s##_started)

/* Opens the TPM and calls fn, one of those that follow or a test's own. */
TSS2_RC tpm_do(TSS2_RC (*fn)(ESYS_CONTEXT *esys));

/* Extends a PCR in so many banks: SHA-1, SHA-256, SHA-384. */
TSS2_RC pcr_extend(ESYS_CONTEXT *esys, ESYS_TR pcr, uint32_t n);
TSS2_RC extend_pcr7(ESYS_CONTEXT *esys);
TSS2_RC extend_pcr7_of_sha1(ESYS_CONTEXT *esys);
/* As firmware does that measures into that bank alone. */
TSS2_RC extend_pcr7_of_sha384(ESYS_CONTEXT *esys);
/* From the next start on, that is the only PCR bank. */
TSS2_RC allocate_sha1(ESYS_CONTEXT *esys);
TSS2_RC allocate_sha384(ESYS_CONTEXT *esys);
TSS2_RC allocate_sha512(ESYS_CONTEXT *esys);
/* Makes the storage root key. Without NODA, as vendors have made them: its use counts for the
 * lockout. */
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

/* How many handles of a kind the TPM holds; -1 if it does not answer. */
int count_handles(TPM2_HANDLE first);
/* True if it holds no object and no session. */
bool tpm_is_clean(void);
/* Drops the sessions that are left after ESYS gave up on a response. A resource manager does that
 * when its user closes the device. */
void flush_sessions(void);

/* Finds needle in a file. */
bool file_contains(const char *path, const uint8_t *needle, size_t size);

/* The line for people, as the fixture f has it. */
#define ASSERT_DETAIL(f, words)                                                                    \
    do {                                                                                           \
        if (!(f).detail || !strstr((f).detail, words))                                             \
            TEST_FAIL("the detail is \"%s\", without \"%s\"", (f).detail ? (f).detail : "",        \
                      words);                                                                      \
    } while (0)
