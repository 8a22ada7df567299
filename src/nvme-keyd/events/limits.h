/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Events kept for readers that lag behind. A reader that lags further learns how many it missed. */
#define EVENTS_MAX 512
/* Longest detail of an event, a line for people. */
#define EVENT_DETAIL_MAX 159
