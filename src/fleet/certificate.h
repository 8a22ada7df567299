/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "envelope/machine.h"
#include "fleet/limits.h"

/* Reads a certificate in PEM, from a place or a file: its fingerprint, and the name for people that
 * it has as a URI or DNS name in its SAN; "-" without one. Returns -EBADMSG, -ENOMEM. */
int certificate_describe(const char *pem, size_t size, char ret[static MACHINE_FINGERPRINT_SIZE],
                         char ret_name[static MACHINE_NAME_MAX + 1]) _must_check_;
