/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "psk/interchange.h"
#include "psk/limits.h"

/* The parts of a retained-PSK identity, pointing into its text. */
typedef struct PskIdentity {
    unsigned version;
    PskHash hash; /* of the cipher suite: SHA-256 or SHA-384 */
    const char *hostnqn;
    size_t hostnqn_length;
    const char *subsysnqn;
    size_t subsysnqn_length;
    const char *digest; /* NULL in version 0, and in a version 1 text that lacks it */
    size_t digest_length;
} PskIdentity;

/* Writes "NVMe0Rhh HOSTNQN SUBSYSNQN" or, with a digest, "NVMe1Rhh HOSTNQN SUBSYSNQN DIGEST"
 * (NVMe/TCP Transport Specification 1.0, 3.6.1.3). The NQNs have been checked. */
void psk_identity_format(unsigned version, PskHash hash, const char *hostnqn, const char *subsysnqn,
                         const char *digest, char ret[static PSK_IDENTITY_MAX + 1]);

/* RFC 8446 section 7.1: the context of a HkdfLabel, which an identity of version 0 is, has at most
 * 255 bytes. */
#define PSK_IDENTITY_0_MAX 255

/* True if these NQNs fit into an identity of version 0. */
bool psk_identity_fits_version_0(const char *hostnqn, const char *subsysnqn);

/* Parses an identity of a configured PSK ("R"), as a peer or a request names it: exactly one blank
 * between its parts and usable NQNs. A version 1 identity may lack its digest, which a requester
 * cannot know. Returns 0 or PSK_E_IDENTITY. */
int psk_identity_parse(const char *text, size_t length, PskIdentity *ret) _must_check_;

/* The part of a description that decides whether a search of the kernel finds the key, pointing
 * into the text. It compares only "NVMe0Rhh HOSTNQN SUBSYSNQN" or "NVMe1Rhh HOSTNQN
 * SUBSYSNQN", wherever the description ends. So the subsystem NQN is any beginning of word. */
typedef struct PskSearch {
    unsigned version;
    PskHash hash;
    const char *hostnqn;
    size_t hostnqn_length;
    const char *word; /* from after the host NQN to the next blank or the end */
    size_t word_length;
} PskSearch;

/* Splits a description that a search could find, of whatever form after its beginning. Returns 0 or
 * PSK_E_IDENTITY. */
int psk_identity_split(const char *text, size_t length, PskSearch *ret) _must_check_;

/* Parses the identity of a TLS PSK of size bytes to be stored: complete, and with the hash that
 * belongs to this size. Returns 0, PSK_E_IDENTITY, PSK_E_GENERATED ("G": the kernel's
 * own), PSK_E_DIGEST (none in version 1, or not Base64) or PSK_E_IDENTITY_SIZE. */
int psk_identity_parse_key(const char *text, size_t length, size_t size, PskIdentity *ret)
    _must_check_;
