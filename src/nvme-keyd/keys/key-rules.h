/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key.h"

/* Rules for two keys beside each other. */

/* True if both have the same host NQN and subsystem NQN. */
bool key_same_pair(const Key *a, const Key *b);

/* True if have offers every identity and every use of k, so that k with the same bytes would add
 * nothing. */
bool key_covers(const Key *have, const Key *k);

/* True if an identity that both keys of a target are published under belongs to k: to the active
 * key, else to the one that was active last. A pending key waits until no other needs it. */
bool key_goes_before(const Key *k, const Key *other);

/* True if the kernel may get this key when it searches for the subsystem of the other one: it
 * compares only the beginning of a description, so "nqn.x:ab" answers for "nqn.x:a". A host
 * searches by version and hash before it compares names, so a key of a lesser version, or of a
 * lesser hash in the same version, is not found before the right one. */
bool key_shadows(const Key *k, const Key *other);

/* True if the kernel of a host, which searches for the subsystem of the other key, is certain to
 * get this one, which shadows it or rivals it: it searches first for a version or hash that only
 * this one has. Otherwise it may get either. */
bool key_beats(const Key *k, const Key *other);

/* True if a pair of host and subsystem cannot have both keys: they answer the same search of a
 * kernel, or a peer with the configured PSK of one cannot use the other. */
bool key_collides(const Key *k, const Key *other);

/* True if the kernel of a host would take either of the two: derived keys of one version, but of
 * different hashes. */
bool key_rivals(const Key *k, const Key *other);

/* Explain why a new key cannot stand beside other, which has no source if it is new as well. Return
 * -EEXIST, or -ENOTUNIQ for keys that shadow each other. */
int key_collides_detail(const Key *new, const Key *other, char **reterr_detail);
int key_rivals_detail(const Key *other, char **reterr_detail);
int key_shadow_detail(const Key *other, char **reterr_detail);
