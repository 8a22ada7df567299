/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

/*
 * Every number that bounds something a peer, a file or the kernel can make grow, each with its
 * reason. Durations are in microseconds.
 */

#define USEC_PER_SEC ((uint64_t)1000000)

/* NVMe Base Specification 2.0, 4.5: a qualified name has at most 223 bytes. */
#define NQN_LENGTH_MAX 223
/* "nqn." and at least one character more. */
#define NQN_LENGTH_MIN 5

/* "NVMe1R02 " + two NQNs with a blank each + a Base64 SHA-384 digest. */
#define PSK_IDENTITY_MAX (9 + 2 * (NQN_LENGTH_MAX + 1) + 64)
/* SHA-384 output; configured, retained and TLS PSKs are 32 or 48 bytes. */
#define PSK_SIZE_MAX 48
/* "NVMeTLSkey-1:02:" + Base64 of 48 + 4 bytes + ":". */
#define PSK_INTERCHANGE_MAX 89

/* The kernel refuses longer descriptions (KEY_MAX_DESC_SIZE in security/keys/keyctl.c). */
#define KEY_DESCRIPTION_MAX 4095

/* A call carries two NQNs, a PSK and a comment: 64 KiB leave room and bound what a peer can cost.
 */
#define VARLINK_MESSAGE_MAX ((size_t)64 * 1024)
/* One file of a copy of the store, an index shard with its escapes, is the longest reply. A peer
 * with more unread is dropped, so a method that has more to say has to stream it. */
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

/* Readers other than root share one look at the keyring, which costs some microseconds a key. */
#define LOOK_SHARED_USEC (USEC_PER_SEC / 10)
/* Where it takes longer than a tenth of that, it stays good for so many times as long as it took.
 */
#define LOOK_SHARE 10

/* Notices about refused calls, for each user and minute: enough to see that there is something. */
#define REFUSALS_PER_MINUTE 10
/* Those for all users together: whoever has subordinate uids is as many users. */
#define REFUSALS_ALL_PER_MINUTE 60
/* Users of whom they are counted at a time. */
#define REFUSALS_USERS_MAX 16

#define VARLINK_JSON_DEPTH_MAX 16

/* The kernel starts one shim per request; 200 connects at once is a large storage reconnect. */
#define UPCALL_CONNECTIONS_MAX 1024
/* The whole life of a shim: nvme_tcp gives a handshake 10 s, and the requester waits for us. */
#define UPCALL_DEADLINE_USEC (8 * USEC_PER_SEC)
/* How long the kernel remembers a miss unless the configuration says otherwise. */
#define UPCALL_NEGATIVE_TIMEOUT_SEC 5
/* An answer that lists serials is of use at once or not at all. */
#define UPCALL_ANSWER_SEC 5

/* Life of a key that is published on demand. A handshake has 10 s to look it up again. */
#define ON_DEMAND_SEC 60
#define ON_DEMAND_SEC_MIN 20

/* From the start of a handshake daemon until it has linked its keyrings, which it does first. */
#define HANDSHAKE_START_USEC (5 * USEC_PER_SEC)
/* The service manager answers at once, or is stuck. */
#define UNIT_RESTART_TIMEOUT_USEC (20 * USEC_PER_SEC)

/* A comment is a line for people. */
#define COMMENT_LENGTH_MAX 256

/* One record: metadata with two NQNs and a comment, and a sealed PSK with its derived keys. */
#define STORE_RECORD_MAX ((size_t)16 * 1024)
/* One index shard at a million records. */
#define STORE_SHARD_MAX ((size_t)4 * 1024 * 1024)
/* Slots hold a systemd credential each (up to a few kilobytes with TPM data). */
#define STORE_HEADER_MAX ((size_t)256 * 1024)
/* A copy for a boot image, which has to fit in there. Some 40,000 keys. */
#define STORE_COPY_MAX ((size_t)32 * 1024 * 1024)
/* Store and key-encryption keys. */
#define STORE_KEY_SIZE 32
#define STORE_SLOTS_MAX 16

/* systemd-creds may wait for a TPM: discrete ones were seen to take 11 s for one unseal. */
#define SEAL_TIMEOUT_USEC (60 * USEC_PER_SEC)
/* The look for counters of other stores in the TPM only reads what needs no password, which takes
 * milliseconds. Keys that a slot has opened already wait for it, and at boot so does all that
 * connects, which gives up within a minute. */
#define COUNTER_CHECK_TIMEOUT_USEC (5 * USEC_PER_SEC)

/* Locked memory for secrets. A secret lives for one operation, so some hundred fit at once. */
#define SECRET_ARENA_SIZE ((size_t)256 * 1024)

/* One credential with PSKs, of which a copy and a buffer have to fit into that at once: some 200
 * PSKs. The service manager gives a unit 1 MiB in all. */
#define CREDENTIAL_SIZE_MAX ((size_t)32000)
#define CREDENTIALS_MAX 1024
#define CREDENTIAL_KEYS_MAX 16384
/* Who gives the wrong file need not see all of it. */
#define CREDENTIAL_PROBLEMS_MAX 64
/* Keys of the ring that somebody has to look at: enough to find the cause. */
#define RING_NOTICES_MAX 32

#define IDLE_EXIT_SEC_MIN 30

/* A configuration is a few lines; a wrong file, such as an image, must not be read to its end. */
#define CONFIG_FILE_MAX (1024 * 1024)
/* The first ones tell what kind of file it is. */
#define CONFIG_PROBLEMS_MAX 32
/* Section, option and value come from one line, of which inih takes 200 bytes. */
#define CONFIG_PROBLEM_LENGTH_MAX 512
