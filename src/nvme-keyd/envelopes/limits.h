/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/limits.h"

/* Opening an envelope takes milliseconds; what takes longer is an attack, or a machine that is
 * short of everything. */
#define WORK_LIMIT_USEC (30 * USEC_PER_SEC)
/* Calls that wait for their turn: each holds an envelope. */
#define WORKER_QUEUE_MAX 64

/* A certificate is a record, whose line has at most 16 KiB. */
#define ISSUER_SIZE_MAX ((size_t)8 * 1024)
/* Of the store, and of the configuration and credentials together. */
#define ISSUERS_MAX 16
#define ISSUER_FILES_MAX 16
