/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-id128.h>

#include "basic/macro.h"

/*
 * The handshake daemon, tlshd: the kernel has it do the handshakes of TLS.
 *
 * tlshd finds the PSKs by its session keyring. It links `.nvme` into that when it starts (before
 * 0.12 only if its configuration says so). From 1.1 on it also links the keyring that the kernel
 * names with each handshake, and unlinks it afterwards, the link of the start included. So of a
 * session without a link nobody can tell by itself whether handshakes succeed:
 *
 *   link                                           state
 *   to the ring, or to a keyring that leads to it  ready
 *   none, and the same invocation had one          ready: tlshd let go of it (1.0 never does)
 *   none, and a live controller uses a key of it   ready: a handshake succeeded with this ring
 *   none                                           unknown
 *   to a revoked ring                              stale: nvme_keyring was unloaded
 *
 * Our drop-in gives tlshd.service the user keyring of root (KeyringMode=shared), and ring_share()
 * links the ring there, so these are ready whatever tlshd links.
 */
typedef enum HandshakeState {
    HANDSHAKE_STOPPED,
    HANDSHAKE_READY,
    HANDSHAKE_UNKNOWN, /* its session keyring cannot be seen, or has no link */
    HANDSHAKE_STALE,
} HandshakeState;

/* What helps if handshakes fail. */
typedef enum HandshakeRemedy {
    HANDSHAKE_NO_REMEDY, /* nothing to do, or nothing is known */
    HANDSHAKE_RESTART,
    HANDSHAKE_CONFIGURE, /* a restart has not helped: keyrings= of tlshd's configuration */
} HandshakeRemedy;

typedef struct Handshake {
    const char *unit; /* static */
    HandshakeState state;
    HandshakeRemedy remedy;
    bool unlinked; /* unknown, because there is no link (yet, if it has just been started) */
} Handshake;

/* Where a unit was seen: its invocation, and the ring of that time. */
typedef struct HandshakeSighting {
    sd_id128_t invocation;
    int32_t ring; /* 0 for never */
} HandshakeSighting;

/* What was seen of one unit so far. */
typedef struct HandshakeHistory {
    HandshakeSighting ready;   /* last */
    HandshakeSighting lacking; /* first with its ring */
} HandshakeHistory;

#define HANDSHAKE_UNITS 2

/* Of all units; all zeros at first. */
typedef struct HandshakeMemory {
    HandshakeHistory units[HANDSHAKE_UNITS];
} HandshakeMemory;

/* Where the service manager says which units are running, and the kernel which controllers it has:
 * /run/systemd/units and /sys/class/nvme. controllers may be NULL for none. */
typedef struct HandshakePlaces {
    const char *units;
    const char *controllers;
} HandshakePlaces;

/* As the interface of the daemon calls them. */
const char *handshake_state_to_string(HandshakeState state);
const char *handshake_remedy_to_string(HandshakeRemedy remedy);

/* Looks whether the handshake daemon finds the PSKs of a keyring. Of several that are running *ret
 * is the one that is worst off. Linear in the keys that we can see, if one is running. Updates
 * memory. Returns -ENOMEM. */
int handshake_look(const HandshakePlaces *places, int32_t keyring, HandshakeMemory *memory,
                   Handshake *ret) _must_check_;
