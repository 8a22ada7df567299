/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-id128.h>

#include "basic/macro.h"

/*
 * tlshd does the TLS handshakes for the kernel.
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
typedef enum TlshdState {
    TLSHD_STOPPED,
    TLSHD_READY,
    TLSHD_UNKNOWN, /* its session keyring cannot be seen, or has no link */
    TLSHD_STALE,
} TlshdState;

/* What helps if handshakes fail. */
typedef enum TlshdRemedy {
    TLSHD_NO_REMEDY, /* nothing to do, or nothing is known */
    TLSHD_RESTART,
    TLSHD_CONFIGURE, /* a restart has not helped: keyrings= of tlshd's configuration */
} TlshdRemedy;

typedef struct Handshake {
    const char *unit; /* static */
    TlshdState state;
    TlshdRemedy remedy;
    bool unlinked; /* unknown, because there is no link (yet, if it has just been started) */
} TlshdStatus;

/* Where a unit was seen: its invocation, and the ring of that time. */
typedef struct TlshdSighting {
    sd_id128_t invocation;
    int32_t ring; /* 0 for never */
} TlshdSighting;

/* What was seen of one unit so far. */
typedef struct TlshdHistory {
    TlshdSighting ready;   /* last */
    TlshdSighting lacking; /* first with its ring */
} TlshdHistory;

#define TLSHD_UNITS 2

/* Of all units; all zeros at first. */
typedef struct TlshdMemory {
    TlshdHistory units[TLSHD_UNITS];
} TlshdMemory;

/* Where the service manager says which units are running, and the kernel which controllers it has:
 * /run/systemd/units and /sys/class/nvme. controllers may be NULL for none. */
typedef struct TlshdPlaces {
    const char *units;
    const char *controllers;
} TlshdPlaces;

/* As the interface of the daemon calls them. */
const char *tlshd_state_to_string(TlshdState state);
const char *tlshd_remedy_to_string(TlshdRemedy remedy);

/* Looks whether tlshd finds the PSKs of a keyring. Of several that are running *ret
 * is the one that is worst off. Linear in the keys that we can see, if one is running. Updates
 * memory. Returns -ENOMEM. */
int tlshd_look(const TlshdPlaces *places, int32_t keyring, TlshdMemory *memory, TlshdStatus *ret)
    _must_check_;
