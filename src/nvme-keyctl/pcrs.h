/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>

#include "basic/macro.h"

/* Reads PCRs of a TPM as systemd-cryptenroll --tpm2-pcrs= takes them: numbers from 0 to 23, or
 * systemd's names for them, joined by "+"; nothing is none. *ret is an array of numbers, to be put.
 * Returns -EINVAL, -ENOMEM. */
int pcrs_parse(const char *list, json_object **ret) _must_check_;
