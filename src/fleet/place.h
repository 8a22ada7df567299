/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "fleet/limits.h"

/*
 * A place holds what a fleet is made of: values under keys such as "pairs/ID". It is not trusted:
 * it may lose, delay and put back what it holds, so each value is signed, sealed, or only a
 * hint. docs/FLEET.md has the tree.
 */

#define PLACE_ABSENT UINT64_C(0)
#define PLACE_ANY UINT64_MAX

typedef struct PlaceValue {
    char *data; /* owned, with a NUL after it */
    size_t size;
    uint64_t version; /* changes with the value */
} PlaceValue;

static inline void place_value_done(const PlaceValue *v)
{
    free(v->data);
}

typedef struct PlaceChange {
    const char *key;
    const char *text; /* NULL removes */
    uint64_t version; /* that of the value to change, PLACE_ABSENT, or PLACE_ANY */
} PlaceChange;

/* name: what is left of the key after the folder. value: borrowed; NULL if only names were wanted.
 * An error ends the list. */
typedef int (*PlaceFn)(const char *name, const PlaceValue *value, void *userdata);

typedef struct Place Place;

/* All functions return -errno; *reterr_detail of each is a line for people, or NULL. */
typedef struct PlaceType {
    /* -ENOENT: there is no such value, -EFBIG: it is longer than PLACE_VALUE_MAX. */
    int (*get)(Place *place, const char *key, PlaceValue *ret);
    /* Makes n changes, in this order, or none. -ESTALE: a version is another one. */
    int (*change)(Place *place, const PlaceChange *changes, size_t n);
    /* The entries of a folder, in the order of their names: its values, or with names_only its
     * folders as well. A folder that is not there is empty. */
    int (*list)(Place *place, const char *folder, bool names_only, PlaceFn fn, void *userdata);
    void (*free)(Place *place);
    /* machines/FINGERPRINT/presence is there exactly while the machine is in reach. */
    bool has_presence;
} PlaceType;

/* The first member of each kind of place. */
struct Place {
    const PlaceType *type;
};

static inline void place_freep(Place **place)
{
    if (*place)
        (*place)->type->free(*place);
}

/* A directory, which has to exist. Values are files; changes are synced and atomic one by one, and
 * programs of this kind take turns. Returns 0, -ENOMEM, or the error of open(2). */
int place_open_directory(const char *path, Place **ret) _must_check_;

/* Writes a key of the tree into ret. */
void place_key(char ret[static PLACE_KEY_SIZE], const char *format, ...) _printf_(2, 3);
