/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key.h"

/*
 * PSKs that are handed in for this boot, as credentials of systemd: files in
 * $CREDENTIALS_DIRECTORY, which is the service's own, or in $NVME_KEYD_CREDENTIALS_DIRECTORY, where
 * another unit has fetched them. Both are memory that is never swapped. So nothing of the PSKs is
 * kept: a Key remembers where its line is, and that is read again when it is needed.
 */

/* Who wants to know. Lines are counted from 1; 0 is the credential as a whole. */
typedef struct CredentialVisitor {
    /* Takes k, in every case. A result below 0 ends it all. */
    int (*on_key)(Key *k, size_t line, void *userdata);
    /* text: why there is no key, one line for people. credential: NULL for all of them. */
    void (*on_problem)(const char *credential, size_t line, const char *text, void *userdata);
    const char *hostnqn; /* for lines that name no host; NULL: this machine has none */
    void *userdata;
} CredentialVisitor;

/* True for the names nvme-keyd.psk and nvme-keyd.psk.*. */
bool handed_is_credential(const char *name);

/* Reads the text of one credential. Returns 0, also when no line was of use, -ENOMEM, -EIO, or what
 * on_key returned. */
int credential_read_text(const char *name, const char *text, size_t size,
                         const CredentialVisitor *visitor) _must_check_;

/* The same for all credentials nvme-keyd.psk and nvme-keyd.psk.*, in the order of their names.
 * Returns 1 when these are all, and 0 when the other unit has failed, so that nobody knows. */
int credentials_read(const CredentialVisitor *visitor) _must_check_;
