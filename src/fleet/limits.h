/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/* One value of a place. etcd refuses requests of more than 1.5 MiB. */
#define PLACE_VALUE_MAX ((size_t)1024 * 1024)
/* "machines/FINGERPRINT/envelopes/ID" and room. */
#define PLACE_KEY_SIZE 160
/* The name in the certificate of a machine: a host NQN has 223 bytes. */
#define MACHINE_NAME_MAX 255
/* A machine reports on its own pairs alone. */
#define REPORTS_MAX 4096
/* The reason of a failure is one line for people. */
#define REASON_MAX 255
