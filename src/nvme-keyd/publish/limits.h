/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Keys of the ring that somebody has to look at: enough to find the cause. */
#define RING_NOTICES_MAX 32
