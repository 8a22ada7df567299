/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key.h"

/* Rules for two keys beside each other. */

/* True if both have the same host NQN and subsystem NQN. */
bool key_same_pair(const Key *a, const Key *b);

/* True if have offers every identity and every use of k, so that k with the same bytes would add
 * nothing. */
bool key_covers(const Key *have, const Key *k);

/* True if the kernel may get this key when it searches for the subsystem of the other one: it
 * compares only the beginning of a description, so "nqn.x:ab" answers for "nqn.x:a". A host
 * searches by version and hash before it compares names, so a key of a lesser version, or of a
 * lesser hash in the same version, is not found before the right one. */
bool key_shadows(const Key *k, const Key *other);

/* True if a pair of host and subsystem cannot have both keys: they answer the same search of a
 * kernel, or a peer with the configured PSK of one cannot use the other. */
bool key_collides(const Key *k, const Key *other);

/* True if the kernel of a host would take either of the two: derived keys of one version, but of
 * different hashes. */
bool key_rivals(const Key *k, const Key *other);

/* The end of a line for people about a key that rivals a new one. */
#define KEY_RIVAL_TEXT                                                                             \
    ", which has another hash, is for this host and subsystem NQN too, and the kernel takes one "  \
    "of them without being asked which: leave one of them out, or force it and connect with "      \
    "--tls-key"

/* Explains that other and a new key shadow each other. Returns -ENOTUNIQ. */
int key_shadow_detail(const Key *other, char **reterr_detail);
