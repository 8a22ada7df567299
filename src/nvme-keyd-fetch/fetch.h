/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/secret.h"
#include "nvme-keyd-fetch/fetch-config.h"

/* Runs the helper until SIGTERM or SIGINT. password: or NULL; both are borrowed. Returns 0, or a
 * negative errno after a message. */
int fetch_run(const FetchConfig *config, const Secret *password) _must_check_;
