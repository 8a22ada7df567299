/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyctl/doctor/doctor.h"

/* Asks the service manager about the units that checks look at, into d->units, which the caller
 * frees, and d->units_error. address: of its own socket, for root; NULL: by the system bus. Returns
 * -ENOMEM. */
int units_read(Doctor *d, const char *address) _must_check_;
