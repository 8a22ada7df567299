/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <grp.h>
#include <unistd.h>

#include "basic/log.h"
#include "basic/names.h"
#include "build-config.h"
#include "nvme-keyd/daemon-log.h"
#include "nvme-keyd/daemon.h"
#include "nvme-keyd/preload.h"

/* The daemon of the real root recognises our keys by their mark, and by this group if preload ends
 * before it could mark a key. */
static int take_group(void)
{
    const struct group *g;

    if (getegid() != 0)
        return 0;
    errno = 0;
    g = getgrnam(NAMES_GROUP);
    if (!g)
        return log_error_errno(errno > 0 ? -errno : -ESRCH,
                               "The group " NAMES_GROUP
                               " is missing, so the keys cannot be marked");
    if (setegid(g->gr_gid) < 0)
        return log_error_errno(-errno, "Cannot take the group " NAMES_GROUP);
    return 0;
}

ExitCode preload_run(const char *config_path, const char *state_dir, uint64_t timeout_usec)
{
    _cleanup_(sd_event_unrefp) sd_event *event = NULL;
    _cleanup_(daemon_freep) Daemon *d = NULL;
    _cleanup_(config_problems_done) ConfigProblems problems = {.n = 0};
    Config config;
    int r;

    daemon_load_config(config_path, &config, &problems);
    /* In an initramfs no service answers the requests of the kernel. */
    config.on_demand = false;
    if (take_group() < 0)
        return EXIT_OTHER;
    r = sd_event_new(&event);
    if (r >= 0)
        r = daemon_new(event, &config, config_path, state_dir, &d);
    if (r >= 0) {
        daemon_preload(d, timeout_usec);
        r = sd_event_loop(event);
    }
    if (r < 0)
        (void)log_error_errno(r, "Cannot publish the keys");
    return r < 0 ? EXIT_OTHER : (ExitCode)r;
}
