/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "nvme-keyd/manager/manager.h"

/*
 * Keys to be stored all at once or not at all, staged until the last of them has arrived. Only
 * their names are in plain memory: each PSK is sealed as it arrives, by a key that lives as long as
 * the Import. No transaction is open meanwhile, so other calls need not wait.
 */
typedef struct Import Import;

/* The kernel's quota for root, 25,000,000 bytes, is enough for some 40,000 keys. A staged key takes
 * about 1.5 KiB. */
#define IMPORT_KEYS_MAX 65536

int import_new(Import **ret) _must_check_;
/* Accepts NULL; returns NULL. */
Import *import_free(Import *i);
DEFINE_CLEANUP(Import, import_free)

size_t import_size(const Import *i);
/* Drops all but the first n keys. */
void import_truncate(Import *i, size_t n);

/* Stages one key. Without identity, request is as for manager_add(), with a host NQN and a PSK.
 * With one, the key is kept as that identity and its TLS PSK (request->configured), and the names,
 * versions and hash of request do not matter.
 * Returns -EINVAL or -E2BIG (detail says what), -ENOMEM, -EIO. */
int import_stage(Import *i, const KeyRequest *request, const char *identity, char **reterr_detail)
    _must_check_;

typedef struct ImportResult {
    size_t added;
    size_t unchanged;   /* the same PSK is stored already, or occurs twice in the import */
    size_t unpublished; /* of those added: not all identities are in the ring */
} ImportResult;

/* The key that cannot be stored, and the one in its way. */
typedef struct ImportFault {
    size_t index;
    size_t other;   /* another key of the import, or SIZE_MAX */
    const Key *key; /* a stored or handed-in key, or NULL */
} ImportFault;

/* Stores all keys of i in one commit and publishes them; with dry_run it only finds out what would
 * be done. The rules are those of manager_add(), also between the keys of i. Takes n log n time for
 * n keys in store and import together. Returns -EEXIST or -ENOTUNIQ (see *reterr_fault), or another
 * error of manager_add(). i can be used again only after a dry run. */
int manager_import(Manager *m, Import *i, bool dry_run, ImportResult *ret,
                   ImportFault *reterr_fault, char **reterr_detail) _must_check_;

/* As manager_await_add(), for an import. */
bool manager_await_import(Manager *m, Import *i);
