/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/linkhash.h>

#include "credstore/store-private.h"

/* The change of one record. */
typedef struct Change {
    char id[STORE_ID_SIZE]; /* its key in changes */
    uint64_t number;
    Record *record; /* the new record; NULL: removed */
    Record *stored; /* the old record; NULL: added; set and used by store_commit() */
} Change;

struct StoreTransaction {
    Store *store;
    struct lh_table *changes; /* id -> Change */
    Header header;            /* the next header, except for the counters that a commit sets */
    bool header_changed;
    bool new_counter; /* header.counter is new, with the value of the TPM */
    bool committed;
};
