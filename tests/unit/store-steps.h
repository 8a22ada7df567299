/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/keyslots.h"
#include "credstore/store.h"
#include "store-fixture.h"

/* Changes of each kind to a store of two records and two slots, for tests that cut them short; and
 * a dump of a store. */

#define STEPS_BATCH 100
#define STEPS_NAMED 9

typedef struct Subject {
    char a[STORE_ID_SIZE], b[STORE_ID_SIZE], added[STORE_ID_SIZE];
    char slot[SLOT_ID_SIZE];
    char batch[STEPS_BATCH][STORE_ID_SIZE];
} Subject;

/* Returns an errno of the store. */
typedef int (*Step)(Subject *x, Store *s);

/* Makes a store with the two records and the second slot, and opens it. */
int steps_new(Fixture *f, Subject *x, Store **ret);

int step_replace(Subject *x, Store *s);
int step_replace_meta(Subject *x, Store *s);
int step_remove(Subject *x, Store *s);
/* Replaces, removes and adds in one transaction. */
int step_all_kinds(Subject *x, Store *s);
int step_add_batch(Subject *x, Store *s);
int step_remove_batch(Subject *x, Store *s);
int step_add_slot(Subject *x, Store *s);
int step_reseal_slot(Subject *x, Store *s);
int step_remove_slot(Subject *x, Store *s);

typedef struct NamedStep {
    const char *name;
    Step step;
} NamedStep;

/* Each step alone, after steps_new(). */
extern const NamedStep named_steps[STEPS_NAMED];

/* The whole content of the store; without ids it is the same after a step that is taken twice. The
 * caller frees it. NULL if a record is broken. */
char *steps_dump(Store *s, bool ids);
