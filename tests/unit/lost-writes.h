/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * What a power cut leaves of a directory tree. fs-shim.h records all that a program does to the
 * tree; from the recording come the disks that there may be after a cut at any point of it:
 *
 *   - what has been written to a file since its last fsync(2) is there, or cut off, or zeros;
 *   - creations, renames and removals in a directory since its last fsync(2) have each happened or
 *     not, in whatever order;
 *   - syncfs(2) is an fsync(2) of everything.
 *
 * No file system is worse than that: each operation by itself is atomic. The tree is one directory.
 */

/* Records from now on what this process does to the tree at path. Returns -EIO if it cannot be
 * read. */
int lost_record(const char *path);
/* From here on a disk may be in any of these states, a bit each. */
void lost_mark(unsigned states);
/* Ends the recording. Returns -ENOBUFS if it is not complete. */
int lost_stop(void);
/* Frees the recording. */
void lost_done(void);

/* Cuts the power at the beginning of the recording, where a disk may be in these states. */
void lost_rewind(unsigned states);
/* Cuts it one operation later. Returns false at the end of the recording. */
bool lost_step(void);
/* The states in which a disk may be after the cut. */
unsigned lost_states(void);

/* Which of what is not durable has made it to the disk. */
typedef enum LostLuck {
    LOST_NOTHING, /* nothing of it */
    LOST_NAMES,   /* all in the directories, no data */
    LOST_CHANCE,
} LostLuck;

/* Chooses a disk that the cut may leave. Returns a digest: the same for the same disks. */
uint64_t lost_pick(LostLuck luck);
/* Whether the chosen disk has a file of this name. */
bool lost_has(const char *name);
/* Makes path, which must not exist, a copy of the chosen disk. Returns a negative errno. */
int lost_write_tree(const char *path);
/* Prints the last operations before the cut, as diagnostics. */
void lost_print(void);
