/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/manager/manager.h"
#include "varlink/varlink.h"

/* org.nvmekeyd.Manager: its methods. Their userdata is a Manager. */
extern const VarlinkInterface manager_interface;
