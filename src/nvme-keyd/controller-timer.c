/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/controller-timer.h"
#include "nvme-keyd/manager/controllers.h"

/* Between two looks at a counter of the kernel, and between two samples of the controllers. */
#define COUNTER_USEC (10 * USEC_PER_SEC)
#define SAMPLE_USEC (5 * USEC_PER_SEC)

struct ControllerTimer {
    Manager *manager;
    sd_event_source *timer;
};

ControllerTimer *controller_timer_free(ControllerTimer *t)
{
    if (!t)
        return NULL;
    sd_event_source_disable_unref(t->timer);
    free(t);
    return NULL;
}

static void log_stalled(Manager *m)
{
    const StallDevice *d;

    while ((d = manager_next_stalled(m)))
        (void)log_full(LOG_ERR, 0,
                       &(LogFields){.message_id = MESSAGE_CONTROLLER_STALLED,
                                    .hostnqn = d->hostnqn,
                                    .subsysnqn = d->subsysnqn},
                       "Requests of controller %s of subsystem %s do not end, and a peer has sent "
                       "a KeyUpdate, after which this kernel cannot go on with a connection: run "
                       "nvme-keyctl move --stalled, which resets the controller",
                       d->controller, d->subsysnqn);
}

static void arm(const ControllerTimer *t, uint64_t span_usec)
{
    (void)sd_event_source_set_time(t->timer, now_monotonic() + span_usec);
    (void)sd_event_source_set_enabled(t->timer, SD_EVENT_ONESHOT);
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    const ControllerTimer *t = userdata;
    bool looked = manager_watch_controllers(t->manager, now_monotonic());

    log_stalled(t->manager);
    arm(t, looked ? SAMPLE_USEC : COUNTER_USEC);
    return 0;
}

int controller_timer_new(sd_event *event, Manager *m, ControllerTimer **ret)
{
    _cleanup_(controller_timer_freep) ControllerTimer *t = calloc(1, sizeof(*t));
    int r;

    if (!t)
        return -ENOMEM;
    t->manager = m;
    r = sd_event_add_time(event, &t->timer, CLOCK_MONOTONIC, 0, 0, on_timer, t);
    if (r < 0)
        return r;
    (void)sd_event_source_set_enabled(t->timer, SD_EVENT_OFF);
    *ret = TAKE_PTR(t);
    return 0;
}

void controller_timer_start(ControllerTimer *t)
{
    arm(t, 0);
}
