/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "basic/macro.h"
#include "psk/limits.h"

/* Hosts and subsystems in the configuration of nvme-cli. */

typedef struct ConfiguredEntry {
    char hostnqn[NQN_LENGTH_MAX + 2];   /* "": that of the machine */
    char subsysnqn[NQN_LENGTH_MAX + 2]; /* "" for an entry about the host alone */
    bool tls;
    bool discovery;  /* a discovery controller */
    bool key_source; /* nvme-keysd serves it */
} ConfiguredEntry;

typedef struct ConfiguredList {
    ConfiguredEntry *items;
    size_t n;
    char unreadable[64]; /* a file that cannot be read, or "" */
} ConfiguredList;

void configured_list_done(ConfiguredList *l);

/* Reads all files of nvme-cli and nvme-stas below a root. Returns -ENOMEM. */
int configured_read(int root, ConfiguredList *ret) _must_check_;

/* These append. text has no secrets. */

/* config.json of nvme-cli 2. Returns -EBADMSG for other text, -ENOMEM. */
int configured_parse_json(const char *text, size_t size, ConfiguredList *l) _must_check_;
/* nvme-fabrics.conf and its drop-ins, and nvme-stas.conf. Returns -ENOMEM. */
int configured_parse_conf(const char *text, ConfiguredList *l) _must_check_;
/* discovery.conf of nvme-cli: a line of options for each discovery controller. Returns -ENOMEM. */
int configured_parse_discovery(const char *text, ConfiguredList *l) _must_check_;
