/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fleet/fleet.h"

/* Acts of the issuer. All need the key of the fleet, and return -ESTALE if another command has
 * changed the value in between, or another error of the place, -ENOMEM, -EIO. */

/* Makes a new PSK of the pair, or its tombstone if it has ended, and puts its description and its
 * envelopes for the machines that are approved. Fills in generation and envelope. version: that of
 * the old description, PLACE_ABSENT for a new pair. Returns -ENOKEY if a machine that is needed is
 * not approved. */
int fleet_issue(Fleet *f, FleetPair *pair, uint64_t version, uint64_t now_usec) _must_check_;

/* Gives the pair of an entry a new PSK, or ends it; once, because it does not learn the version of
 * what it has put. */
int fleet_renew(Fleet *f, size_t entry, bool end, uint64_t now_usec) _must_check_;

/* Puts an approval for a machine of the fleet that has a certificate, or a revocation, which takes
 * its approval away. */
int fleet_approve(Fleet *f, size_t machine, uint64_t now_usec) _must_check_;
int fleet_revoke(Fleet *f, size_t machine, uint64_t now_usec) _must_check_;
