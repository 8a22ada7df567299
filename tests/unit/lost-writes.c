/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/macro.h"
#include "fs-shim.h"
#include "lost-writes.h"
#include "store-fixture.h"

#define LOST_NAME_SIZE 40
#define LOST_INODES_MAX 4096
#define LOST_OPS_MAX 16384
#define LOST_ENTRIES_MAX 512

/* A file, which is written once. */
typedef struct LostInode {
    char *data;
    size_t size;
    size_t written; /* at a point of the recording, like the next members */
    size_t durable;
} LostInode;

typedef enum LostKind {
    LOST_CREATE,
    LOST_RENAME,
    LOST_UNLINK,
    LOST_WRITE,
    LOST_SYNC_FILE,
    LOST_SYNC_DIR,
    LOST_SYNC_ALL,
    LOST_MARK, /* the states that are right from here on */
} LostKind;

typedef struct LostOp {
    LostKind kind;
    int inode;
    char name[LOST_NAME_SIZE];
    char to[LOST_NAME_SIZE];
    size_t size;
    unsigned states;
} LostOp;

typedef struct LostEntry {
    int inode;
    char name[LOST_NAME_SIZE];
} LostEntry;

typedef struct LostDisk {
    LostEntry entries[LOST_ENTRIES_MAX];
    size_t n;
} LostDisk;

static struct {
    LostInode inodes[LOST_INODES_MAX];
    int n_inodes;
    int n_base; /* those that exist before */
    LostOp ops[LOST_OPS_MAX];
    size_t n_ops;
    LostDisk base; /* the beginning of the recording, all of it durable */
    LostDisk now;  /* the end of the recording so far */
    char path[128];
    struct stat dir;
    int inode_of_fd[1024];
    bool confused; /* it does not fit, or an operation was missed */
} lost;

static LostEntry *lost_find(LostDisk *d, const char *name)
{
    for (size_t i = 0; i < d->n; i++)
        if (strcmp(d->entries[i].name, name) == 0)
            return &d->entries[i];
    return NULL;
}

static void lost_drop(LostDisk *d, const char *name, int inode)
{
    LostEntry *e = lost_find(d, name);

    if (e && e->inode == inode)
        *e = d->entries[--d->n];
}

static void lost_set(LostDisk *d, const char *name, int inode)
{
    LostEntry *e = lost_find(d, name);

    if (!e && d->n == LOST_ENTRIES_MAX) {
        lost.confused = true;
        return;
    }
    if (!e) {
        e = &d->entries[d->n++];
        memset(e->name, 0, sizeof(e->name));
        memcpy(e->name, name, strnlen(name, sizeof(e->name) - 1));
    }
    e->inode = inode;
}

/* Carries out an operation on the directory. */
static void lost_apply(LostDisk *d, const LostOp *op)
{
    if (op->kind == LOST_CREATE)
        lost_set(d, op->name, op->inode);
    else
        lost_drop(d, op->name, op->inode);
    if (op->kind == LOST_RENAME)
        lost_set(d, op->to, op->inode);
}

static bool lost_is_dir(int fd)
{
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == lost.dir.st_ino &&
           st.st_dev == lost.dir.st_dev;
}

static int lost_new_inode(void)
{
    if (lost.n_inodes == LOST_INODES_MAX) {
        lost.confused = true;
        return 0;
    }
    lost.inodes[lost.n_inodes] = (LostInode){.data = NULL};
    return lost.n_inodes++;
}

static LostOp *lost_new_op(LostKind kind)
{
    LostOp *op = &lost.ops[lost.n_ops];

    if (lost.n_ops + 1 < LOST_OPS_MAX)
        lost.n_ops++;
    else
        lost.confused = true;
    *op = (LostOp){.kind = kind};
    return op;
}

static int lost_inode_of(int fd)
{
    return fd >= 0 && fd < 1024 ? lost.inode_of_fd[fd] : -1;
}

static void lost_note_write(const ShimEvent *e, int inode)
{
    LostInode *file = &lost.inodes[inode];
    char *data = realloc(file->data, file->size + e->size);

    if (!data)
        abort();
    memcpy(data + file->size, e->data, e->size);
    file->data = data;
    file->size += e->size;
    LostOp *op = lost_new_op(LOST_WRITE);
    op->inode = inode;
    op->size = e->size;
}

/* Records a creation, renaming or removal. */
static void lost_note_name(const ShimEvent *e)
{
    LostKind kind = e->call == SHIM_OPEN     ? LOST_CREATE
                    : e->call == SHIM_RENAME ? LOST_RENAME
                                             : LOST_UNLINK;
    LostEntry *before = lost_find(&lost.now, e->name);
    LostOp *op = lost_new_op(kind);

    op->inode = kind == LOST_CREATE ? lost_new_inode() : before ? before->inode : -1;
    if (kind == LOST_CREATE && e->opened < 1024)
        lost.inode_of_fd[e->opened] = op->inode;
    lost.confused = lost.confused || op->inode < 0;
    snprintf(op->name, sizeof(op->name), "%s", e->name);
    snprintf(op->to, sizeof(op->to), "%s", e->to ? e->to : "");
    lost_apply(&lost.now, op);
}

static void lost_observe(const ShimEvent *e)
{
    bool is_dir = lost_is_dir(e->fd);
    int inode = lost_inode_of(e->fd);

    if (e->call == SHIM_OPEN && e->opened < 1024)
        lost.inode_of_fd[e->opened] = -1;
    if (e->call == SHIM_SYNC_FS)
        lost_new_op(LOST_SYNC_ALL);
    else if (e->call == SHIM_SYNC && is_dir)
        lost_new_op(LOST_SYNC_DIR);
    else if (e->call == SHIM_SYNC && inode >= 0)
        lost_new_op(LOST_SYNC_FILE)->inode = inode;
    else if (e->call == SHIM_WRITE && inode >= 0)
        lost_note_write(e, inode);
    else if (e->call == SHIM_MKDIR || e->call == SHIM_LINK)
        lost.confused = true;
    else if (is_dir && ((e->call == SHIM_OPEN && e->created) || e->call == SHIM_RENAME ||
                        e->call == SHIM_UNLINK))
        lost_note_name(e);
}

static int lost_read_one(const char *path, const struct stat *st, _unused_ int type,
                         _unused_ struct FTW *ftw)
{
    LostInode *file;
    int inode;

    if (!S_ISREG(st->st_mode))
        return 0;
    inode = lost_new_inode();
    file = &lost.inodes[inode];
    lost_set(&lost.base, strrchr(path, '/') + 1, inode);
    return fixture_read(path, &file->data, &file->size);
}

void lost_done(void)
{
    for (int i = 0; i < lost.n_inodes; i++)
        free(lost.inodes[i].data);
    lost.n_inodes = 0;
    lost.n_ops = 0;
    lost.base = (LostDisk){.n = 0};
}

int lost_record(const char *path)
{
    lost_done();
    snprintf(lost.path, sizeof(lost.path), "%s", path);
    for (int fd = 0; fd < 1024; fd++)
        lost.inode_of_fd[fd] = -1;
    if (nftw(path, lost_read_one, 16, FTW_PHYS) != 0 || stat(path, &lost.dir) < 0)
        return -EIO;
    lost.now = lost.base;
    lost.n_base = lost.n_inodes;
    shim.observe = lost_observe;
    return 0;
}

void lost_mark(unsigned states)
{
    lost_new_op(LOST_MARK)->states = states;
}

int lost_stop(void)
{
    shim.observe = NULL;
    return lost.confused ? -ENOBUFS : 0;
}

/* A point of the recording, and the data that is durable there. */
static struct {
    size_t at; /* operations before it */
    LostDisk durable;
    const LostOp *pending[LOST_OPS_MAX];
    size_t n_pending;
    unsigned states;
} cut;

/* The disk after the cut. */
static struct {
    LostDisk disk;
    size_t size[LOST_ENTRIES_MAX];
    size_t kept[LOST_ENTRIES_MAX]; /* from this byte on there are zeros */
} tree;

static uint64_t lost_seed = 88172645463325252;

/* Gives the same numbers in each run. */
static uint64_t lost_random(void)
{
    lost_seed ^= lost_seed << 13;
    lost_seed ^= lost_seed >> 7;
    lost_seed ^= lost_seed << 17;
    return lost_seed;
}

void lost_rewind(unsigned states)
{
    cut.at = 0;
    cut.states = states;
    cut.durable = lost.base;
    cut.n_pending = 0;
    for (int i = 0; i < lost.n_inodes; i++) {
        lost.inodes[i].written = i < lost.n_base ? lost.inodes[i].size : 0;
        lost.inodes[i].durable = lost.inodes[i].written;
    }
}

static void lost_settle(void)
{
    for (size_t i = 0; i < cut.n_pending; i++)
        lost_apply(&cut.durable, cut.pending[i]);
    cut.n_pending = 0;
}

bool lost_step(void)
{
    const LostOp *op = &lost.ops[cut.at];

    if (cut.at == lost.n_ops)
        return false;
    cut.at++;
    if (op->kind == LOST_MARK)
        cut.states = op->states;
    else if (op->kind == LOST_WRITE)
        lost.inodes[op->inode].written += op->size;
    else if (op->kind == LOST_SYNC_FILE)
        lost.inodes[op->inode].durable = lost.inodes[op->inode].written;
    else if (op->kind == LOST_SYNC_DIR)
        lost_settle();
    else if (op->kind == LOST_SYNC_ALL) {
        lost_settle();
        for (int i = 0; i < lost.n_inodes; i++)
            lost.inodes[i].durable = lost.inodes[i].written;
    } else
        cut.pending[cut.n_pending++] = op;
    return true;
}

unsigned lost_states(void)
{
    return cut.states;
}

/* Data that was written and is not durable is there, cut short, or zeros. */
static void lost_pick_data(const LostInode *file, LostLuck luck, size_t *ret_size, size_t *ret_kept)
{
    size_t uncertain = file->written - file->durable;

    *ret_size = *ret_kept = file->durable;
    if (luck != LOST_CHANCE || uncertain == 0)
        return;
    if (lost_random() % 3 > 0)
        *ret_kept += lost_random() % 2 * uncertain;
    else
        *ret_kept += lost_random() % uncertain;
    *ret_size = lost_random() % 2 ? file->written : *ret_kept;
}

static uint64_t lost_digest(const LostEntry *e, size_t size, size_t kept)
{
    uint64_t digest = 1469598103934665603;
    uint64_t numbers[] = {(uint64_t)e->inode, size, kept};

    for (const char *p = e->name; *p; p++)
        digest = (digest ^ (uint8_t)*p) * 1099511628211;
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        digest = (digest ^ numbers[i]) * 6364136223846793005 + 1442695040888963407;
    return digest;
}

uint64_t lost_pick(LostLuck luck)
{
    uint64_t digest = 0;

    tree.disk = cut.durable;
    for (size_t i = 0; i < cut.n_pending; i++)
        if (luck == LOST_NAMES || (luck == LOST_CHANCE && lost_random() % 2))
            lost_apply(&tree.disk, cut.pending[i]);

    for (size_t i = 0; i < tree.disk.n; i++) {
        const LostEntry *e = &tree.disk.entries[i];

        lost_pick_data(&lost.inodes[e->inode], luck, &tree.size[i], &tree.kept[i]);
        digest += lost_digest(e, tree.size[i], tree.kept[i]);
    }
    return digest;
}

bool lost_has(const char *name)
{
    return lost_find(&tree.disk, name);
}

int lost_write_tree(const char *path)
{
    char name[200];

    if (mkdir(path, 0700) < 0)
        return -errno;
    for (size_t i = 0; i < tree.disk.n; i++) {
        const LostEntry *e = &tree.disk.entries[i];
        _cleanup_(freep) char *data = calloc(1, tree.size[i] + 1);
        int r;

        if (!data)
            return -ENOMEM;
        if (tree.kept[i] > 0)
            memcpy(data, lost.inodes[e->inode].data, tree.kept[i]);
        snprintf(name, sizeof(name), "%s/%s", path, e->name);
        r = fixture_write(name, data, tree.size[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

void lost_print(void)
{
    for (size_t i = cut.at > 12 ? cut.at - 12 : 0; i < cut.at; i++)
        printf("# %zu: kind %d, %s %s\n", i, lost.ops[i].kind, lost.ops[i].name, lost.ops[i].to);
    printf("# cut after operation %zu of %zu\n", cut.at, lost.n_ops);
}
