/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/macro.h"
#include "basic/names.h"
#include "psk/limits.h"

/* Advice for a machine without a host NQN. */
#define HOSTNQN_ADVICE                                                                             \
    "write there what nvme show-hostnqn prints, or a new one, nvme gen-hostnqn "                   \
    ">" NAMES_HOSTNQN_FILE

/* Reads the first line of NAMES_HOSTNQN_FILE, which may be a symbolic link, without a check. A line
 * that is one character too long for an NQN is returned as well. On failure, the error of
 * io_read_line() and a line for people, to be freed, or NULL. */
int hostnqn_read(char ret[static NQN_LENGTH_MAX + 2], char **reterr_detail) _must_check_;
