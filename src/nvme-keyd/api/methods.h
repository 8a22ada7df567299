/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/manager/manager.h"
#include "varlink/varlink.h"

/* org.nvmekeyd.Manager: its methods. Their userdata is a Manager. */
extern const VarlinkInterface manager_interface;

/* Warns if only the host key opens the store, which is open, and the machine id may change with the
 * next boot. Called after each change of the slots, and when the store was opened or made. */
void methods_log_host_key(const Manager *m);
