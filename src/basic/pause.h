/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

/* Turns source off, and on again after a second: without a free file descriptor or memory a
 * listening socket stays ready, and the event loop would spin. *timer is NULL at first; the caller
 * frees it (sd_event_source_disable_unref()) before source. Without a timer source stays on. */
void event_source_pause(sd_event_source *source, sd_event_source **timer);
