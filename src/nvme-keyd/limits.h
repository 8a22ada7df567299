/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Notices about refused calls, for each user and minute: enough to see that there is something. */
#define REFUSALS_PER_MINUTE 10
/* Those for all users together: whoever has subordinate uids is as many users. */
#define REFUSALS_ALL_PER_MINUTE 60
/* Users of whom they are counted at a time. */
#define REFUSALS_USERS_MAX 16
