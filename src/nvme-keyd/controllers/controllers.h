/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "basic/macro.h"
#include "psk/identity.h"
#include "psk/limits.h"

/* Five names with their values, see nvmf_get_address() of the kernel. */
#define CONTROLLER_ADDRESS_MAX 511

/*
 * The NVMe/TCP controllers of the host with TLS, as below /sys/class/nvme. At a reset or reconnect
 * such a controller searches for its PSK again; if there is none, the kernel deletes it, with its
 * disks.
 */
typedef struct Controller {
    char name[32]; /* "nvme0" */
    char hostnqn[NQN_LENGTH_MAX + 1];
    char subsysnqn[NQN_LENGTH_MAX + 1];
    /* "traddr=...,trsvcid=..."; "" if it cannot be read */
    char address[CONTROLLER_ADDRESS_MAX + 1];
    int32_t tls_key;            /* serial of the PSK in use, 0 while there is no connection */
    int32_t tls_configured_key; /* serial that was given by --tls-key=, 0 for none or unknown */
    bool live;
    bool generates; /* it uses a key that the kernel generated (secure concatenation) */
} Controller;

typedef struct ControllerList {
    Controller *items;
    size_t n;
} ControllerList;

void controller_list_done(ControllerList *l);

/* Reads the controllers with TLS below directory, except those being deleted. A missing directory
 * has none; a directory that vanishes meanwhile is left out. Returns -ENOMEM, or the error of
 * reading: then the controllers are unknown. Release with controller_list_done(). */
int controllers_read(const char *directory, ControllerList *ret) _must_check_;

/* True if two names are equal; neither needs a terminator. */
static inline bool nqn_equals(const char *a, size_t a_length, const char *b, size_t b_length)
{
    return a_length == b_length && memcmp(a, b, a_length) == 0;
}

/* True if the controller uses this key now. */
bool controller_uses(const Controller *c, int32_t serial);

/* True if the controller searches for a key of this identity at its next reset. The kernel always
 * searches by the names, whichever key the last connection used. */
bool controller_looks_for(const Controller *c, const PskIdentity *identity);

/* True if the controller was connected with this very key (--tls-key=), so that no other key of the
 * pair can replace it. Linux 6.12 shows this, 7.3 does not: there it looks like any other
 * controller. */
bool controller_is_pinned(const Controller *c, int32_t serial);
