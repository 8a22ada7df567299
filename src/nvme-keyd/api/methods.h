/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/manager/manager.h"
#include "varlink/varlink.h"

/* org.nvmekeyd.Manager: the methods over a Manager, which is their userdata. */
extern const VarlinkInterface manager_interface;
