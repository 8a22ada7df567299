/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "basic/macro.h"

/* The paths of a subsystem are all controllers with its NQN, of any transport, with TLS or without.
 */
typedef struct ControllerPaths {
    size_t all;
    /* Paths other than the given one that take requests: they are live, and none of their
     * namespaces is in an ANA state in which it cannot be used. */
    size_t others;
} ControllerPaths;

/* Counts the paths of a subsystem below directory, as seen from the controller of this name. Linear
 * in the number of controllers. Returns 0 or the error of reading the directory. */
int controller_count_paths(const char *directory, const char *name, const char *subsysnqn,
                           ControllerPaths *ret) _must_check_;
