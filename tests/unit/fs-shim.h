/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * In a test that is linked with this, these functions of the C library are ours: all by which a
 * program changes a directory tree, and pread(2). They fail at a chosen call, and an observer sees
 * what they have done. Parts of all files can be unreadable, in pages as on a disk.
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
    int fd; /* of the directory, or of what is written or synced */
    const char *name;
    const char *to;   /* rename: the new name */
    int opened;       /* open: the new descriptor */
    bool created;     /* open: it has made a file */
    const void *data; /* write */
    size_t size;
} ShimEvent;

typedef struct Shim {
    int calls;
    int from; /* the first call to fail, 0: none */
    int n;    /* how many */
    int error;
    bool reads;              /* pread(2) is one of the calls */
    size_t bad_from, bad_to; /* bytes of a file whose pages cannot be read */
    int bad_reads;           /* that have failed for that */
    bool read_only; /* every change fails with EROFS, as on a file system that is mounted so */
    void (*observe)(const ShimEvent *event); /* of what has succeeded */
} Shim;

extern Shim shim;

/* Lets n calls fail with an error, beginning with the fromth from now on; 0: none. */
void shim_inject(int from, int n, int error);
