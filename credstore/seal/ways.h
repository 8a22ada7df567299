/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/macro.h"

/* The detail for a way that is closed. */
#define WAY_CLOSED "OpenBy= in nvme-keyd.conf does not allow it to open the store"

/*
 * The ways to open a store, a bit for each: the types of slots, and for systemd-creds also the key
 * that seals the credential. An attacker seals a replacement store by a key that is easy to get, so
 * an administrator may close such ways (OpenBy=).
 */
#define WAY_TPM2 (1U << 0)
#define WAY_RECOVERY (1U << 1)
/* A KEK handed in as the credential nvme-keyd.kek: what sealed that, if anything, is unknown. */
#define WAY_CREDS_GIVEN (1U << 2)
/* The first of the ways by a key of systemd; the others are the following bits. */
#define WAY_CREDS_KEY (1U << 3)

#define WAYS_ALL (~0U)

/* Returns the way of a credential that is sealed by the key of that name, see creds/blob.h. */
unsigned way_of_creds_key(const char *name);

/* Parses "tpm2", "recovery", "systemd-creds" and "systemd-creds:KEY", separated by white space.
 * Returns -EINVAL for another word, and for an empty list. */
int ways_parse(const char *list, unsigned *ret) _must_check_;
