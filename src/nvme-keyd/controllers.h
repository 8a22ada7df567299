/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/limits.h"
#include "basic/macro.h"
#include "psk/identity.h"

/*
 * The host's NVMe/TCP controllers with TLS, as the kernel shows them below /sys/class/nvme. At a
 * reset or a reconnect such a controller looks for its PSK again; when it finds none the kernel
 * deletes it, together with its disks.
 */
typedef struct Controller {
    char name[32]; /* "nvme0" */
    char hostnqn[NQN_LENGTH_MAX + 1];
    char subsysnqn[NQN_LENGTH_MAX + 1];
    int32_t tls_key;            /* serial of the PSK in use, 0 while there is no connection */
    int32_t tls_configured_key; /* serial that was given by --tls-key=, or 0 */
    bool live;
} Controller;

typedef struct ControllerList {
    Controller *items;
    size_t n;
} ControllerList;

void controller_list_done(ControllerList *l);

/* Reads the controllers with TLS below directory, but for those that are being deleted. A directory
 * that is missing has none. Returns -ENOMEM or the error of opendir(3). Release with
 * controller_list_done(). */
int controllers_read(const char *directory, ControllerList *ret) _must_check_;

/* True when the controller would look for this key at its next reset: it uses the key, or it has no
 * connection and would find the key by its names. identity: of the key. */
bool controller_needs(const Controller *c, int32_t serial, const PskIdentity *identity);

/* True when the controller was connected with this very key (--tls-key=), so that no other key of
 * the pair can stand in for it. */
bool controller_is_pinned(const Controller *c, int32_t serial);
