/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/detail.h"
#include "nvme-keyd/keys/key-rules.h"

bool key_same_pair(const Key *a, const Key *b)
{
    return strcmp(a->hostnqn, b->hostnqn) == 0 && strcmp(a->subsysnqn, b->subsysnqn) == 0;
}

bool key_covers(const Key *have, const Key *k)
{
    if ((k->kind == KEY_CONFIGURED && have->kind != KEY_CONFIGURED) ||
        (have->role & k->role) != k->role)
        return false;
    for (unsigned v = 0; v < KEY_VERSIONS; v++)
        if (k->identities[v] &&
            (!have->identities[v] || strcmp(have->identities[v], k->identities[v]) != 0))
            return false;
    return true;
}

bool key_goes_before(const Key *k, const Key *other)
{
    static const unsigned ranks[] = {[KEY_ACTIVE] = 2, [KEY_RETIRING] = 1, [KEY_GONE] = 0};

    if (ranks[k->state] != ranks[other->state])
        return ranks[k->state] > ranks[other->state];
    return k->changed_usec != other->changed_usec ? k->changed_usec > other->changed_usec
                                                  : k->created_usec > other->created_usec;
}

/* The least of the ranks at which the search of a host for this key ends. There are two while the
 * hash is not known. */
static unsigned last_rank(const Key *k)
{
    unsigned ranks = key_search_ranks(k), newest = ranks & KEY_RANKS_OF_VERSION(1);

    ranks = newest ? newest : ranks;
    return ranks & -ranks;
}

bool key_shadows(const Key *k, const Key *other)
{
    unsigned ranks = key_search_ranks(k);
    /* A host searches without the digest. */
    bool by_host = (other->role & KEY_ROLE_HOST) && ranks >= last_rank(other);
    /* A target searches for whole identities, of which only version 0 ends with the subsystem NQN.
     */
    bool by_target = (other->role & KEY_ROLE_TARGET) &&
                     (ranks & key_search_ranks(other) & KEY_RANKS_OF_VERSION(0));
    size_t n = strlen(other->subsysnqn);

    return (by_host || by_target) && strcmp(k->hostnqn, other->hostnqn) == 0 &&
           strncmp(k->subsysnqn, other->subsysnqn, n) == 0 && k->subsysnqn[n] != '\0';
}

bool key_beats(const Key *k, const Key *other)
{
    return (other->role & KEY_ROLE_HOST) &&
           __builtin_clz(key_search_ranks(k)) < __builtin_clz(key_search_ranks(other));
}

/* True if both are published under one identity. The digest of a key that has no PSK yet is
 * unknown, and counts as another one. */
static bool shares_identity(const Key *k, const Key *other)
{
    for (unsigned v = 0; v < KEY_VERSIONS; v++)
        if (k->versions & other->versions & KEY_VERSION_BIT(v) &&
            (k->identities[v] && other->identities[v]
                 ? strcmp(k->identities[v], other->identities[v]) == 0
                 : v == 0))
            return true;
    return false;
}

/* A target searches for whole identities, so it may accept several derivations of one PSK at once,
 * for hosts of several versions. */
static bool are_variants(const Key *k, const Key *other)
{
    return k->role == KEY_ROLE_TARGET && other->role == KEY_ROLE_TARGET &&
           (k->derivation != other->derivation || k->hash != other->hash) &&
           !shares_identity(k, other);
}

bool key_collides(const Key *k, const Key *other)
{
    if (k->kind == KEY_CONFIGURED && other->kind == KEY_CONFIGURED)
        return !are_variants(k, other);
    if ((k->versions & other->versions) == 0)
        return false;
    if (k->kind == KEY_CONFIGURED || other->kind == KEY_CONFIGURED)
        return true;
    if (k->hash != other->hash)
        return false;
    /* A target searches for whole identities, so it may have two of one version for different
     * peers. */
    return ((k->role | other->role) & KEY_ROLE_HOST) || strcmp(k->digest, other->digest) == 0;
}

bool key_rivals(const Key *k, const Key *other)
{
    return k->kind == KEY_DERIVED && other->kind == KEY_DERIVED &&
           (k->versions & other->versions) != 0 && k->hash != other->hash &&
           (k->role & other->role & KEY_ROLE_HOST);
}

int key_collides_detail(const Key *new, const Key *other, char **reterr_detail)
{
    if (!other->source)
        return detail_set(reterr_detail, -EEXIST,
                          "another PSK for the host and subsystem NQN of an earlier key: leave one "
                          "of them out");
    return detail_set(
        reterr_detail, -EEXIST, "key %s is already %s for this host and subsystem NQN: %s",
        other->id, key_state_to_string(other->state),
        other->role & new->role ? "rotate or remove it" : "have one key of role both in its place");
}

int key_rivals_detail(const Key *other, char **reterr_detail)
{
    return detail_set(reterr_detail, -EEXIST,
                      "%s%s, which has another hash, is for this host and subsystem NQN too, and "
                      "the kernel takes "
                      "one of them without being asked which, that of SHA-384: leave one of them "
                      "out, or force it "
                      "and connect with --tls-key",
                      other->source ? "key " : "an earlier key", other->source ? other->id : "");
}

int key_shadow_detail(const Key *other, char **reterr_detail)
{
    return detail_set(
        reterr_detail, -ENOTUNIQ,
        "the kernel may confuse this key with the one for %s (%s), because one subsystem NQN "
        "begins with the other: rename it, or force it and connect with --tls-key",
        other->subsysnqn, other->id);
}
