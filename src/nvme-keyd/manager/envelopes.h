/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/envelopes/issuers.h"
#include "nvme-keyd/envelopes/records.h"
#include "nvme-keyd/envelopes/taken.h"
#include "nvme-keyd/keys/key.h"
#include "nvme-keyd/manager/manager.h"

/*
 * Fleets: the identity of this machine, the issuers that it trusts, and what becomes of their
 * envelopes. All that parses certificates or envelopes runs in a child process (envelopes/work.h),
 * so these functions call done from the event loop, or before they return; done may be called for a
 * call whose peer has gone. They need an open store. detail: a line for people, or NULL.
 */

/* error: -EIO (of the child, or of the store), -EBUSY (too much work waits), -ENOMEM, -ECANCELED.
 * m: the identity, borrowed; request: a certificate request in PEM, if one was wanted. */
typedef void (*ManagerMachine)(int error, const MachineRecord *m, const char *request,
                               const char *detail, void *userdata);

/* Makes the identity of this machine if there is none, and its certificate again if the host NQN
 * has changed. */
void manager_show_machine(Manager *m, bool with_request, ManagerMachine done, void *userdata);

/* error: as above, or -EINVAL (no certificate of a P-256 key), -EEXIST (trusted already), -E2BIG.
 */
typedef void (*ManagerTrusted)(int error, const char *fingerprint, const char *detail,
                               void *userdata);
/* Pins the issuer of a certificate in PEM. */
void manager_trust(Manager *m, const char *pem, ManagerTrusted done, void *userdata);
/* Returns -ENOENT or an error of the store, with a detail. */
int manager_distrust(Manager *m, const char *fingerprint, char **reterr_detail) _must_check_;

/* An issuer that is trusted now. */
typedef struct Issuer {
    IssuerSource source;
    const char *name;        /* of its file, NULL for one of the store */
    uint64_t created_usec;   /* when it was pinned in the store */
    const char *fingerprint; /* NULL: the file has no certificate of a P-256 key */
} Issuer;
typedef void (*ManagerIssuers)(int error, const Issuer *issuers, size_t n, const char *detail,
                               void *userdata);
void manager_list_issuers(Manager *m, ManagerIssuers done, void *userdata);

typedef enum TakeOutcome {
    TAKE_ADDED,     /* the pair had no key, and has an active one now */
    TAKE_PENDING,   /* its key has a successor now */
    TAKE_UNCHANGED, /* it had this PSK already */
    TAKE_REMOVED,   /* its keys are gone: a tombstone */
} TakeOutcome;

const char *take_outcome_to_string(TakeOutcome outcome);

/* The outcome for a pair. */
typedef struct TakeItem {
    const TakenPair *pair;
    TakeOutcome outcome;
    const Key *key; /* the new one, or that with this PSK; NULL for a tombstone */
} TakeItem;

typedef struct TakeReport {
    const char *id, *issuer;
    const TakeItem *items;
    size_t n;
} TakeReport;

/* error: an EnvelopeRefusal; or as manager_add() has it, for a pair whose other keys are in the
 * way; -EBUSY for one whose state forbids it, -EADDRINUSE for a tombstone of a key that a
 * controller needs, -EAGAIN (too much work waits); -EIO. Nothing has changed then. */
typedef void (*ManagerTaken)(int error, const TakeReport *report, const char *detail,
                             void *userdata);

/* Takes an envelope, PEM or DER: all its pairs of this machine in one commit, or none. A target
 * accepts a new key beside the old one; a host follows its targets (follow.h). */
void manager_take(Manager *m, const void *envelope, size_t size, ManagerTaken done, void *userdata);

/* The pairs that this machine has taken. */
const Records *manager_fleet(const Manager *m);
/* True while an envelope is being opened, so the service must not exit. */
bool manager_is_taking(const Manager *m);
