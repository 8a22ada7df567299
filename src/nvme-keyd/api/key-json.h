/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key.h"

/* A key as type Key of org.nvmekeyd.Manager, to be put by the caller. It holds no secret. Returns
 * -ENOMEM. */
int key_to_json(const Key *k, json_object **ret) _must_check_;
