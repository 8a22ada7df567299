/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "nvme-keyd/manager/manager.h"

/* The kernel's quota for root, 25,000,000 bytes, is enough for some 40,000 keys. */
#define IMPORT_KEYS_MAX 65536

/* One key of an import, with a PSK in the interchange format: of an identity, its TLS PSK, or else
 * of two NQNs. Borrows its texts. */
typedef struct ImportKey {
    const char *identity, *hostnqn, *subsysnqn, *psk;
} ImportKey;

/* Keys to be stored all at once or not at all. common is what all have in common; its names, hash
 * and PSK do not matter. keys are borrowed. */
typedef struct ImportRequest {
    KeyRequest common;
    ImportKey *keys;
    size_t n;
} ImportRequest;

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

/* Stores all keys in one commit and publishes them; with common.dry_run it only finds out what
 * would be done. The rules are those of manager_add(), also between the keys of the import. Only
 * names are kept in between: each PSK is derived again where it is needed. Takes n log n time for n
 * keys in store and import together. Returns -E2BIG past IMPORT_KEYS_MAX, -EEXIST or -ENOTUNIQ (see
 * *reterr_fault, as for -EINVAL and -E2BIG), or another error of manager_add(). */
int manager_import(Manager *m, const ImportRequest *q, ImportResult *ret, ImportFault *reterr_fault,
                   char **reterr_detail) _must_check_;

/* As manager_await_add(), for an import. */
bool manager_await_import(Manager *m, const ImportRequest *q);
