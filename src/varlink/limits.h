/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "basic/limits.h"

/* A call carries two NQNs, a PSK and a comment: 64 KiB leave room and bound what a peer can cost.
 */
#define VARLINK_MESSAGE_MAX ((size_t)64 * 1024)
/* The longest reply is the head of an export of the store: an index of some 40,000 records, with
 * its escapes. A peer with more unread is dropped, so a method with a longer reply has to stream
 * it. */
#define VARLINK_OUTPUT_MAX ((size_t)16 * 1024 * 1024)
/* With more than that unsent, neither calls nor streams of a peer go on: some steps of a stream,
 * and little enough for all connections together. */
#define VARLINK_OUTPUT_PAUSE ((size_t)16 * 1024)
/* Root's. Each verb of the CLI is one connection; a machine that starts 256 at once is stuck. */
#define VARLINK_CONNECTIONS_MAX 256

/* The same for peers other than root, who only read: their calls have an id at most, but whatever
 * root may call has to be understood, to be refused by name: two NQNs, a PSK and a comment, some of
 * it escaped. */
#define VARLINK_OTHERS_MESSAGE_MAX ((size_t)8 * 1024)
/* Status with all the problems of credentials that it tells. */
#define VARLINK_OTHERS_OUTPUT_MAX ((size_t)256 * 1024)
/* What the kernel queues for one of them, half as much again for its bookkeeping. */
#define VARLINK_OTHERS_SNDBUF (32 * 1024)
/* All of them: with the above, less than 16 MiB in all, of MemoryMax=512M. */
#define VARLINK_OTHERS_CONNECTIONS_MAX 128
/* One user: half of that, so that one alone cannot keep the others out. */
#define VARLINK_USER_CONNECTIONS_MAX 64
/* Connections to accept before those that are there have a turn. */
#define VARLINK_ACCEPT_BATCH 64
/* When there is no room for another, a connection that was still for so long gives way. */
#define VARLINK_SCARCE_IDLE_USEC USEC_PER_SEC
/* Idle connections keep the daemon from its idle exit; who polls does so more often. */
#define VARLINK_OTHERS_IDLE_USEC (5 * 60 * USEC_PER_SEC)

/* Calls that hold a secret and wait for the store: half of the locked memory, so that the kernel's
 * requests never lack it. */
#define VARLINK_PARKED_MAX (SECRET_ARENA_SIZE / 2)

#define VARLINK_JSON_DEPTH_MAX 16
