/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "basic/secret.h"

/*
 * Runs argv, whose first element is an absolute path, as a filter: input comes on its standard
 * input and must fit into a pipe; what it prints, at most output_max bytes, is returned. Its
 * environment has nothing of ours. deadline_usec is CLOCK_MONOTONIC; past it the process is killed.
 * Returns -EREMOTEIO when it fails (*reterr_detail, to be freed, then tells what it said), -E2BIG
 * for too much input, -EFBIG for too much output, -ETIMEDOUT, -ENOMEM, or an error of pipe(2) or
 * posix_spawn(3).
 */
int spawn_filter(const char *const argv[], const void *input, size_t input_size, size_t output_max,
                 uint64_t deadline_usec, Secret **ret_output, char **reterr_detail) _must_check_;
