/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>
#include <stdlib.h>

#include "nvme-keyd/keys/key-conflicts.h"
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
    /* Subsystem NQNs, in the order of strcmp(): as common.force, for the conflicts that these lose
     * (key-conflicts.h). */
    const char **force_for;
    size_t n_force_for;
} ImportRequest;

typedef struct ImportResult {
    size_t added;
    size_t unchanged;   /* the same PSK is stored already, or occurs twice in the import */
    size_t unpublished; /* of those added: not all identities are in the ring */
    size_t forced;      /* conflicts */
    bool *is_unchanged; /* for each key of the import */
} ImportResult;

static inline void import_result_done(const ImportResult *r)
{
    free(r->is_unchanged);
}

/* The reasons why an import is refused. */
typedef struct ImportFault {
    size_t index;        /* of the first key that cannot be stored */
    Conflicts conflicts; /* all of them; their keys are valid until the Manager is used again */
    Key **keys;          /* the new ones */
    size_t n;
} ImportFault;

void import_fault_done(ImportFault *f);

/* The index of a key of a conflict, or SIZE_MAX for one that is stored or handed in. */
size_t import_index(const Key *k);

/* Stores all keys in one commit and publishes them; with common.dry_run it only finds out what
 * would be done. The rules are those of manager_add(), also between the keys of the import. Only
 * names are kept in between: each PSK is derived again where it is needed. Takes n log n time for n
 * keys in store and import together. Returns -E2BIG past IMPORT_KEYS_MAX, -EINVAL, both with the
 * index in *reterr_fault, -EEXIST or, if all conflicts are of names, -ENOTUNIQ, with the conflicts,
 * or another error of ManagerAdded. The caller releases *ret with import_result_done().
 * *reterr_fault, zeroed by the caller, is released by import_fault_done(). */
int manager_import(Manager *m, const ImportRequest *q, ImportResult *ret, ImportFault *reterr_fault,
                   char **reterr_detail) _must_check_;

/* As manager_await_add(), for an import. */
bool manager_await_import(Manager *m, const ImportRequest *q);
