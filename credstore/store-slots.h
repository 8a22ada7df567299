/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/store-private.h"

/* Records that a slot is known to open the store. Returns -ENOMEM. */
int slots_prove(Store *s, const char *id) _must_check_;

/* Unpacks the JSON text as which a sealed slot leaves the process that made it. It is no secret,
 * but is passed as a Secret like all results of that process. Returns -EBADMSG or -ENOMEM. */
int slots_unpack(const Secret *packed, json_object **ret) _must_check_;
