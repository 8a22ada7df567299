/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "basic/limits.h"

/* Most calls carry two NQNs, a PSK and a comment at most: 64 KiB leave room and bound the cost of a
 * peer. One connection of root at a time may send more, up to VARLINK_MESSAGE_MAX. */
#define VARLINK_SHORT_MESSAGE_MAX ((size_t)64 * 1024)
/* A peer that neither sends nor reads for this long, in the middle of a long message, loses its
 * connection if another one waits to send one. */
#define VARLINK_LONG_STALL_USEC (30 * USEC_PER_SEC)
/* The longest reply is the head of an export of the store: an index of some 40,000 records, with
 * its escapes. A peer with more unread is dropped, so a method with a longer reply has to stream
 * it. */
#define VARLINK_OUTPUT_MAX ((size_t)16 * 1024 * 1024)
/* With more output than this, neither calls nor streams of a peer continue. With one more piece of
 * a stream it fits into a block of 16 KiB, little enough for all connections together. */
#define VARLINK_OUTPUT_PAUSE ((size_t)12 * 1024)
/* For root. Each verb of the CLI uses one connection; a machine that runs 256 at once is stuck. */
#define VARLINK_CONNECTIONS_MAX 256

/* For peers other than root, who only read. Their calls carry an id at most, but a call that only
 * root may make has to be parsed to be refused by name: two NQNs, a PSK and a comment, partly
 * escaped. */
#define VARLINK_OTHERS_MESSAGE_MAX ((size_t)8 * 1024)
/* Fits Status with all the problems of credentials that it lists. */
#define VARLINK_OTHERS_OUTPUT_MAX ((size_t)256 * 1024)
/* Socket buffer of one of them; the kernel adds half as much for its bookkeeping. */
#define VARLINK_OTHERS_SNDBUF (32 * 1024)
/* For all of them: with the limits above, less than 16 MiB of MemoryMax=512M. */
#define VARLINK_OTHERS_CONNECTIONS_MAX 128
/* For one user: half of all, so that one alone cannot keep the others out. */
#define VARLINK_USER_CONNECTIONS_MAX 64
/* Connections to accept before existing ones get a turn. */
#define VARLINK_ACCEPT_BATCH 64
/* A connection that was idle for this long gives way to a new one if there is no room. */
#define VARLINK_SCARCE_IDLE_USEC USEC_PER_SEC
/* Idle connections prevent the idle exit of the daemon, so they are closed after this; a client
 * that polls does so more often. */
#define VARLINK_OTHERS_IDLE_USEC (5 * 60 * USEC_PER_SEC)

/* Calls of batch methods that are carried out together. A request of the kernel waits for all of
 * them: so many new keys take some 5 ms of processor time, and the same two syncs as one key. */
#define VARLINK_BATCH_MAX 32

/* Calls with a secret that wait for the store: half of the locked memory. So many plain calls to
 * add a key fit as root has connections, and half as many with long names. The store could not open
 * without the other half: the result of a job (job/job.c) takes half of that, and requests of the
 * kernel and the keys of a batch need little. */
#define VARLINK_PARKED_MAX (SECRET_ARENA_SIZE / 2)

#define VARLINK_JSON_DEPTH_MAX 16
/* Values in a text, an object or array counted as eight: they cost memory alike, and the largest
 * import has 12 for each of its 65536 keys. As members of one object, which cost most, so many take
 * 180 to 240 MiB, and parsing them up to 300 MiB with the message: within MemoryMax=512M, because
 * one connection at a time may send that much. */
#define VARLINK_JSON_VALUES_MAX (1024 * 1024)
