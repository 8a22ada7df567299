/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyctl/doctor/doctor.h"

/* Reads the newest messages of tlshd and of the kernel's NVMe code since the boot, as far as
 * trouble_find() knows them, into d->messages, and d->journal_error. Returns -ENOMEM. */
int journal_read(Doctor *d) _must_check_;
