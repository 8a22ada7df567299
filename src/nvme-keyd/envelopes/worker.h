/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/envelopes/blobs.h"
#include "nvme-keyd/envelopes/work.h"

/* Carries out work.h in child processes, one after the other: the result of each takes much of the
 * locked memory. */
typedef struct Worker Worker;

/* event is borrowed. Returns -ENOMEM. */
int worker_new(sd_event *event, Worker **ret) _must_check_;
/* Work that waits ends with -ECANCELED. Accepts NULL; returns NULL. */
Worker *worker_free(Worker *w);
DEFINE_CLEANUP(Worker, worker_free)

/* Queues a request; secret and blobs are copied, secret NULL is an empty one. done is called once,
 * from the event loop or by worker_free(). Returns -EBUSY past WORKER_QUEUE_MAX, -ENOMEM. */
int worker_start(Worker *w, EnvelopeWork work, const Secret *secret, const Blob *blobs, size_t n,
                 JobDone done, void *userdata) _must_check_;

/* True while there is work, so the service must not exit. */
bool worker_is_busy(const Worker *w);
