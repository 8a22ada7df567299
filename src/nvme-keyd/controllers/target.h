/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "psk/limits.h"

/* The hosts that are connected to the kernel's target with TLS, as debugfs shows them. */

typedef struct TargetHost {
    char subsysnqn[NQN_LENGTH_MAX + 1];
    char hostnqn[NQN_LENGTH_MAX + 1];
    char address[128]; /* of the host, empty if unknown */
    int32_t cntlid;
    int32_t tls_key; /* serial of the PSK in use */
} TargetHost;

typedef struct TargetHostList {
    TargetHost *items;
    size_t n;
} TargetHostList;

void target_host_list_done(TargetHostList *l);

/* Reads the hosts below directory, that of nvmet in debugfs. Returns -ENOENT if there is none: the
 * module is not loaded, or the kernel does not show it; -EOPNOTSUPP if hosts are connected and the
 * kernel does not show their keys (before Linux 6.13); -ENOMEM, or the error of reading. */
int target_hosts_read(const char *directory, TargetHostList *ret) _must_check_;
