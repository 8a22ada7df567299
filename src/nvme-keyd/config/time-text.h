/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "basic/macro.h"

/* A time that never comes. */
#define TIME_NEVER UINT64_MAX

/*
 * Parses a time as systemd.time(7) writes it, from 1970 to 9999, into microseconds since 1970:
 *
 *    2026-12-01 10:00:00 UTC      seconds, date or time may be left out, and UTC for local time
 *    2026-12-01T10:00:00Z
 *    Tue 2026-12-01               the day of the week has to be right
 *    today 10:00   tomorrow       at midnight without a time
 *    now   +2h 30min   @1796119200
 *    never
 *
 * now_usec: the present, for those that are relative to it. Returns -EINVAL. */
int time_parse(const char *s, uint64_t now_usec, uint64_t *ret_usec) _must_check_;
