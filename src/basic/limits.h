/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Limits of more than one room on the growth that a peer, a file or the kernel can cause, each with
 * its reason. The limits of one room are in its limits.h. Durations are in microseconds.
 */

#include <stddef.h>
#include <stdint.h>

#define USEC_PER_SEC ((uint64_t)1000000)

/* The kernel refuses longer descriptions (KEY_MAX_DESC_SIZE in security/keys/keyctl.c). */
#define KEY_DESCRIPTION_MAX 4095

/* Default time for which the kernel remembers that there is no key. */
#define NEGATIVE_TIMEOUT_SEC 5

/* A hundred years: the end of a lifetime is a time of day that fits everywhere. */
#define LIFETIME_SEC_MAX ((uint64_t)36525 * 24 * 3600)

/* A comment is a line for people. */
#define COMMENT_LENGTH_MAX 256

/* Locked memory for secrets. Each lives for one operation, and some hundred fit at once. */
#define SECRET_ARENA_SIZE ((size_t)256 * 1024)
