/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/linkhash.h>

#include "credstore/store-private.h"

/* What a transaction does to one record. */
typedef struct Change {
    char id[STORE_ID_SIZE]; /* its key in the table */
    uint64_t number;
    Record *record; /* the new one, NULL: removed */
    Record *stored; /* the old one, NULL: added; set and used by store_commit() */
} Change;

struct StoreTransaction {
    Store *store;
    struct lh_table *changes; /* id -> Change */
    json_object *slots;       /* the new ones, NULL: as they are */
    RollbackCounter *counter; /* a fresh one as it is in the TPM, or none; NULL: as it is */
    bool committed;
};
