/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/exit-code.h"
#include "basic/log.h"
#include "nvme-keyd/manager/follow.h"

/* Messages in the journal about the state of the daemon. */

/* The troubles that were logged, so that each is logged once. Starts as zeroes. */
typedef struct DaemonLog {
    char *unavailable; /* why the store does not open */
    int failed;        /* why keys cannot be published */
    bool absent;       /* the ring is missing */
    bool slow;         /* the store is slow to open */
    bool behind;       /* the rollback counter lags behind the store */
    bool clock;        /* retired keys wait for the clock */
} DaemonLog;
void daemon_log_done(DaemonLog *l);

/* Calls config_load() and logs each problem. */
void daemon_load_config(const char *path, Config *ret, ConfigProblems *ret_problems);

/* Logs the result of a manager_sync(). */
void daemon_log_sync(DaemonLog *l, const Manager *m, int error, const ReconcileResult *s);

/* Logs the result of --preload: in one line, and one line for each broken record and each notice
 * about the ring. error, s: as manager_reconcile() returned them last, or -ENOKEY without a ring.
 * signalled: a signal ended it, not the timeout, which matters if the store is still being opened.
 */
ExitCode daemon_log_result(Manager *m, const char *state_dir, int error, const ReconcileResult *s,
                           bool signalled);

/* Logs an event of the store. */
void daemon_log_store(DaemonLog *l, const Manager *m, VaultEvent event);

/* Logs the problems of the credentials that were read last. */
void daemon_log_problems(const Manager *m);

/* Logs handed-in keys that have been overridden since the last call. */
void daemon_log_overridden(Manager *m);
/* Logs the steps of keys that were taken at their time. */
void daemon_log_steps(Manager *m);
/* Logs the end of an attempt to switch, at debug level if the one before ended in the same way. */
void daemon_log_attempt(const Manager *m, const AttemptResult *r);

/* Logs keys in the ring that an administrator should look at, once each. */
void daemon_log_ring(Manager *m);

/* Logs the keys that were put back into the ring since the last call. */
void daemon_log_losses(Manager *m);

/* Logs the keys whose lifetime has ended since the last call. */
void daemon_log_expired(Manager *m);

/* Logs that the guard has begun to fight with another program, or that this is over. */
void daemon_log_guard(const Manager *m, GuardEvent event);

/* Logs that Provision=on-demand is refused, if it is. */
void daemon_log_provision(const Manager *m);

/* Logs that retired keys wait for the clock to be synchronised. */
void daemon_log_clock(DaemonLog *l, const Manager *m);
