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
    Header header;            /* as it will be, but for what a commit counts */
    bool header_changed;
    bool new_counter; /* its value is that of the TPM */
    bool committed;
};
