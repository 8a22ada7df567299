/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "credstore/store.h"

/* The directory of a store, and the names of the files in it. */

#define DIRS_HEADER "header.json"
#define DIRS_COMMIT "commit.json"
/* What is written until a commit makes it the file of the name before it. */
#define DIRS_NEW ".new"

/* Room for the longest name, "ID.json.new", and a NUL. */
#define DIRS_NAME_SIZE 32

typedef struct StoreDirs {
    int root; /* holds the lock */
    int index;
    int records;
} StoreDirs;

/* Opens and locks dir and opens its two directories, which it makes where they are missing.
 * Returns -ENOENT, -ENOTDIR, -EPERM (not owned by us, or others have access), -EBUSY, or an error
 * of open(2) or mkdir(2). */
int dirs_open(const char *dir, StoreDirs *ret, char **reterr_detail) _must_check_;
/* Closes, which drops the lock. */
void dirs_done(StoreDirs *dirs);

/* Parses 16 lower-case hex digits and nothing else. */
bool record_id_parse(const char *s, uint64_t *ret);
void record_id_format(uint64_t id, char ret[static STORE_ID_SIZE]);

/* Writes the name of a file in records/ or index/, with suffix appended. */
void dirs_record_name(uint64_t id, const char *suffix, char ret[static DIRS_NAME_SIZE]);
void dirs_shard_name(unsigned shard, const char *suffix, char ret[static DIRS_NAME_SIZE]);
/* The reverse; true when name is exactly such a name with that suffix. */
bool dirs_parse_record_name(const char *name, const char *suffix, uint64_t *ret);
bool dirs_parse_shard_name(const char *name, const char *suffix, unsigned *ret);

/* Calls visit for each name in a directory; stops at the first result other than 0 and returns it,
 * or an error of readdir(3). */
typedef int (*DirsVisit)(int dirfd, const char *name, void *userdata);
int dirs_scan(int dirfd, DirsVisit visit, void *userdata);

/* Removes what an interrupted commit has left behind. As far as it can: nothing reads these files.
 */
void dirs_sweep(const StoreDirs *dirs);

/* True when index/ or records/ hold a file of a store, or there is an interrupted commit. */
bool dirs_has_remains(const StoreDirs *dirs);
