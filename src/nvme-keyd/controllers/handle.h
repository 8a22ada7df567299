/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "basic/macro.h"

/*
 * One controller, held by the descriptor of its directory in sysfs. The name of a controller that
 * is gone is given to the next one; the descriptor then leads to nothing, not to the other one.
 */

/* More about a Controller, for a list or a reset. Texts are empty where the kernel shows nothing or
 * something that is not printable. */
typedef struct ControllerDetails {
    uint64_t inode; /* of its directory; another controller of the same name has another one */
    char transport[16];
    char state[32];
    int32_t cntlid; /* -1 if unknown */
} ControllerDetails;

/* inode: the one that was seen with the name, or 0 to take any. Returns -ENOENT without such a
 * controller, -ESTALE if another one has its name by now, or the error of open(2). */
int controller_open(const char *directory, const char *name, uint64_t inode, int *ret_fd)
    _must_check_;

/* Returns -ENODEV if the controller is gone, or the error of reading. */
int controller_read_details(int fd, ControllerDetails *ret) _must_check_;

/* The attributes that a reset changes. */
typedef struct ControllerNow {
    char state[32];
    bool live;
    int32_t tls_key; /* as in Controller */
} ControllerNow;
/* Returns as controller_read_details() does. */
int controller_read_now(int fd, ControllerNow *ret) _must_check_;

/* Connects the controller again, with the key that the kernel finds then. Its requests wait
 * meanwhile. The kernel returns when it is over, after its own time limits at most. Returns 0,
 * -ENODEV if the controller is gone, or the error of write(2): -ENETRESET if it did not come back
 * yet. */
int controller_reset(int fd) _must_check_;
