/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "credstore/store.h"
#include "envelope/content.h"

/*
 * Records of the store that are no keys. docs/CREDSTORE.md has their form.
 *
 *    machine    the private key of this machine
 *    issuer     a certificate whose envelopes this machine takes
 *    pair       the last generation that this machine has taken for a pair, so that an older
 *               envelope is a replay, also after the pair has ended
 */
typedef struct MachineRecord {
    char id[STORE_ID_SIZE]; /* empty: there is none */
    uint64_t created_usec;
    char name[NQN_LENGTH_MAX + 1]; /* the host NQN in the certificate, or empty */
    char fingerprint[MACHINE_FINGERPRINT_SIZE];
    char *certificate; /* PEM */
} MachineRecord;

typedef struct IssuerRecord {
    char id[STORE_ID_SIZE];
    uint64_t created_usec;
    char fingerprint[MACHINE_FINGERPRINT_SIZE];
} IssuerRecord;

typedef struct PairRecord {
    char id[STORE_ID_SIZE];
    char *hostnqn, *subsysnqn;
    uint64_t generation; /* from 1; 0 while the first one is staged */
    uint64_t changed_usec;
    char envelope[ENVELOPE_ID_SIZE];
    char issuer[MACHINE_FINGERPRINT_SIZE];
    uint64_t staged; /* the generation of a transaction that is not committed yet, 0 for none */
} PairRecord;

typedef struct Records {
    MachineRecord machine;
    IssuerRecord *issuers;
    size_t n_issuers;
    PairRecord *pairs;
    size_t n_pairs, n_pairs_max;
} Records;

void records_done(Records *r);

/* Takes a record over if it is of one of these kinds. Returns 1, 0 for another kind, -EBADMSG for
 * another form or a second machine, -ENOMEM. */
int records_load(Records *r, const StoreRecord *record) _must_check_;

/* Replaces the machine in memory, and writes it to a transaction; key may be NULL if there is one.
 * Takes certificate of m over, also on error. Returns an error of store_add(). */
int records_put_machine(Records *r, Store *store, const MachineRecord *m, const Secret *key)
    _must_check_;

/* Adds an issuer, or removes one, in a commit. Returns -EEXIST, -ENOENT, -E2BIG past ISSUERS_MAX,
 * or an error of the store. */
int records_add_issuer(Records *r, Store *store, const char *fingerprint, const void *certificate,
                       size_t size) _must_check_;
int records_remove_issuer(Records *r, Store *store, const char *fingerprint) _must_check_;

/* The last generation of a pair; 0 for none. Linear in the number of pairs. */
uint64_t records_generation(const Records *r, const char *hostnqn, const char *subsysnqn);

/* Writes a new generation of a pair to a transaction. Then the caller ends it in one of two ways.
 */
int records_stage_pair(Records *r, StoreTransaction *t, const PairRecord *pair) _must_check_;
void records_end_pairs(Records *r, bool committed);
