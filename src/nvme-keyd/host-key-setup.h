/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/exit-code.h"

/*
 * nvme-keyd --setup-host-key, which runs before the service manager opens sealed credentials for
 * us. It asks systemd-creds(1) for a host key where there is none, unless there is no place that
 * lasts for one: a read-only /var/lib/systemd, or one in memory. It says nothing when there is one.
 *
 * Returns EXIT_STORE when a credential of ours would have systemd delete the host key; everything
 * else that does not work is a warning.
 */
ExitCode host_key_setup(void);
