/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key.h"

/* Which two keys may stand side by side. */

/* True when both have the same host and the same subsystem NQN. */
bool key_same_pair(const Key *a, const Key *b);

/* True when have offers every identity, and every use, that k would: with the same bytes, k would
 * add nothing. */
bool key_covers(const Key *have, const Key *k);

/* True when a kernel that looks for other's subsystem could be given this key instead: the kernel
 * compares the beginning of a description only, so "nqn.x:ab" answers for "nqn.x:a". */
bool key_shadows(const Key *k, const Key *other);

/* True when one host and subsystem NQN cannot have both: they answer the same search of a kernel,
 * or a peer that has the configured PSK of one cannot use the other. */
bool key_collides(const Key *k, const Key *other);

/* True when the kernel of a host would take one of the two without being asked which: derived keys
 * of one version, but of different hashes. */
bool key_rivals(const Key *k, const Key *other);

/* The rest of a line for people about a key that rivals a new one. */
#define KEY_RIVAL_TEXT                                                                             \
    ", which has another hash, is for this host and subsystem NQN too, and the kernel takes one "  \
    "of them without being asked which: leave one of them out, or force it and connect with "      \
    "--tls-key"

/* Explains that other and a new key shadow each other. Returns -ENOTUNIQ. */
int key_shadow_detail(const Key *other, char **reterr_detail);
