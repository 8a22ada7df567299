/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/pause.h"
#include "basic/limits.h"

static int on_timer(sd_event_source *timer, uint64_t usec, void *userdata)
{
    (void)timer;
    (void)usec;
    return sd_event_source_set_enabled(userdata, SD_EVENT_ON);
}

void event_source_pause(sd_event_source *source, sd_event_source **timer)
{
    *timer = sd_event_source_disable_unref(*timer);
    if (sd_event_add_time_relative(sd_event_source_get_event(source), timer, CLOCK_MONOTONIC,
                                   USEC_PER_SEC, 0, on_timer, source) >= 0)
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
}
