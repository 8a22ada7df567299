/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "credstore/aead.h"
#include "credstore/dirs.h"

/*
 * How a set of files changes at once. All new contents are on the disk as NAME.new before
 * commit.json says so; from then on the change is a fact and only its traces are left to be tidied:
 *
 *     commit_put() for each file, commit_publish() = the commit point, commit_finish()
 *
 * Before the commit point commit_discard() drops all of it. Where commit_publish() fails nobody can
 * tell whether commit.json is on the disk; commit_retract() makes sure that it is not.
 */

/* Paths of 34 bytes: room for a change of a million records at once. */
#define COMMIT_FILE_MAX ((size_t)64 * 1024 * 1024)

/* What a commit changes. header.json is always replaced. */
typedef struct CommitPlan {
    uint64_t generation; /* of the header that the commit brings */
    uint64_t shards;     /* bit n: index/n.json is replaced */
    uint64_t *replace;   /* records */
    size_t n_replace;
    uint64_t *remove;
    size_t n_remove;
} CommitPlan;

/* Frees what plan owns. */
void commit_plan_done(CommitPlan *plan);

/* Parses the body of commit.json. Returns -EBADMSG for anything but paths a commit may touch, or
 * -ENOMEM. */
int commit_plan_parse(const char *body, size_t size, CommitPlan *ret) _must_check_;

/* Makes the body, without a newline, to be freed. Returns -ENOMEM. */
int commit_plan_format(const CommitPlan *plan, char **ret) _must_check_;

/* Writes a file under its name with DIRS_NEW; each is synced by itself, or all at once by
 * commit_publish() where there are many. */
int commit_put(const CommitPlan *plan, int dirfd, const char *name, const char *text, size_t size)
    _must_check_;

/* Makes the change a fact. On an error, call commit_retract(). */
int commit_publish(const StoreDirs *dirs, const CommitPlan *plan, Sealer *s, const Secret *key)
    _must_check_;

/* Puts the files of a published change in place. To be repeated until it returns 0; no other commit
 * may start before. */
int commit_finish(const StoreDirs *dirs, const CommitPlan *plan) _must_check_;

/* True when the commit replaces this record, or removes it. */
bool commit_replaces(const CommitPlan *plan, uint64_t record);
bool commit_removes(const CommitPlan *plan, uint64_t record);

/* Takes a change back that may or may not be published. As commit_finish(), to be repeated. */
int commit_retract(const StoreDirs *dirs, const CommitPlan *plan) _must_check_;

/* Removes the new files of a change that is not published. */
void commit_discard(const StoreDirs *dirs, const CommitPlan *plan);

/* Reads commit.json of an interrupted commit, where the header has generation.
 * Returns 1 and the plan, 0 when there is none, -EBADMSG for one that is not authentic or does not
 * fit this generation: no crash leaves that behind. */
int commit_read(const StoreDirs *dirs, Sealer *s, const Secret *key, uint64_t generation,
                CommitPlan *ret, char **reterr_detail) _must_check_;
