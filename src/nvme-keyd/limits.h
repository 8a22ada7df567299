/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Notices about refused calls for each user and minute: enough to see that there are some. */
#define REFUSALS_PER_MINUTE 10
/* Notices for all users together, because a user with subordinate uids counts as many users. */
#define REFUSALS_ALL_PER_MINUTE 60
/* Users whose refusals are counted at the same time. */
#define REFUSALS_USERS_MAX 16
