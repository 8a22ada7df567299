/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <openssl/x509.h>

#include "basic/secret.h"
#include "fleet/place.h"
#include "fleet/plan.h"
#include "fleet/statement.h"

/*
 * A fleet as its place shows it, checked by the certificate of the issuer. What is not signed, or
 * stands where it does not belong, is refused: named by a warning, and left out.
 */

typedef struct FleetMachine {
    char fingerprint[MACHINE_FINGERPRINT_SIZE];
    /* Approved by the issuer, or else as the machine itself says. */
    char name[MACHINE_NAME_MAX + 1];
    char *certificate; /* PEM, owned; NULL without one that is good */
    bool approved, revoked;
    bool online; /* true in a place that does not know */
} FleetMachine;

#define FLEET_NO_MACHINE SIZE_MAX

typedef struct FleetEntry {
    FleetPair pair;
    uint64_t version;    /* of the place */
    size_t host, target; /* machines, or FLEET_NO_MACHINE */
    char host_reason[REASON_MAX + 1], target_reason[REASON_MAX + 1];
} FleetEntry;

typedef struct Fleet {
    Place *place; /* borrowed, like the next two */
    X509 *issuer;
    EVP_PKEY *key; /* NULL: to look only */
    void (*warn)(const char *line);
    FleetMachine *machines; /* sorted by fingerprint */
    size_t n_machines, machines_size;
    FleetEntry *entries; /* sorted by ID; plan[i] is about entries[i] */
    PlanPair *plan;
    size_t n, size;
    size_t n_refused;
} Fleet;

void fleet_done(const Fleet *f);

/* Loads all machines and pairs into f, whose first four members are set. Returns 0, or an error of
 * the place. */
int fleet_load(Fleet *f) _must_check_;

/* Reads what one machine says, and whether it is in reach. */
int fleet_refresh(Fleet *f, size_t machine) _must_check_;

/* Has the plan know which machines of a pair are in reach. */
void fleet_note_presence(Fleet *f, size_t entry);

/* The machine of a whole fingerprint; FLEET_NO_MACHINE if there is none. */
size_t fleet_find_machine(const Fleet *f, const char *fingerprint);

/* Gets and checks the value of a key that the issuer has signed. Returns 0, -ENOENT, -EBADMSG after
 * a warning, or an error of the place. *ret_text is to be freed. */
int fleet_get_signed(Fleet *f, const char *key, char **ret_text, size_t *ret_size,
                     uint64_t *ret_version) _must_check_;

/* Signs a text. *ret is to be freed. Returns -EIO, -ENOMEM. */
int fleet_sign(const Fleet *f, const char *text, char **ret) _must_check_;
