/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nvme-keyd/handed/handed.h"
#include "nvme-keyd/handed/limits.h"
#include "nvme-keyd/keys/key-rules.h"
#include "nvme-keyd/manager/manager-private.h"
#include "psk/limits.h"

/*
 * Handed-in keys are in the table with those of the store and differ in one thing: they have no
 * record. A key of the store overrides a handed-in key that it collides with, for as long as it
 * exists. Overrides are computed from the table each time and stored nowhere.
 */

void manager_forget_problems(Manager *m)
{
    for (size_t i = 0; m->problems && i < HANDED_PROBLEMS_MAX; i++)
        free(m->problems[i]);
    free(m->problems);
    m->problems = NULL;
    m->n_problems = 0;
    m->incomplete = false;
}

static void note_problem(Manager *m, const char *credential, size_t line, const char *text)
{
    size_t n = m->n_problems++;

    if (!m->problems)
        m->problems = calloc(HANDED_PROBLEMS_MAX, sizeof(*m->problems));
    if (!m->problems || n >= HANDED_PROBLEMS_MAX)
        return;
    if (!credential)
        (void)detail_set(&m->problems[n], 0, "credentials: %s", text);
    else if (line == 0)
        (void)detail_set(&m->problems[n], 0, "credential %s: %s", credential, text);
    else
        (void)detail_set(&m->problems[n], 0, "credential %s, line %zu: %s", credential, line, text);
}

static void on_problem(const char *credential, size_t line, const char *text, void *userdata)
{
    Manager *m = userdata;

    m->incomplete = true;
    note_problem(m, credential, line, text);
}

/* The kernel takes any key that matches, so only the first handed-in key of a pair is used. Returns
 * that key if k is a second one, or NULL. */
static const Key *find_other(const Manager *m, const Key *k)
{
    const Key *o = key_table_pair(&m->keys, k->hostnqn, strlen(k->hostnqn), k->subsysnqn,
                                  strlen(k->subsysnqn));

    while (o && !(key_is_handed_in(o) && key_collides(o, k)))
        o = o->next_of_pair;
    return o;
}

static int on_key(Key *k, size_t line, void *userdata)
{
    _cleanup_(key_freep) Key *owned = k;
    _cleanup_(freep) char *why = NULL;
    Manager *m = userdata;
    const Key *other = find_other(m, k), *shadow;
    int r;

    if (other)
        (void)detail_set(&why, 0, "a key for this host and subsystem NQN is in %s already",
                         other->handed_by);
    else if (m->n_handed_in == HANDED_KEYS_MAX)
        (void)detail_set(&why, 0, "more than %d keys", HANDED_KEYS_MAX);
    else if (key_table_find(&m->keys, k->id))
        (void)detail_set(&why, 0, "another key has its id %s", k->id);
    if (why || other) {
        note_problem(m, k->handed_by, line, why ? why : strerror(ENOMEM));
        return 0;
    }
    r = key_table_insert(&m->keys, k);
    if (r < 0)
        return r;
    (void)TAKE_PTR(owned);
    m->n_handed_in++;
    /* Still published, because an administrator who hands in both may connect with --tls-key=. */
    shadow = publisher_kernel_is_exact() ? NULL : key_table_find_shadow(&m->keys, k);
    if (shadow) {
        (void)detail_set(
            &why, 0,
            "the kernel may confuse this key with the one for %s, because one subsystem NQN "
            "begins with the other",
            shadow->subsysnqn);
        note_problem(m, k->handed_by, line, why ? why : strerror(ENOMEM));
    }
    return 0;
}

int manager_read_handed_in(Manager *m)
{
    _cleanup_(freep) char *detail = NULL;
    char hostnqn[NQN_LENGTH_MAX + 2];
    HandedVisitor v = {.on_key = on_key, .on_problem = on_problem, .userdata = m};
    int r;

    key_table_remove_all(&m->keys, true);
    m->n_handed_in = 0;
    manager_forget_problems(m);
    if (key_read_hostnqn(hostnqn, &detail) == 0)
        v.hostnqn = hostnqn;
    r = handed_read(&v);
    if (r == -EIO)
        on_problem(NULL, 0, "cannot derive keys", m);
    m->incomplete |= r == 0;
    manager_update_overrides(m);
    manager_update_complete(m);
    return r == -ENOMEM ? r : 0;
}

/* A pending key of a host is not offered yet, so it leaves a handed-in key in its place. A PSK that
 * was revoked does not come back by being handed in. */
static bool overrides(const Key *o, const Key *k)
{
    if (o->state == KEY_REVOKED)
        return k->digest[0] && strcmp(o->digest, k->digest) == 0;
    return (o->state == KEY_ACTIVE || (o->state == KEY_PENDING && o->role == KEY_ROLE_TARGET)) &&
           key_collides(o, k);
}

static bool is_overridden(const Key *first, const Key *k)
{
    for (const Key *o = first; o; o = o->next_of_pair)
        if (!key_is_handed_in(o) && overrides(o, k))
            return true;
    return false;
}

static void update_override(Manager *m, const Key *first, Key *k)
{
    bool overridden = is_overridden(first, k);

    m->overrides_pending |= overridden && !k->override_logged;
    k->override_logged &= overridden;
    k->state = overridden ? KEY_OVERRIDDEN : KEY_ACTIVE;
}

void manager_update_overrides_of(Manager *m, const char *hostnqn, const char *subsysnqn)
{
    Key *first = key_table_pair(&m->keys, hostnqn, strlen(hostnqn), subsysnqn, strlen(subsysnqn));

    for (Key *k = first; k; k = k->next_of_pair)
        if (key_is_handed_in(k))
            update_override(m, first, k);
}

void manager_update_overrides(Manager *m)
{
    Key *k;

    if (m->n_handed_in == 0)
        return;
    KEY_TABLE_FOREACH(&m->keys, k)
    {
        if (key_is_handed_in(k))
            update_override(m,
                            key_table_pair(&m->keys, k->hostnqn, strlen(k->hostnqn), k->subsysnqn,
                                           strlen(k->subsysnqn)),
                            k);
    }
}

HandedCounts manager_handed_in(const Manager *m)
{
    HandedCounts c = {.keys = m->n_handed_in, .problems = m->n_problems};
    const Key *k;

    KEY_TABLE_FOREACH(&m->keys, k)
    {
        c.overridden += k->state == KEY_OVERRIDDEN;
    }
    return c;
}

const char *manager_handed_problem(const Manager *m, size_t n)
{
    return m->problems && n < HANDED_PROBLEMS_MAX ? m->problems[n] : NULL;
}

const Key *manager_next_overridden(Manager *m)
{
    Key *k;

    if (!m->overrides_pending)
        return NULL;
    KEY_TABLE_FOREACH(&m->keys, k)
    {
        if (k->state == KEY_OVERRIDDEN && !k->override_logged) {
            k->override_logged = true;
            return k;
        }
    }
    m->overrides_pending = false;
    return NULL;
}
