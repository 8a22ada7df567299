/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "basic/macro.h"

#define SESSION_INVOCATION_SIZE 16

/* The end of the links in a service's session keyring. */
typedef enum SessionLinks {
    SESSION_NEITHER,
    SESSION_REVOKED, /* to no keyring but a revoked one of the same name */
    SESSION_RING,    /* to the keyring, by itself or by one keyring in between */
} SessionLinks;

/*
 * Looks into the session keyring of a service of another process. systemd gives each process that
 * it starts for a system service a session keyring of its own, `_ses`, and puts the id of the
 * unit's invocation into it. Both may be read by their owner without possessing them. The user
 * keyring is in between where the unit has KeyringMode=shared.
 *
 * Only services of root are looked at. Where a service has several such keyrings, the best of them
 * counts. Linear in the keys that we can see.
 *
 * Returns -ENOENT where there is none of this invocation, -ENOMEM, an error of /proc/keys, or that
 * of the keyring, such as -EKEYREVOKED.
 */
int session_look(const uint8_t invocation[static SESSION_INVOCATION_SIZE], int32_t keyring,
                 SessionLinks *ret) _must_check_;
