/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/log.h"
#include "nvme-keyd/manager/manager.h"

/* What the journal is told about the daemon's state. */

/* What the journal knows by now, so that it hears of each trouble once. Starts as zeroes. */
typedef struct DaemonLog {
    char *unavailable; /* why the store does not open */
    bool absent;       /* there is no ring */
    bool slow;         /* the store takes its time */
    bool behind;       /* the rollback counter is */
    bool clock;        /* retired keys wait for the clock */
} DaemonLog;
void daemon_log_done(DaemonLog *l);

/* config_load(), and a line in the log for each problem. */
void daemon_load_config(const char *path, Config *ret, ConfigProblems *ret_problems);

/* A message for each line of detail: what, a colon and the line. fields may be NULL. */
void daemon_log_lines(int level, const LogFields *fields, const char *what, const char *detail);

/* What came of a manager_sync(), before which there were n_before keys. */
void daemon_log_sync(DaemonLog *l, const Manager *m, size_t n_before, int error,
                     const SyncResult *s);

/* What became of the store. */
void daemon_log_store(DaemonLog *l, const Manager *m, VaultEvent event);

/* A store that nothing opens but the host key, on a machine whose id may change. */
void daemon_log_host_key(const Manager *m);

/* What is wrong with credentials, as they were read last. */
void daemon_log_problems(const Manager *m);

/* Keys of credentials that have been overridden since the last call. */
void daemon_log_overridden(Manager *m);

/* Keys in the ring that somebody has to look at, once each. */
void daemon_log_ring(Manager *m);

/* A refused Provision=on-demand. */
void daemon_log_provision(const Manager *m);

/* Keys that wait for the clock to be synchronised. */
void daemon_log_clock(DaemonLog *l, const Manager *m);
