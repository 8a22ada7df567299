/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>

#include "basic/macro.h"

/* Parses a list of PCRs in the format of systemd-cryptenroll --tpm2-pcrs=: numbers from 0 to 23, or
 * systemd's names for them, joined by "+". Each may end in ":sha256", ":sha384" or ":sha1", the
 * same one in all of them. An empty text is no PCR. *ret is an array of numbers, to be put;
 * *ret_bank is a static string or NULL. Returns -EINVAL, -ENOMEM. */
int pcrs_parse(const char *list, json_object **ret, const char **ret_bank) _must_check_;
