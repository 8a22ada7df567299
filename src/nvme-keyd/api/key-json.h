/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key.h"

/* Type Key of org.nvmekeyd.Manager: what people and programs are told of a key. Never a secret. */
int key_to_json(const Key *k, json_object **ret) _must_check_;
