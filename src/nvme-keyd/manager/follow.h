/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/manager/manager.h"
#include "nvme-keyd/manager/probe-round.h"

/*
 * How a host switches to a pending key. An attempt probes the targets of the pair on all paths with
 * the key (probe-round.h), and activates it if none of them is against it. Attempts are made when a
 * caller asks, and, for keys that follow their target (member "follow" of the record), again and
 * again, until the target has the key, or the key is activated, retired or removed by a person:
 *
 *    verdict                  then
 *    accepted                 manager_activate()
 *    refused, unreachable,    the key stays pending; one that follows is tried again after
 *    no path, unknown         FOLLOW_FIRST_USEC, then twice that, up to FOLLOW_LAST_USEC
 *
 * No path is no consent: after a boot, nothing has connected yet, and the first connection would
 * offer a key that its target may not have.
 *
 * So two machines, or ten thousand, need no coordinator: each target gets its PSK first, and its
 * host switches by itself.
 */
typedef enum Verdict {
    VERDICT_ACCEPTED,    /* each path that can be reached accepts the key, and there is one */
    VERDICT_NO_PATH,     /* the pair has no controller */
    VERDICT_REFUSED,     /* a path that can be reached does not accept it */
    VERDICT_UNREACHABLE, /* no path can be reached */
    VERDICT_UNKNOWN,     /* a path could not be probed */
} Verdict;

/* Judges the answers of all paths. A target on this machine (PROBE_OWN) gets the key together with
 * its host, so it counts as accepted. */
Verdict follow_judge(const ProbeResult *results, size_t n);

typedef struct AttemptResult {
    const char *id;
    Verdict verdict;
    const ProbeResult *results; /* one for each path */
    size_t n_results;
    const char *detail; /* why the key is not active, a line for people; NULL if it is */
    bool again;         /* the key follows its target and is tried again */
    bool repeated;      /* the attempt before had the same verdict */
} AttemptResult;

/* Called from the event loop when an attempt is over; the result is valid until it returns. */
typedef void (*AttemptHandler)(const AttemptResult *r, void *userdata);

/* m is borrowed. Returns -ENOMEM, or an error of sd-event. */
int follow_new(sd_event *event, Manager *m, Follow **ret) _must_check_;
/* Ends all attempts; the callers that asked for them are answered. Accepts NULL; returns NULL. */
Follow *follow_free(Follow *f);
DEFINE_CLEANUP(Follow, follow_free)

/* report gets the results of all attempts, before the caller that asked for one. */
void follow_set_report(Follow *f, AttemptHandler report, void *userdata);

/* Attempts once, now, to switch to a key. target: the only one to be asked, or NULL for those of
 * the controllers. Returns -ENOENT or -EBUSY (the state of the key forbids it), with a detail, or
 * -ENOMEM; then handler is not called. */
int follow_try(Follow *f, const char *id, const ProbeTarget *target, AttemptHandler handler,
               void *userdata, char **reterr_detail) _must_check_;

/* Finds the keys that follow their target, after any change of keys. Linear if there are some. */
void follow_update(Follow *f);

/* True while an attempt runs or is planned, so the service must not exit. */
bool follow_is_busy(const Follow *f);
