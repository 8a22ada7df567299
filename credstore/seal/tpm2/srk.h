/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/seal/tpm2/context.h"
#include "credstore/seal/tpm2/name.h"

/* The storage root key: the parent of what is sealed, shared with systemd and others. */

/* Where the TCG's provisioning guidance puts it. */
#define TPM2_SRK_HANDLE ((TPMI_DH_PERSISTENT)0x81000001)

/* Finds the storage root key, of whatever algorithm. ret is good until the context closes.
 * Returns -ENOENT without a detail when there is none, or as tpm2_check(). */
int tpm2_srk_find(Tpm2Context *c, ESYS_TR *ret) _must_check_;

/* Finds it, or makes and persists an ECC P-256 one. Returns -EKEYREJECTED when that takes the
 * password of the owner hierarchy, or as tpm2_check(). */
int tpm2_srk_require(Tpm2Context *c, ESYS_TR *ret) _must_check_;

/* The name of key: an algorithm and a digest, computed here from the very public key that ESYS
 * encrypts the salt of a session to, so that comparing it to a pinned one authenticates the TPM. */
int tpm2_key_name(Tpm2Context *c, ESYS_TR key, TPM2B_NAME *ret) _must_check_;

/* Whether two names are the same. */
bool tpm2_name_equal(const TPM2B_NAME *a, const TPM2B_NAME *b);

/* Finds the storage root key, which has to be the one of that name. Returns -EKEYREJECTED when it
 * is another or there is none, or as tpm2_check(). */
int tpm2_srk_pinned(Tpm2Context *c, const TPM2B_NAME *pinned, ESYS_TR *ret) _must_check_;

/* As tpm2_srk_pinned(), where any of several will do; known has at least one. */
int tpm2_srk_known(Tpm2Context *c, const Tpm2Names *known, ESYS_TR *ret) _must_check_;

/* As tpm2_check(), for commands that the owner hierarchy authorizes: -EKEYREJECTED when it has a
 * password, with remedy behind the detail. */
int tpm2_owner_check(Tpm2Context *c, TSS2_RC rc, const char *what, const char *remedy);

/* What a session is for: a TPM refuses one that authorizes nothing and has no other use. */
typedef enum Tpm2SessionUse {
    TPM2_SESSION_ENCRYPT, /* encrypts the first parameter of commands and responses, AES-128-CFB */
    TPM2_SESSION_AUDIT,   /* only authenticates commands and responses that have none */
} Tpm2SessionUse;

/* Starts an HMAC session salted to srk: neither a listener nor, srk being the right one, an
 * interposer on the bus learns what it encrypts or changes what it authenticates. ret is from
 * TPM2_TRANSIENT(). */
int tpm2_session_start(Tpm2Context *c, ESYS_TR srk, Tpm2SessionUse use, Tpm2Transient *ret)
    _must_check_;
