/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key.h"

/* Type Key of org.nvmekeyd.Manager: what people and programs are told of a key. Never a secret. */
int key_to_json(const Key *k, json_object **ret) _must_check_;

/* Why a broken key is broken. */
const char *key_error_text(const Key *k);

/* Reads the member identityVersions, a list of 0 and 1, into KEY_VERSION_BIT()s. Returns 1, 0 when
 * it is absent, -EINVAL. */
int key_versions_from_json(json_object *object, unsigned *ret);
/* Adds it. */
int key_versions_to_json(json_object *object, unsigned versions) _must_check_;
