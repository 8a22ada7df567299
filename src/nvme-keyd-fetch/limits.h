/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "basic/limits.h"

/* Servers of one cluster. etcd recommends 7 at most. */
#define FETCH_ENDPOINTS_MAX 16
/* A line of the configuration has up to 200 bytes. */
#define FETCH_VALUE_MAX 200

/* Envelopes of one machine: a target has one for each of its hosts. */
#define FETCH_ENVELOPES_MAX 2048
/* A name becomes the name of a file, with ".reason" after it. */
#define FETCH_NAME_MAX 200
/* In PEM; ENVELOPE_SIZE_MAX bytes in DER become a third more. */
#define FETCH_ENVELOPE_MAX ((size_t)160 * 1024)
/* A reason, as nvme-keyd writes it beside a refused envelope: a line for people. */
#define FETCH_REASON_MAX 512

/* Names of envelopes that are asked for at once, each of up to 800 bytes in an answer. */
#define FETCH_PAGE 500
/* A list that has more pages has no end. */
#define FETCH_PAGES_MAX 64
/* The answers: such a page, or one envelope in base64 and what is around it. */
#define FETCH_ANSWER_MAX ((size_t)512 * 1024)
/* etcd cuts what it has to say in a watch into parts of 1.5 MiB, which are 2 MiB in base64. */
#define FETCH_LINE_MAX ((size_t)3 * 1024 * 1024)
/* Values in one JSON text. json-c needs up to 1 KB for each, however short its text is. */
#define FETCH_JSON_VALUES_MAX 12000
#define FETCH_JSON_DEPTH 8

/* A server of the same continent connects within a second; the first packet may be lost twice. */
#define FETCH_CONNECT_USEC (5 * USEC_PER_SEC)
/* etcd itself gives up on a request after 7 s. */
#define FETCH_CALL_USEC (10 * USEC_PER_SEC)
/* A line that has begun must go on. */
#define FETCH_LINE_USEC (30 * USEC_PER_SEC)

/* The presence of a machine ends so long after its last sign of life, which it gives three times as
 * often. It is the time after which a server that stalls is left, too. */
#define FETCH_PRESENCE_SEC 30
#define FETCH_PRESENCE_SEC_MIN 3
#define FETCH_PRESENCE_SEC_MAX 3600

/* The pause after a failure doubles from the first to the second, and is cut by up to half at
 * random, so that the machines of a fleet come back one after the other. */
#define FETCH_PAUSE_USEC (USEC_PER_SEC / 2)
#define FETCH_PAUSE_MAX_USEC (60 * USEC_PER_SEC)

/* Changes that come together are one report. */
#define FETCH_REPORT_USEC USEC_PER_SEC
/* nvme-keyd is asked for the state of its keys so often. */
#define FETCH_LOOK_USEC (60 * USEC_PER_SEC)
/* Its answer comes at once, unless it waits for a TPM to open the store. */
#define FETCH_LIST_USEC (2 * USEC_PER_SEC)
/* docs/FLEET.md allows as much; etcd takes 1.5 MiB. */
#define FETCH_REPORT_MAX ((size_t)1024 * 1024)
