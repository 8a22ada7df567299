/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "basic/io.h"
#include "nvme-keyd/manager/manager-private.h"
#include "nvme-keyd/manager/transition.h"

/*
 * What all changes of keys share. Each change is sealed in the store first and then made in the
 * ring, because only the ring can be rebuilt from the other:
 *
 *    1. checks, and key_new() and key_fill() for a new key
 *    2. transition_commit()       one commit for all keys that change
 *    3. manager_settle_pair()     the ring: add what the pair should have, then withdraw the rest
 *
 * A failure in 1 or 2 leaves everything as it was. After a failure to add in 3, or to read the
 * controllers, the former keys of the pair stay in the ring, and manager_sync() tries again.
 */

int manager_stage(Manager *m, StoreTransaction *t, Key *k, const Secret *payload)
{
    _cleanup_(freep) char *meta = key_to_meta(k);
    int r = meta ? store_add(t, meta, payload, k->id) : -ENOMEM;

    if (r < 0)
        return r;
    k->source = &m->records;
    r = key_table_insert(&m->keys, k);
    if (r < 0) {
        /* The transaction may have other keys, and be committed. */
        (void)!store_remove(t, k->id);
        return r;
    }
    manager_note_expiry(m, k);
    return 0;
}

int manager_store_failed(int error, char **reterr_detail)
{
    return detail_set(reterr_detail, error == -ENOMEM ? error : -EIO, "cannot write the store: %s",
                      strerror(-error));
}

/* An identity of the pair that belonged to another key belongs to the new key now: the kernel
 * displaced the old key or, with the key type of the stand-in, updated it in place. */
static void forget_displaced(Manager *m, const Key *new)
{
    Key *k;

    KEY_TABLE_FOREACH_OF_PAIR(&m->keys, new, k)
    for (unsigned v = 0; v < KEY_VERSIONS && k != new; v++)
        if (new->serials[v] && k->identities[v] &&
            strcmp(k->identities[v], new->identities[v]) == 0)
            k->serials[v] = k->lost[v] = 0;
}

/* Returns the first error. */
static int publish_wanted(Manager *m, Key *first, const Key *new, const Secret *payload)
{
    uint64_t now = now_realtime();
    int error = 0;

    for (Key *k = first; k; k = k->next_of_pair) {
        int r;

        if (!key_is_publishable(k, now))
            continue;
        r = publisher_publish(m->publisher, k, k == new ? payload : NULL);
        error = error < 0 ? error : r;
        if (r == 0)
            forget_displaced(m, k);
    }
    return error;
}

/* A key that was replaced stays in the ring for a controller that was connected with this very key,
 * by --tls-key=. Returns 1, 0, or an error of reading the controllers. */
static int is_kept(Manager *m, PublisherNeed *need, const Key *k)
{
    char controller[32];

    if (k->state != KEY_RETIRING || !(k->role & KEY_ROLE_HOST) ||
        (!k->serials[0] && !k->serials[1]) || !manager_find_successor(m, k))
        return 0;
    return publisher_needed_by(m->publisher, need, k, controller);
}

int manager_settle_pair(Manager *m, const Key *of, const Key *new, const Secret *payload)
{
    _cleanup_(publisher_need_done) PublisherNeed need = {.looked = false};
    Key *first = key_table_pair(&m->keys, of->hostnqn, strlen(of->hostnqn), of->subsysnqn,
                                strlen(of->subsysnqn));
    int error, r;

    manager_update_overrides_of(m, of->hostnqn, of->subsysnqn);
    error = publish_wanted(m, first, new, payload);
    if (!publisher_ring(m->publisher, &r))
        return error < 0 ? error : r;
    for (Key *k = first; k; k = k->next_of_pair) {
        /* What is over stays no longer, even if the ring refuses others. */
        bool must_go = k->state == KEY_REVOKED || k->state == KEY_GONE;

        if (key_is_publishable(k, now_realtime()) || (error < 0 && !must_go))
            continue;
        r = is_kept(m, &need, k);
        if (r == 0)
            r = k->state == KEY_REVOKED ? publisher_revoke(m->publisher, &need, k)
                                        : publisher_withdraw(m->publisher, k);
        error = error < 0 || r > 0 ? error : r;
    }
    publisher_release_held(m->publisher);
    return error;
}

static bool same_configured(const Secret *a, const Secret *b)
{
    const uint8_t *x, *y;
    size_t x_size, y_size;

    return key_payload_configured(a, &x, &x_size) == 0 &&
           key_payload_configured(b, &y, &y_size) == 0 && x_size == y_size &&
           CRYPTO_memcmp(x, y, x_size) == 0;
}

bool manager_has_psk(const Key *k, const Key *other, const Secret *payload)
{
    _cleanup_(secret_freep) Secret *own = NULL;

    if (other->digest[0] && strcmp(k->digest, other->digest) == 0)
        return true;
    return payload && key_unseal(k, &own) == 0 && same_configured(own, payload);
}

int manager_check_revoked(const Manager *m, const Key *new, const Secret *payload,
                          char **reterr_detail)
{
    const Key *k;

    KEY_TABLE_FOREACH_OF_PAIR(&m->keys, new, k)
    {
        if (k->state == KEY_REVOKED && manager_has_psk(k, new, payload))
            return detail_set(
                reterr_detail, -EINVAL,
                "this PSK was revoked for this host and subsystem NQN, as key %s: use "
                "another one",
                k->id);
    }
    return 0;
}

/* Handed-in keys are refused before the store is opened, because they can only be changed at their
 * source. */
int manager_find(const Manager *m, const char *id, Key **ret, char **reterr_detail)
{
    Key *k = key_table_find(&m->keys, id);
    int r;

    if (k && key_is_handed_in(k))
        return detail_set(reterr_detail, -EBUSY,
                          "key %s is a handed-in key: change its credential %s at its source", id,
                          k->handed_by);
    r = vault_require_writable(m->vault, reterr_detail);
    if (r < 0)
        return r;
    if (!k)
        return detail_set(reterr_detail, -ENOENT, "no key has the id \"%s\"", id);
    *ret = k;
    return 0;
}
