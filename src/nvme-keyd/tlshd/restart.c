/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <systemd/sd-bus.h>

#include "nvme-keyd/tlshd/limits.h"
#include "nvme-keyd/tlshd/restart.h"

struct UnitRestart {
    sd_bus *bus;
    const char *unit;
    UnitRestartDone done;
    void *userdata;
};

UnitRestart *unit_restart_free(UnitRestart *u)
{
    if (!u)
        return NULL;
    sd_bus_close_unref(u->bus);
    free(u);
    return NULL;
}

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
    const UnitRestart *u = userdata;

    (void)ret_error;
    u->done(u->unit, -sd_bus_message_get_errno(reply), u->userdata);
    sd_bus_close(u->bus);
    return 1;
}

/* sd-bus queues the call until it is connected, and the event loop drives it. */
static int ask(UnitRestart *u, sd_event *event, const char *address)
{
    int r;

    if ((r = sd_bus_new(&u->bus)) < 0 || (r = sd_bus_set_address(u->bus, address)) < 0 ||
        (r = sd_bus_set_method_call_timeout(u->bus, UNIT_RESTART_TIMEOUT_USEC)) < 0 ||
        (r = sd_bus_start(u->bus)) < 0 ||
        (r = sd_bus_attach_event(u->bus, event, SD_EVENT_PRIORITY_NORMAL)) < 0)
        return r;
    return sd_bus_call_method_async(u->bus, NULL, "org.freedesktop.systemd1",
                                    "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                                    "RestartUnit", on_reply, u, "ss", u->unit, "replace");
}

int unit_restart_new(sd_event *event, const char *address, const char *unit, UnitRestartDone done,
                     void *userdata, UnitRestart **ret)
{
    _cleanup_(unit_restart_freep) UnitRestart *u = calloc(1, sizeof(*u));
    int r;

    if (!u)
        return -ENOMEM;
    u->unit = unit;
    u->done = done;
    u->userdata = userdata;
    r = ask(u, event, address);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(u);
    return 0;
}
