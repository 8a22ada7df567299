/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "formats/found.h"

/*
 * Reads config.json of nvme-cli 2 (libnvme, doc/config-schema.json): an array of hosts, or an
 * object with the array "hosts".
 *
 *     [{"hostnqn": NQN, "subsystems": [{"nqn": NQN, "ports": [
 *         {"tls_key": KEY, "tls_key_identity": IDENTITY}]}]}]
 *
 * The line of a key is found by its text. Returns 0, what fn returns, or -ENOMEM.
 */
int config_json_read(const char *text, size_t size, FoundFn fn, void *userdata);
