/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/seal/tpm2/context.h"
#include "credstore/seal/tpm2/name.h"

/* The storage root key: the parent of sealed objects, shared with systemd and others. */

/* Its handle in the TCG's provisioning guidance. */
#define TPM2_SRK_HANDLE ((TPMI_DH_PERSISTENT)0x81000001)

/* Finds the storage root key, of any algorithm, or makes and persists an ECC P-256 one. ret is
 * valid until the context closes. Returns -EKEYREJECTED if that needs the password of the owner
 * hierarchy, or as tpm2_check(). */
int tpm2_srk_require(Tpm2Context *c, ESYS_TR *ret) _must_check_;

/* Returns the name of key, an algorithm and a digest. ESYS computes it from the very public key
 * that it encrypts the salt of a session to, so comparing it with a pinned name authenticates the
 * TPM. */
int tpm2_key_name(Tpm2Context *c, ESYS_TR key, TPM2B_NAME *ret) _must_check_;

/* Whether two names are equal. */
bool tpm2_name_equal(const TPM2B_NAME *a, const TPM2B_NAME *b);

/* Finds the storage root key, which must have the name pinned. Returns -EKEYREJECTED if it has
 * another name or there is none, or as tpm2_check(). */
int tpm2_srk_pinned(Tpm2Context *c, const TPM2B_NAME *pinned, ESYS_TR *ret) _must_check_;

/* As tpm2_srk_pinned(), for any of several names; known has at least one. */
int tpm2_srk_known(Tpm2Context *c, const Tpm2Names *known, ESYS_TR *ret) _must_check_;

/* As tpm2_check(), for commands that the owner hierarchy authorizes: -EKEYREJECTED if it has a
 * password, with remedy at the end of the detail. */
int tpm2_owner_check(Tpm2Context *c, TSS2_RC rc, const char *what, const char *remedy);

/* The use of a session: a TPM refuses one that authorizes nothing and has no other use. */
typedef enum Tpm2SessionUse {
    TPM2_SESSION_ENCRYPT, /* encrypts the first parameter of commands and responses, AES-128-CFB */
    TPM2_SESSION_AUDIT,   /* authenticates commands and responses without such parameters */
} Tpm2SessionUse;

/* Starts an HMAC session salted to srk: a listener on the bus cannot read what it encrypts, and if
 * srk is the right key, an interposer cannot either, nor change what it authenticates. ret is from
 * TPM2_TRANSIENT(). */
int tpm2_session_start(Tpm2Context *c, ESYS_TR srk, Tpm2SessionUse use, Tpm2Transient *ret)
    _must_check_;
