/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/manager/manager.h"
#include "nvme-keyd/probe/prober.h"

/*
 * Asks all targets of a key whether they accept it: the addresses of the controllers of its pair,
 * connected or not, or one address that is given. The keys may change meanwhile: a round has what
 * it needs.
 */
typedef struct ProbeRound ProbeRound;

typedef struct ProbeResult {
    char controller[32]; /* "nvme0"; "" for an address that was given */
    char address[PROBE_TARGET_TEXT_SIZE];
    ProbeAnswer answer;
    char detail[PROBE_DETAIL_MAX + 1];
} ProbeResult;

/* Gets a result for each target, valid during the call. The round is over, and must be freed; this
 * may do so. */
typedef void (*ProbeRoundDone)(const ProbeResult *results, size_t n, void *userdata);

/* Offers the highest identity version of a key to its targets; target: the only one, or NULL for
 * those of the controllers. done is called once, from the event loop, also if the Manager is freed
 * meanwhile. Returns -ENOENT; -EBUSY for a broken, revoked or overridden key; -ENODEV if the
 * pair has no controller; -EHOSTUNREACH if one of them has an address of an unknown form; -ENOBUFS
 * if too many probes are waiting; or an error of reading the controllers or of the key's source.
 * All but -ENOMEM come with a line for people. */
int probe_round_start(Manager *m, const char *id, const ProbeTarget *target, ProbeRoundDone done,
                      void *userdata, ProbeRound **ret, char **reterr_detail) _must_check_;

/* Ends the round if it is not over: then done is not called. Accepts NULL; returns NULL. */
ProbeRound *probe_round_free(ProbeRound *r);
DEFINE_CLEANUP(ProbeRound, probe_round_free)
