/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-id128.h>

#include "basic/macro.h"

/*
 * tlshd does the TLS handshakes for the kernel.
 *
 * It finds PSKs by its session keyring, into which it links `.nvme` when it starts (before 0.12
 * only if its configuration says so). Since 1.1 it also links the keyring of each handshake and
 * unlinks it afterwards, which removes the link of the start too. So a session without a link is
 * ambiguous:
 *
 *   link                                           state
 *   to the ring, or to a keyring that leads to it  ready
 *   none, but the same invocation had one          ready: tlshd unlinked it (1.0 never does)
 *   none, but a live controller uses a key of it   ready: a handshake succeeded with this ring
 *   none                                           unknown
 *   to a revoked ring                              stale: nvme_keyring was unloaded
 *
 * Our drop-in gives tlshd.service the user keyring of root (KeyringMode=shared), and ring_share()
 * links the ring there, so that tlshd is ready whatever it links.
 */
typedef enum TlshdState {
    TLSHD_STOPPED,
    TLSHD_READY,
    TLSHD_UNKNOWN, /* its session keyring cannot be seen, or has no link */
    TLSHD_STALE,
} TlshdState;

/* The remedy if handshakes fail. */
typedef enum TlshdRemedy {
    TLSHD_NO_REMEDY, /* nothing to do, or nothing is known */
    TLSHD_RESTART,
    TLSHD_CONFIGURE, /* keyrings= of tlshd's configuration, because a restart has not helped */
} TlshdRemedy;

typedef struct TlshdStatus {
    const char *unit; /* static */
    TlshdState state;
    TlshdRemedy remedy;
    bool unlinked; /* unknown because it has no link, perhaps because it has just started */
} TlshdStatus;

/* An invocation of a unit with the ring of that time. */
typedef struct TlshdSighting {
    sd_id128_t invocation;
    int32_t ring; /* 0 for never */
} TlshdSighting;

/* Earlier looks at one unit. */
typedef struct TlshdHistory {
    TlshdSighting ready;   /* last */
    TlshdSighting lacking; /* first with its ring */
} TlshdHistory;

#define TLSHD_UNITS 2

/* Of all units; all zeros at first. */
typedef struct TlshdMemory {
    TlshdHistory units[TLSHD_UNITS];
} TlshdMemory;

/* /run/systemd/units with the running units, and /sys/class/nvme with the controllers, or NULL for
 * none. */
typedef struct TlshdPlaces {
    const char *units;
    const char *controllers;
} TlshdPlaces;

/* The names in org.nvmekeyd.Manager. */
const char *tlshd_state_to_string(TlshdState state);
const char *tlshd_remedy_to_string(TlshdRemedy remedy);

/* Looks whether tlshd finds the PSKs of a keyring. If several units run, *ret is the one in the
 * worst state. Linear in the keys that we can see, if one runs. Updates memory. Returns -ENOMEM. */
int tlshd_look(const TlshdPlaces *places, int32_t keyring, TlshdMemory *memory, TlshdStatus *ret)
    _must_check_;
