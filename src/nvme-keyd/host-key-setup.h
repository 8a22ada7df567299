/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/exit-code.h"

/*
 * nvme-keyd --setup-host-key, which runs before the service manager unseals credentials for us. It
 * asks systemd-creds(1) to make a host key if there is none, unless the key would not last: on a
 * read-only /var/lib/systemd or one in memory. An existing host key is left alone without a
 * message.
 *
 * Returns EXIT_STORE if systemd would delete the host key to unseal a credential of ours; any other
 * failure is a warning.
 */
ExitCode host_key_setup(void);
