/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "basic/secret.h"
#include "probe/target.h"
#include "psk/identity.h"
#include "psk/limits.h"

/*
 * The exchange between the daemon and nvme-keyd-probe: one packet each way on a SOCK_SEQPACKET
 * socket, then both close it. Both ends run on one machine, so integers are in host order; the last
 * character of the magic is the version, because an update may replace one end first.
 */

#define PROBE_REQUEST_MAGIC 0x3251504eu /* "NPQ2" */
#define PROBE_REPLY_MAGIC 0x3152504eu   /* "NPR1" */

typedef enum ProbeAnswer {
    /* The handshake is complete, so the target has this PSK under this identity. */
    PROBE_ACCEPTED,
    /* An alert, or the connection was closed during the handshake: the target lacks the identity,
     * or has another PSK under it. The two may look alike. */
    PROBE_REFUSED,
    /* Something that is not TLS, or nothing in time. */
    PROBE_NO_TLS,
    /* No connection. */
    PROBE_UNREACHABLE,
    /* Refused, at an address of this machine. If that is the target of this kernel, it has the
     * `.nvme` of this machine, so it cannot have a pending key. */
    PROBE_OWN,
    /* There was no probe. */
    PROBE_UNAVAILABLE,
} ProbeAnswer;

/* "accepted", "refused", "no-tls", "unreachable", "own", "unavailable". */
const char *probe_answer_to_string(ProbeAnswer answer);

/* Always sent whole; unused bytes are zero. */
typedef struct ProbeRequest {
    uint32_t magic;
    uint32_t psk_size;
    uint32_t as_sha256;        /* 1: offer a PSK of SHA-384 as one of SHA-256; else 0 */
    uint8_t psk[PSK_SIZE_MAX]; /* a TLS PSK */
    char identity[PSK_IDENTITY_MAX + 1];
    ProbeTarget target;
} ProbeRequest;

typedef struct ProbeReply {
    uint32_t magic;
    uint32_t answer;
    char detail[PROBE_DETAIL_MAX + 1]; /* one line for people */
} ProbeReply;

/* Makes a request as a secret of sizeof(ProbeRequest). as_sha256: connections of this host offer a
 * PSK of SHA-384 as one of SHA-256, so the probe has to do so too. Returns -EINVAL (target,
 * identity, or a size of the PSK that does not fit the identity), -ENOMEM. */
int probe_request_new(const ProbeTarget *target, const char *identity, const uint8_t *psk,
                      size_t size, bool as_sha256, Secret **ret) _must_check_;

/* Checks a received request of size bytes; *ret_hash is the hash of the cipher suite. Returns
 * -EBADMSG. */
int probe_request_check(const void *packet, size_t size, PskHash *ret_hash) _must_check_;

/* Fills a reply; a detail that is too long or unprintable is cut short or left out. */
void probe_reply_set(ProbeReply *ret, ProbeAnswer answer, const char *detail);

/* Checks a received reply of size bytes. Returns -EBADMSG. */
int probe_reply_check(const void *packet, size_t size) _must_check_;
