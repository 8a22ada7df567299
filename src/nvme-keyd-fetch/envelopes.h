/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "basic/macro.h"
#include "nvme-keyd-fetch/fetch-inbox.h"

/* The envelopes of this machine that were found, and what became of each. */
typedef struct Envelopes Envelopes;

/* inbox: borrowed. */
int envelopes_new(const FetchInbox *inbox, Envelopes **ret) _must_check_;
Envelopes *envelopes_free(Envelopes *e);
DEFINE_CLEANUP(Envelopes, envelopes_free)

/* True if this revision is known. */
bool envelopes_has(const Envelopes *e, const char *name, uint64_t revision);

/* Puts an envelope into the inbox and remembers it. The file of an older revision is removed.
 * Returns -ENOSPC past FETCH_ENVELOPES_MAX names, or the error of fetch_inbox_put(). */
int envelopes_pass(Envelopes *e, const char *name, uint64_t revision, const void *data, size_t size)
    _must_check_;

/* Remembers one that cannot be had. */
void envelopes_refuse(Envelopes *e, const char *name, uint64_t revision, const char *why);

/* Looks what became of those that were waiting. Returns the number of those that have changed. */
unsigned envelopes_look(Envelopes *e);

/* An array with an object for each: {name, revision, state: waiting|taken|refused, reason}. Returns
 * -ENOMEM. */
int envelopes_to_json(const Envelopes *e, json_object **ret) _must_check_;
