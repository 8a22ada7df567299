/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "nvme-keyd/envelopes/limits.h"
#include "nvme-keyd/envelopes/worker.h"

typedef struct Request {
    Secret *secret;
    uint8_t *data;
    size_t size;
    JobDone done;
    void *userdata;
    STAILQ_ENTRY(Request) next;
} Request;

struct Worker {
    sd_event *event;
    Job *job;
    STAILQ_HEAD(Requests, Request) requests; /* the first one is at work */
    size_t n;
};

static const JobKind kind = {ENVELOPE_JOB_OPTION, NULL, WORK_LIMIT_USEC};

static void request_free(Request *q)
{
    secret_free(q->secret);
    free(q->data);
    free(q);
}

static void end_first(Worker *w, int error, const Secret *output, const char *detail)
{
    Request *q = STAILQ_FIRST(&w->requests);

    STAILQ_REMOVE_HEAD(&w->requests, next);
    w->n--;
    q->done(error, output, detail, q->userdata);
    request_free(q);
}

Worker *worker_free(Worker *w)
{
    if (!w)
        return NULL;
    job_free(w->job);
    while (!STAILQ_EMPTY(&w->requests))
        end_first(w, -ECANCELED, NULL, NULL);
    free(w);
    return NULL;
}

int worker_new(sd_event *event, Worker **ret)
{
    Worker *w = calloc(1, sizeof(*w));

    if (!w)
        return -ENOMEM;
    w->event = event;
    STAILQ_INIT(&w->requests);
    *ret = w;
    return 0;
}

static void run_next(Worker *w);

static void on_done(int error, const Secret *output, const char *detail, void *userdata)
{
    Worker *w = userdata;

    /* done may start more. */
    w->job = job_free(w->job);
    end_first(w, error, output, detail);
    run_next(w);
}

static void run_next(Worker *w)
{
    Request *q;
    int r;

    while (!w->job && (q = STAILQ_FIRST(&w->requests))) {
        r = job_start(w->event, &kind, q->secret, q->data, q->size, on_done, w, &w->job);
        if (r < 0)
            end_first(w, r, NULL, NULL);
    }
}

static Request *make_request(EnvelopeWork work, const Secret *secret, const Blob *blobs, size_t n)
{
    Request *q = calloc(1, sizeof(*q));

    if (!q)
        return NULL;
    q->size = 1 + blobs_size(blobs, n);
    q->data = malloc(q->size);
    q->secret = secret ? secret_new_copy(secret->data, secret->size) : secret_new(0);
    if (!q->data || !q->secret) {
        request_free(q);
        return NULL;
    }
    q->data[0] = (uint8_t)work;
    blobs_write(q->data + 1, blobs, n);
    return q;
}

int worker_start(Worker *w, EnvelopeWork work, const Secret *secret, const Blob *blobs, size_t n,
                 JobDone done, void *userdata)
{
    Request *q;
    int r;

    if (w->n == WORKER_QUEUE_MAX)
        return -EBUSY;
    q = make_request(work, secret, blobs, n);
    if (!q)
        return -ENOMEM;
    q->done = done;
    q->userdata = userdata;
    if (w->n == 0) {
        r = job_start(w->event, &kind, q->secret, q->data, q->size, on_done, w, &w->job);
        if (r < 0) {
            request_free(q);
            return r;
        }
    }
    STAILQ_INSERT_TAIL(&w->requests, q, next);
    w->n++;
    return 0;
}

bool worker_is_busy(const Worker *w)
{
    return w->n > 0;
}
