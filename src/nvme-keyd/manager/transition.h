/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/store.h"
#include "nvme-keyd/keys/key-life.h"
#include "nvme-keyd/manager/manager.h"

/*
 * Changes of the lives of several keys that take effect together, in one commit:
 *
 *    _cleanup_(transition_done) Transition t = {.m = m};
 *
 *    transition_add()       new keys, which enter the table
 *    transition_apply()     an event in the life of a key, or
 *    transition_take()      any other change of its record, made by the caller afterwards
 *    transition_commit()
 *
 * Nothing after the commit can fail but the ring. Without a commit, transition_done() takes
 * everything back.
 */
typedef struct Former Former;

typedef struct Transition {
    Manager *m;
    StoreTransaction *store;
    Former *former; /* lives of the keys before they were changed */
    size_t n, n_max;
    Key **added;
    size_t n_added, n_added_max;
    uint64_t now_usec; /* the time of all changes */
    bool trial;        /* no commit comes, so nothing is written, and no store is needed */
} Transition;

/* Has t->store for other records that change in the same commit, which needs an open store that can
 * be changed; the other functions call it. Returns as store_begin(). */
int transition_begin(Transition *t) _must_check_;

/* Takes *k over on success. An error leaves the rest of the transition as it is. In a trial the key
 * has neither a source nor an id that anyone knows. */
int transition_add(Transition *t, Key **k, const Secret *payload) _must_check_;

/* To be called before a key is changed. Returns -ENOMEM. */
int transition_take(Transition *t, Key *k) _must_check_;

/* Brings a key into the state after an event that key_life_next() allows. A retiring key is removed
 * after RetireSec=; any other step is dropped. A removed key is KEY_GONE and stays in the table for
 * the caller, who has to withdraw it. */
int transition_apply(Transition *t, Key *k, KeyEvent event) _must_check_;

/* Sets the step of a key that was taken; KEY_STEP_NONE drops it. */
void transition_plan(const Transition *t, Key *k, KeyStep step, uint64_t deadline_usec);

/* Same, for a deadline that is a span from now, and no date: while the clock is not synchronised,
 * it moves with the clock. */
void transition_plan_span(const Transition *t, Key *k, KeyStep step, uint64_t deadline_usec);

/* Commits. In a boot image, whose store cannot be changed, the changes are made in memory only.
 * Returns an error of store_begin(), store_replace() or store_commit(); then nothing has changed
 * after transition_done(). */
int transition_commit(Transition *t) _must_check_;

void transition_done(Transition *t);
