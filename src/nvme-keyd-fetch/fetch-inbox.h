/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "nvme-keyd-fetch/limits.h"

/*
 * A drop directory of nvme-keyd: an envelope is a file that comes by rename. nvme-keyd removes what
 * it has taken. What it refuses stays, with the reason in NAME.reason.
 */
typedef struct FetchInbox {
    int fd;
} FetchInbox;

/* A file has the name of an envelope and its revision, so that another revision never comes in the
 * place of one that nvme-keyd is just reading. */
#define FETCH_INBOX_NAME_MAX (FETCH_NAME_MAX + 21)
typedef char FetchInboxName[FETCH_INBOX_NAME_MAX + 1];
void fetch_inbox_name(const char *name, uint64_t revision, FetchInboxName ret);

/* Makes the directory if it is missing, for this user and its group, which nvme-keyd has as well.
 * Removes files of an attempt that was interrupted. Returns -errno. */
int fetch_inbox_open(const char *path, FetchInbox *ret) _must_check_;
void fetch_inbox_close(FetchInbox *i);

/* Puts an envelope there. Returns -errno; nothing of it is left then. */
int fetch_inbox_put(const FetchInbox *i, const FetchInboxName name, const void *data, size_t size)
    _must_check_;

/* Removes an envelope, and the reason why it was refused, if they are there. */
void fetch_inbox_remove(const FetchInbox *i, const FetchInboxName name);

typedef enum FetchInboxState {
    INBOX_WAITING, /* not looked at yet */
    INBOX_TAKEN,
    INBOX_REFUSED,
} FetchInboxState;

/* Returns the state of the file of that name. reason: of INBOX_REFUSED, otherwise empty. */
FetchInboxState fetch_inbox_look(const FetchInbox *i, const FetchInboxName name,
                                 char reason[static FETCH_REASON_MAX]);
