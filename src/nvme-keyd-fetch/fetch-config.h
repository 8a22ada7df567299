/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "basic/macro.h"
#include "nvme-keyd-fetch/limits.h"
#include "nvme-keyd/config/config-file.h"

#define FETCH_CONFIG_NAME "nvme-keyd-fetch.conf"

typedef char FetchText[FETCH_VALUE_MAX + 1];

/* nvme-keyd-fetch.conf(5). An empty text is an option that is not set. */
typedef struct FetchConfig {
    FetchText source; /* the name of its type */
    FetchText endpoints[FETCH_ENDPOINTS_MAX];
    size_t n_endpoints;
    FetchText prefix; /* ends in a slash */
    FetchText machine;
    FetchText user;
    FetchText ca, certificate, key; /* paths */
    FetchText inbox;
    FetchText service; /* the socket of nvme-keyd; "no" for no reports about its keys */
    unsigned presence_sec;
} FetchConfig;

/* Reads the configuration of the system if path is NULL; otherwise path and path.d, over the
 * defaults. *ret is always set; the caller frees the problems with config_problems_done(). */
void fetch_config_load(const char *path, FetchConfig *ret, ConfigProblems *ret_problems);

/* True if c is enough to begin with. Otherwise *ret_why is a line for people. */
bool fetch_config_is_complete(const FetchConfig *c, const char **ret_why);
