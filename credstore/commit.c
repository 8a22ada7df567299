/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/detail.h"
#include "basic/io.h"
#include "credstore/commit.h"
#include "credstore/header.h"
#include "credstore/signed-file.h"

/* From so many files on, one sync of the file system is cheaper than one of each file. */
#define SYNC_EACH_MAX 32

static bool is_large(const CommitPlan *plan)
{
    return plan->n_replace > SYNC_EACH_MAX;
}

int commit_put(const CommitPlan *plan, int dirfd, const char *name, const char *text, size_t size)
{
    char new_name[DIRS_NAME_SIZE + sizeof(DIRS_NEW)];

    snprintf(new_name, sizeof(new_name), "%s" DIRS_NEW, name);
    if (is_large(plan))
        return io_write_file_unsynced_at(dirfd, new_name, text, size);
    return io_write_file_at(dirfd, new_name, text, size);
}

static int sync_dirs(const StoreDirs *dirs)
{
    int r = io_sync_dir(dirs->records);

    if (r == 0)
        r = io_sync_dir(dirs->index);
    return r < 0 ? r : io_sync_dir(dirs->root);
}

static int sync_new_files(const StoreDirs *dirs, const CommitPlan *plan)
{
    if (is_large(plan) && syncfs(dirs->root) < 0)
        return -errno;
    return sync_dirs(dirs);
}

typedef int (*FileAction)(int dirfd, const char *name);

/* Applies action to each file that plan replaces; suffix is appended to its name. */
static int for_each_replaced(const StoreDirs *dirs, const CommitPlan *plan, const char *suffix,
                             FileAction action)
{
    char name[DIRS_NAME_SIZE];
    int r = 0;

    for (size_t i = 0; r == 0 && i < plan->n_replace; i++) {
        dirs_record_name(plan->replace[i], suffix, name);
        r = action(dirs->records, name);
    }
    for (unsigned n = 0; r == 0 && n < STORE_SHARDS; n++)
        if (plan->shards >> n & 1) {
            dirs_shard_name(n, suffix, name);
            r = action(dirs->index, name);
        }
    if (r < 0)
        return r;
    snprintf(name, sizeof(name), DIRS_HEADER "%s", suffix);
    return action(dirs->root, name);
}

static int for_each_removed(const StoreDirs *dirs, const CommitPlan *plan, FileAction action)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < plan->n_remove; i++) {
        char name[DIRS_NAME_SIZE];

        dirs_record_name(plan->remove[i], "", name);
        r = action(dirs->records, name);
    }
    return r;
}

static int check_target(int dirfd, const char *name)
{
    struct stat st;

    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) ? -EISDIR : 0;
}

/* What is published must come about, and a directory makes no room for a file: such a commit would
 * never end, and the store never open. */
static int check_targets(const StoreDirs *dirs, const CommitPlan *plan)
{
    int r = for_each_replaced(dirs, plan, "", check_target);

    return r < 0 ? r : for_each_removed(dirs, plan, check_target);
}

int commit_publish(const StoreDirs *dirs, const CommitPlan *plan, Sealer *s, const Secret *key)
{
    _cleanup_(freep) char *body = NULL, *text = NULL;
    size_t size;
    int r;

    r = commit_plan_format(plan, &body);
    if (r < 0)
        return r;
    r = signed_file_format(s, key, SIGNED_LABEL_COMMIT, body, &text, &size);
    if (r < 0)
        return r;
    if (size > COMMIT_FILE_MAX)
        return -E2BIG;
    r = check_targets(dirs, plan);
    if (r < 0)
        return r;
    r = sync_new_files(dirs, plan);
    if (r < 0)
        return r;
    r = io_write_file_at(dirs->root, DIRS_COMMIT DIRS_NEW, text, size);
    if (r < 0)
        return r;
    if (renameat(dirs->root, DIRS_COMMIT DIRS_NEW, dirs->root, DIRS_COMMIT) < 0)
        return -errno;
    return io_sync_dir(dirs->root);
}

/* Done already, where an earlier try came so far. */
static int move_new(int dirfd, const char *name)
{
    char new_name[DIRS_NAME_SIZE + sizeof(DIRS_NEW)];

    snprintf(new_name, sizeof(new_name), "%s" DIRS_NEW, name);
    return renameat(dirfd, new_name, dirfd, name) < 0 && errno != ENOENT ? -errno : 0;
}

static int remove_file(int dirfd, const char *name)
{
    return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int remove_commit(const StoreDirs *dirs)
{
    int r = remove_file(dirs->root, DIRS_COMMIT);

    /* It must not come back after a crash: the next commit writes the same names. */
    return r < 0 ? r : io_sync_dir(dirs->root);
}

int commit_finish(const StoreDirs *dirs, const CommitPlan *plan)
{
    int r = for_each_replaced(dirs, plan, "", move_new);

    if (r == 0)
        r = for_each_removed(dirs, plan, remove_file);
    if (r == 0)
        r = sync_dirs(dirs);
    return r < 0 ? r : remove_commit(dirs);
}

static int compare_ids(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* A plan names its records in the order of their ids. */
static bool names(const uint64_t *ids, size_t n, uint64_t id)
{
    return n > 0 && bsearch(&id, ids, n, sizeof(*ids), compare_ids);
}

bool commit_replaces(const CommitPlan *plan, uint64_t record)
{
    return names(plan->replace, plan->n_replace, record);
}

bool commit_removes(const CommitPlan *plan, uint64_t record)
{
    return names(plan->remove, plan->n_remove, record);
}

int commit_retract(const StoreDirs *dirs, const CommitPlan *plan)
{
    int r = remove_commit(dirs);

    /* Not before: commit.json without the files it names would be half a change. */
    if (r == 0)
        commit_discard(dirs, plan);
    return r;
}

static int discard_file(int dirfd, const char *name)
{
    (void)unlinkat(dirfd, name, 0);
    return 0;
}

void commit_discard(const StoreDirs *dirs, const CommitPlan *plan)
{
    (void)unlinkat(dirs->root, DIRS_COMMIT DIRS_NEW, 0);
    (void)for_each_replaced(dirs, plan, DIRS_NEW, discard_file);
}

int commit_read(const StoreDirs *dirs, Sealer *s, const Secret *key, uint64_t generation,
                CommitPlan *ret, char **reterr_detail)
{
    _cleanup_(commit_plan_done) CommitPlan plan = {.generation = 0};
    _cleanup_(freep) char *body = NULL;
    size_t size;
    int r;

    r = signed_file_read(s, key, SIGNED_LABEL_COMMIT, dirs->root, DIRS_COMMIT, COMMIT_FILE_MAX,
                         &body, &size);
    if (r == -ENOENT)
        return 0;
    if (r == 0)
        r = commit_plan_parse(body, size, &plan);
    if (r < 0)
        return detail_set(reterr_detail, r, DIRS_COMMIT " %s",
                          r == -EBADMSG ? "is not authentic" : strerror(-r));
    if (plan.generation != generation && plan.generation != generation + 1)
        return detail_set(reterr_detail, -EBADMSG,
                          DIRS_COMMIT " belongs to another state of the store");

    *ret = plan;
    plan = (CommitPlan){.generation = 0};
    return 1;
}
