/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/macro.h"

/* What is said of one that is left out. */
#define WAY_CLOSED "OpenBy= in nvme-keyd.conf does not allow it to open the store"

/*
 * The ways in which a store may be opened, a bit for each: the types of slots, and of systemd-creds
 * what has sealed its credential. A store that somebody has put in the place of the right one opens
 * by whatever is easy to come by; an administrator may leave those ways out.
 */
#define WAY_TPM2 (1U << 0)
#define WAY_RECOVERY (1U << 1)
/* A key-encryption key that the service manager was handed (nvme-keyd.kek): whoever has sealed it,
 * if at all, cannot be seen. */
#define WAY_CREDS_GIVEN (1U << 2)
/* The first of those by a key of systemd; they go on from here. */
#define WAY_CREDS_KEY (1U << 3)

#define WAYS_ALL (~0U)

/* The way of a credential that is sealed with a key of that name, as creds-slot.h has it. */
unsigned way_of_creds_key(const char *name);

/* Parses "tpm2", "recovery", "systemd-creds" and "systemd-creds:KEY", with white space between.
 * Returns -EINVAL for any other word, and for none at all. */
int ways_parse(const char *list, unsigned *ret) _must_check_;
