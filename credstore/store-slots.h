/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/store-private.h"

/* How sealed slots leave the process that made them: as JSON text. None of it is secret; it is one
 * so that all results of that process are. */

/* Returns -ENOMEM. */
int slots_pack(json_object *slots, Secret **ret) _must_check_;

/* Returns -EBADMSG when packed is not of that type, or -ENOMEM. */
int slots_unpack(const Secret *packed, json_type type, json_object **ret) _must_check_;
