/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>

#include "basic/macro.h"

/* Reads PCRs of a TPM as systemd-cryptenroll --tpm2-pcrs= takes them: numbers from 0 to 23, or
 * systemd's names for them, joined by "+", of which any may have ":sha256", ":sha384" or ":sha1"
 * behind it, all the same; nothing is none. *ret is an array of numbers, to be put, *ret_bank a
 * static string or NULL. Returns -EINVAL, -ENOMEM. */
int pcrs_parse(const char *list, json_object **ret, const char **ret_bank) _must_check_;
