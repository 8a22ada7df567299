/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Notices about keys in the ring: enough to find the cause. */
#define RING_NOTICES_MAX 32

/* Lost keys that are logged one by one, since `keyctl clear` may take thousands at once. */
#define LOSSES_MAX 16
