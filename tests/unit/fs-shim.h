/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * A program that is linked with this calls these functions instead of those of the C library: all
 * that change a directory tree, and pread(2). They fail at a chosen call, and an observer sees what
 * they have done. Pages of all files can be unreadable, as on a disk.
 */

#define SHIM_PAGE 4096

typedef enum ShimCall {
    SHIM_OPEN,
    SHIM_WRITE,
    SHIM_SYNC,    /* fsync(2) of a file or directory */
    SHIM_SYNC_FS, /* syncfs(2) */
    SHIM_RENAME,
    SHIM_UNLINK,
    SHIM_MKDIR,
    SHIM_LINK,
} ShimCall;

typedef struct ShimEvent {
    ShimCall call;
    int fd; /* of the directory, or of the file that is written or synced */
    const char *name;
    const char *to;   /* rename: the new name */
    int opened;       /* open: the new descriptor */
    bool created;     /* open: a file was made */
    const void *data; /* write */
    size_t size;
} ShimEvent;

typedef struct Shim {
    int calls;
    int from; /* the first call to fail; 0 for none */
    int n;    /* number of calls to fail */
    int error;
    bool reads;              /* also count pread(2) */
    size_t bad_from, bad_to; /* unreadable bytes of each file */
    int bad_reads;           /* reads that failed because of these */
    bool read_only;          /* every change fails with EROFS, as on a read-only file system */
    void (*observe)(const ShimEvent *event); /* called after each call that succeeded */
} Shim;

extern Shim shim;

/* Makes n calls fail with an error, beginning with number from, counted from now on; 0 for none. */
void shim_inject(int from, int n, int error);
