/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "basic/secret.h"

/*
 * Runs argv, whose first element is an absolute path, as a filter: it reads input, which must fit
 * into a pipe, and *ret_output is its output, at most output_max bytes. It gets a fixed
 * environment. The process is killed at deadline_usec (CLOCK_MONOTONIC). Returns -EREMOTEIO if it
 * fails (*reterr_detail, freed by the caller, quotes its message), -E2BIG for too much input,
 * -EFBIG for too much output, -ETIMEDOUT, -ENOMEM, or an error of pipe(2) or posix_spawn(3).
 */
int spawn_filter(const char *const argv[], const void *input, size_t input_size, size_t output_max,
                 uint64_t deadline_usec, Secret **ret_output, char **reterr_detail) _must_check_;
