/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "basic/limits.h"

/*
 * The exchange between the shim, which runs once for each request_key(2) that the kernel hands to
 * user space, and the daemon: one packet each way on a SOCK_SEQPACKET socket, then both close it.
 * Both ends come from one build and run on one machine, so integers are in host order.
 */

#define UPCALL_MAGIC 0x324d564eu /* "NVM2" */

#define UPCALL_TYPE_MAX 31
/* A few words; see request-key-shim(8). */
#define UPCALL_CALLOUT_MAX 255
/* Room for the serials of some hundred keys of one pair, or for a TLS PSK. */
#define UPCALL_PAYLOAD_MAX 2048

/* Sent with only as many bytes of text as are used, without a terminator. */
typedef struct UpcallRequest {
    uint32_t magic;
    char type[UPCALL_TYPE_MAX + 1]; /* of the requested key, NUL-terminated */
    /* The description; a NUL and the callout follow if there is a callout. */
    char text[KEY_DESCRIPTION_MAX + 1 + UPCALL_CALLOUT_MAX];
} UpcallRequest;

/* Always sent whole. With error 0 the shim instantiates the key with payload, for timeout_sec (0:
 * for ever). Otherwise it rejects the key with error (a positive errno), which the kernel remembers
 * for timeout_sec. */
typedef struct UpcallReply {
    uint32_t magic;
    uint32_t error;
    uint32_t timeout_sec;
    uint32_t size;
    uint8_t payload[UPCALL_PAYLOAD_MAX];
} UpcallReply;
