/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "basic/macro.h"

/*
 * The journal's native protocol without blocking. sd_journal_send() blocks while the queue of the
 * journal is full, which would stop the only thread of the daemon.
 */

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* A longer value is cut. */
#define JOURNAL_VALUE_MAX 1280
#define JOURNAL_FIELDS_MAX 8

typedef struct JournalField {
    const char *name;
    const char *value; /* NULL: the field is left out */
} JournalField;

/* Sends one entry of JOURNAL_FIELDS_MAX fields at most. Returns -EAGAIN when the queue is full, or
 * another error of sendto(2), such as -ENOENT and -ECONNREFUSED without a journal. Does not
 * allocate. */
int journal_send(const JournalField *fields, size_t n) _must_check_;
