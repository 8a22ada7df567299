/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "nvme-keyd/envelopes/limits.h"

/*
 * Issuers that files name: NAME.pem in the directories issuers.d of the configuration, of which the
 * first with a file of that name counts, and an empty one masks it; and systemd credentials. They
 * are read for each envelope, and trusted for as long as they are there.
 */
typedef enum IssuerSource {
    ISSUER_STORE,
    ISSUER_CONFIGURATION,
    ISSUER_CREDENTIAL,
} IssuerSource;

const char *issuer_source_to_string(IssuerSource source);

typedef struct IssuerFile {
    IssuerSource source;
    char *name;
    char *text; /* not checked */
    size_t size;
} IssuerFile;

typedef struct IssuerFiles {
    IssuerFile items[ISSUER_FILES_MAX];
    size_t n;
} IssuerFiles;

/* True for a systemd credential that is the certificate of an issuer. */
bool issuer_is_credential(const char *name);
void issuer_files_done(const IssuerFiles *f);

/* Returns -E2BIG or -EFBIG past a limit, or another error, with a detail that names the file. The
 * caller releases *ret in any case. */
int issuer_files_read(IssuerFiles *ret, char **reterr_detail) _must_check_;
