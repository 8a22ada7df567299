/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * The disks that a power cut may leave of a directory tree. fs-shim.h records everything that a
 * program does to the tree; after a cut at any point of the recording
 *
 *   - data that was written to a file since its last fsync(2) is there, cut short, or zeros;
 *   - each creation, renaming and removal in a directory since its last fsync(2) has happened or
 *     not, in any order;
 *   - syncfs(2) counts as fsync(2) of everything.
 *
 * No file system is worse, because each operation by itself is atomic. The tree is one directory.
 */

/* Records from now on what this process does to the tree at path. Returns -EIO if it cannot be
 * read. */
int lost_record(const char *path);
/* From here on a disk may be in any of these states, a bit for each. */
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

/* The part of the data without a sync that has reached the disk. */
typedef enum LostLuck {
    LOST_NOTHING, /* nothing of it */
    LOST_NAMES,   /* all in the directories, no data */
    LOST_CHANCE,
} LostLuck;

/* Chooses a disk that the cut may leave. Returns a digest: the same for the same disks. */
uint64_t lost_pick(LostLuck luck);
/* True if the chosen disk has a file of this name. */
bool lost_has(const char *name);
/* Makes path, which must not exist, a copy of the chosen disk. Returns a negative errno. */
int lost_write_tree(const char *path);
/* Prints the last operations before the cut, as diagnostics. */
void lost_print(void);
