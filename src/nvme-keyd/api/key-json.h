/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>

#include "nvme-keyd/keys/key.h"

/* A key as type Key of org.nvmekeyd.Manager, to be put by the caller. It holds no secret. Returns
 * -ENOMEM. */
int key_to_json(const Key *k, json_object **ret) _must_check_;

/* Reads the member identityVersions, a list of 0 and 1, into KEY_VERSION_BIT()s. Returns 1, 0 if it
 * is absent, -EINVAL. */
int key_versions_from_json(json_object *object, unsigned *ret);
