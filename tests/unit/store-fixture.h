/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "basic/secret.h"
#include "credstore/store.h"

/*
 * An empty store in a directory of its own. Its one slot is of type systemd-creds and opens by the
 * KEK in $CREDENTIALS_DIRECTORY, as in a unit with LoadCredentialEncrypted=, so this needs neither
 * root nor systemd-creds. Functions that return int return a negative errno.
 */
typedef struct Fixture {
    char top[64];
    char dir[80];
} Fixture;

/* Makes it where a sync costs nothing, unless $TMPDIR is set, because the tests commit thousands of
 * times. */
int fixture_new(Fixture *f);
int fixture_new_in(const char *below, Fixture *f);
void fixture_done(Fixture *f);
/* Makes another empty store in dir, with a new key that is wrapped by the same KEK; slot_members
 * are added to the slot. */
int fixture_write_store(const char *dir, const char *slot_members);

/* Replaces a file without a sync, because the tests change thousands. */
int fixture_write(const char *path, const void *data, size_t size);
/* The caller frees the data. */
int fixture_read(const char *path, char **ret, size_t *ret_size);
/* The path of a file of the store. */
void fixture_path(const Fixture *f, const char *name, char ret[static 160]);
bool fixture_exists(const Fixture *f, const char *name);
/* True if dir has the file of an incomplete commit. */
bool fixture_has_new(const char *dir);

/* The line of a record in the text of a store, and its length without the newline; NULL if there is
 * none. */
char *fixture_find_line(const char *text, size_t size, const char *id, size_t *ret_size);
/* The size of the head, after which the records begin. */
size_t fixture_head_size(const char *text, size_t size);

/* The metadata of a record with this name. The caller frees it. */
char *fixture_meta(const char *name);
/* Adds a record with this name and this secret, by a commit of its own. */
int fixture_add(Store *s, const char *name, const char *secret, char ret_id[static STORE_ID_SIZE]);
/* Replaces it; secret NULL keeps the old one. */
int fixture_replace(Store *s, const char *id, const char *name, const char *secret);
int fixture_delete(Store *s, const char *id);

/* The name of a record, valid until the next call; NULL if there is none. */
const char *fixture_name(const StoreRecord *record);
/* True if the record is sound and has this name and secret. */
bool fixture_has(Store *s, const char *id, const char *name, const char *secret);
/* Counts the sound and the broken records. */
void fixture_count(Store *s, size_t *ret_sound, size_t *ret_broken);

/* Opens a store by a recovery key alone. */
int fixture_open_by_recovery(const char *dir, const Secret *key, Store **ret);
