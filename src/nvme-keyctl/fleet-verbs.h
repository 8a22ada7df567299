/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The commands of fleets: V(function, name, argument, help). nvme-keyctl lists them, and a program
 * of their own runs them, so that nvme-keyctl needs no network library. */
#define FLEET_VERBS(V)                                                                             \
    V(status, "fleet status", NULL, "show where the pairs and machines of a fleet are")            \
    V(enrol, "fleet enrol", "FILE", "put the certificate of a machine")                            \
    V(approve, "fleet approve", "MACHINE", "have a machine belong to the fleet")                   \
    V(revoke, "fleet revoke", "MACHINE", "exclude a machine for good, and end its pairs")          \
    V(issue, "fleet issue", NULL, "make a pair, and its first PSK")                                \
    V(rotate, "fleet rotate", "[PAIR...]", "give pairs new PSKs, or go on with a rotation")        \
    V(end, "fleet end", "PAIR...", "have both machines remove a pair")
