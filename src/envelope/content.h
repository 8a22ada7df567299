/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>

#include "basic/secret.h"
#include "envelope/machine.h"
#include "psk/derive.h"
#include "psk/limits.h"

/*
 * The content of an envelope: PSKs for pairs, or the end of a pair. docs/FLEET.md has its JSON.
 */

#define ENVELOPE_ID_SIZE 33

typedef struct EnvelopeEntry {
    char hostnqn[NQN_LENGTH_MAX + 1], subsysnqn[NQN_LENGTH_MAX + 1];
    /* The fingerprints of the machines that have the pair, in their roles. A machine with both has
     * the role both. */
    char host[MACHINE_FINGERPRINT_SIZE], target[MACHINE_FINGERPRINT_SIZE];
    uint64_t generation; /* of the pair, from 1; a lower one than a machine has seen is a replay */
    uint64_t not_before_usec, expires_usec; /* wall clock; 0 for none */
    unsigned versions;                      /* bits 0 and 1: identity versions */
    PskDerivation derivation;
    PskHash hash;
    Secret *configured; /* NULL for a tombstone: the pair is removed */
} EnvelopeEntry;

typedef struct EnvelopeContent {
    char id[ENVELOPE_ID_SIZE]; /* random, for logs */
    uint64_t issued_usec;
    EnvelopeEntry *entries; /* owned, with their secrets */
    size_t n;
} EnvelopeContent;

void envelope_content_done(const EnvelopeContent *c);

/* Writes JSON into a new secret, without a NUL. Returns -ENOMEM, or -E2BIG past
 * ENVELOPE_CONTENT_MAX. */
int envelope_content_format(const EnvelopeContent *c, Secret **ret) _must_check_;

/* Reads JSON of size bytes. Returns -EBADMSG with a detail that names the entry and what is wrong
 * with it, never its PSK; or -ENOMEM. The caller releases *ret. */
int envelope_content_parse(const char *text, size_t size, EnvelopeContent *ret,
                           char **reterr_detail) _must_check_;

/* The member "identityVersions" of an entry, and of a description of a pair: bits 0 and 1. Returns
 * -ENOMEM; false for none or any other number. */
int envelope_add_versions(json_object *o, unsigned versions) _must_check_;
bool envelope_read_versions(json_object *o, unsigned *ret);
