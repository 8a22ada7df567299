/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"

/* Counters of the kernel, which it prints as text. */

/* KeyUpdates of TLS that peers have sent on this machine's connections. The kernel cannot go on
 * with a connection of NVMe/TCP after one: it connects again, or waits for ever. */
typedef struct KeyUpdates {
    bool counted; /* older kernels do not count them */
    uint64_t received;
    uint64_t done; /* of them, those that the receiver has carried out */
} KeyUpdates;

/* Parses /proc/net/tls_stat. Lines of other counters are left out; a counter that is no number
 * counts as missing. */
void key_updates_parse(const char *text, size_t size, KeyUpdates *ret);

/* Reads the file at path; without one, nothing is counted. Returns 0 or the error of reading. */
int key_updates_read(const char *path, KeyUpdates *ret) _must_check_;

/* True if a peer has sent a KeyUpdate that was not carried out, now or earlier. */
static inline bool key_updates_are_open(const KeyUpdates *u)
{
    return u->counted && u->received > u->done;
}

/* The requests of a block device. */
typedef struct BlockRequests {
    uint64_t completed; /* reads, writes, discards and flushes since it was made */
    uint64_t in_flight;
} BlockRequests;

/* Parses its attribute "stat". Returns -EBADMSG for anything else. */
int block_requests_parse(const char *text, size_t size, BlockRequests *ret) _must_check_;
