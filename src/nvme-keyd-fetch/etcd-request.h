/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "basic/macro.h"
#include "basic/secret.h"

/* The requests to etcd's JSON gateway, each a text to be freed. Return NULL without memory. */

/* From key to the end of all keys that begin with prefix. revision 0: the newest. limit 0: none. */
char *etcd_request_range(const char *key, const char *prefix, uint64_t revision, unsigned limit,
                         bool names_only);

/* The one key. */
char *etcd_request_get(const char *key);

/* All keys that begin with prefix, from a revision on. */
char *etcd_request_watch(const char *prefix, uint64_t revision);

/* lease 0: none */
char *etcd_request_put(const char *key, const char *value, uint64_t lease);

char *etcd_request_grant(unsigned ttl_sec);
char *etcd_request_keep_alive(uint64_t lease);

/* The name of a user and a password in UTF-8. *ret is a text with a NUL. Returns -EINVAL for a
 * password that is no printable text, -ENOMEM. */
int etcd_request_login(const char *user, const Secret *password, Secret **ret) _must_check_;
