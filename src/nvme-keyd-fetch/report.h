/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>

#include "basic/macro.h"
#include "nvme-keyd-fetch/envelopes.h"

/* The report of this machine to its fleet: a JSON text without secrets (docs/FLEET.md). */

/* Asks nvme-keyd at socket for its pairs. It waits FETCH_LIST_USEC at most for each reply. Returns
 * an array with what a report has of each, to be put, or NULL if it does not answer. */
json_object *report_read_pairs(const char *socket);

/* Makes the report, to be freed. pairs: or NULL. Returns -ENOMEM, or -EMSGSIZE if it is longer than
 * FETCH_REPORT_MAX. */
int report_format(const Envelopes *envelopes, json_object *pairs, char **ret) _must_check_;
