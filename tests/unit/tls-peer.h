/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "probe/packet.h"

/* A target as far as a probe goes, in a child process: a port of 127.0.0.1 or ::1. */

typedef enum PeerMode {
    PEER_TLS,         /* has one PSK */
    PEER_CERTIFICATE, /* has a certificate in place of a PSK */
    PEER_HALF,        /* sends only the first part of its answer */
    PEER_CLOSES,      /* closes at once */
    PEER_LIKE_TLSHD,  /* reads a whole record, closes without an alert */
    PEER_LIKE_NVME,   /* reads the head of a PDU, closes */
    PEER_SILENT,      /* reads, says nothing */
    PEER_GARBAGE,     /* answers with something else */
} PeerMode;

typedef struct Peer {
    PeerMode mode;
    const uint8_t *psk;
    size_t size;          /* 32 for 0 */
    const char *identity; /* PEER_IDENTITY_1 for NULL */
    PskHash hash;         /* of the cipher suite that the peer takes the PSK for; SHA-256 for 0 */
    int family;           /* AF_INET for 0 */

    uint16_t port;
    pid_t pid;
    int results; /* a byte for each connection, see peer_result() */
} Peer;

/* Starts it, and ignores SIGPIPE; the members before port are set. Returns NULL, or why there can
 * be none. */
const char *peer_start(Peer *p);
void peer_stop(const Peer *p);

/* What the next connection came to: 'c' closed by close_notify and nothing before it, 'd' data
 * came, 'u' closed without close_notify, 'x' no handshake. */
char peer_result(const Peer *p);

/* A TLS PSK, always the same for a seed. */
void peer_psk(uint8_t seed, uint8_t *ret, size_t size);

#define PEER_IDENTITY_0                                                                            \
    "NVMe0R01 nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555 "               \
    "nqn.2026-11.org.example:a"
#define PEER_IDENTITY_1                                                                            \
    "NVMe1R01 nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555 "               \
    "nqn.2026-11.org.example:a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define PEER_IDENTITY_1_384                                                                        \
    "NVMe1R02 nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555 "               \
    "nqn.2026-11.org.example:a "                                                                   \
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v"

/* Declares and starts a peer p with these members and the PSK psk. */
#define PEER(...)                                                                                  \
    uint8_t psk[PSK_SIZE_MAX];                                                                     \
    _cleanup_(peer_stop) Peer p = {.psk = psk, __VA_ARGS__};                                       \
    const char *cannot;                                                                            \
                                                                                                   \
    peer_psk(1, psk, sizeof(psk));                                                                 \
    cannot = peer_start(&p);                                                                       \
    if (cannot)                                                                                    \
    TEST_SKIP(cannot)
