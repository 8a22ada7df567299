/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/store.h"

/*
 * A store from elsewhere, on its way into the place of the one in a directory. It lies in a
 * directory of its own below until all of it is there and has been checked, and then replaces the
 * store by one rename. dir: that of the store.
 */

/* Writes a part at its offset. Offset 0 begins another store, and every other one must be the end
 * of the part before. Returns -ESPIPE for another offset, -EFBIG past
 * STORE_FILE_MAX, or an error of mkdir(2), open(2) or write(2). */
int staged_write(const char *dir, uint64_t offset, const void *data, size_t size) _must_check_;

/* Attaches the staged store, to be closed before staged_install(). Returns as store_attach(). */
int staged_attach(const char *dir, Store **ret, char **reterr_detail) _must_check_;

/* Puts the staged store into the place of the store, which keeps another name: *ret_kept, to be
 * freed, or NULL if there was none. A crash at any moment leaves the old or the new store. An error
 * leaves the old one. Returns -EMLINK past STAGED_KEPT_MAX kept ones, -ENOMEM, or an error of
 * fsync(2), link(2) or rename(2). */
int staged_install(const char *dir, char **ret_kept) _must_check_;

/* Removes the staged store, as far as possible. */
void staged_forget(const char *dir);

/* Stores that were replaced are kept until a person removes them. */
#define STAGED_KEPT_MAX 99
