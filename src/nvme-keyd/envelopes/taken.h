/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "envelope/content.h"

/*
 * The result of the child process that opened an envelope: the pairs that name this machine, in a
 * fixed binary form without a choice, so that the daemon need not parse JSON of others.
 */
typedef struct TakenPair {
    char hostnqn[NQN_LENGTH_MAX + 1], subsysnqn[NQN_LENGTH_MAX + 1];
    bool is_host, is_target;
    uint64_t generation;                    /* from 1 to INT64_MAX, as the next two from 0 */
    uint64_t not_before_usec, expires_usec; /* 0 for none */
    unsigned versions;                      /* bits 0 and 1, one at least */
    PskDerivation derivation;
    PskHash hash;
    Secret *configured; /* NULL for a tombstone */
} TakenPair;

typedef struct TakenEnvelope {
    char id[ENVELOPE_ID_SIZE];
    char issuer[MACHINE_FINGERPRINT_SIZE];
    TakenPair *pairs; /* owned, with their secrets */
    size_t n;         /* 1 at least */
} TakenEnvelope;

void taken_done(const TakenEnvelope *t);

/* Writes the pairs of a content that name a machine; issuer: its fingerprint. Returns -ENOENT
 * without such a pair, -ENOMEM. */
int taken_pack(const EnvelopeContent *c, const char *issuer, const char *machine, Secret **ret)
    _must_check_;

/* Returns -EBADMSG for any other form, -ENOMEM. The caller releases *ret. */
int taken_parse(const void *data, size_t size, TakenEnvelope *ret) _must_check_;
