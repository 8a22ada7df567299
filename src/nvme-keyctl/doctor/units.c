/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-bus.h>

#include "basic/limits.h"
#include "basic/macro.h"
#include "basic/names.h"
#include "nvme-keyctl/doctor/units.h"

#define MANAGER "org.freedesktop.systemd1"
/* Of each call; systemd is busy during a boot. */
#define TIMEOUT_USEC (2 * USEC_PER_SEC)

static const char *const unit_names[] = {
    "nvme-keyd.socket",      "nvme-keyd-preload.service", NAMES_TLSHD_UNIT,
    NAMES_TLSHD_UNIT_MEMORY, "nvme-keysd.service",
};

static int connect_manager(const char *address, sd_bus **ret)
{
    _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
    int r;

    if (!address) {
        r = sd_bus_open_system(&bus);
    } else if ((r = sd_bus_new(&bus)) >= 0 && (r = sd_bus_set_address(bus, address)) >= 0) {
        r = sd_bus_start(bus);
    }
    if (r < 0 || (r = sd_bus_set_method_call_timeout(bus, TIMEOUT_USEC)) < 0)
        return r;
    *ret = TAKE_PTR(bus);
    return 0;
}

/* A property that a unit does not have stays empty. */
static int get(sd_bus *bus, const char *path, const char *interface, const char *property,
               char *ret, size_t size)
{
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    _cleanup_(freep) char *value = NULL;
    char name[64];
    int r;

    (void)snprintf(name, sizeof(name), MANAGER ".%s", interface);
    r = sd_bus_get_property_string(bus, MANAGER, path, name, property, &error, &value);
    if (r >= 0)
        (void)snprintf(ret, size, "%s", value);
    return r == -ENOMEM || r == -ETIMEDOUT || r == -ECONNRESET || r == -ENOTCONN ? r : 0;
}

static int ask(sd_bus *bus, DoctorUnit *u)
{
    _cleanup_(freep) char *path = NULL;
    int r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", u->name, &path);

    if (r < 0 || (r = get(bus, path, "Unit", "LoadState", u->load, sizeof(u->load))) < 0 ||
        (r = get(bus, path, "Unit", "ActiveState", u->active, sizeof(u->active))) < 0 ||
        (r = get(bus, path, "Unit", "UnitFileState", u->file, sizeof(u->file))) < 0 ||
        (r = get(bus, path, "Service", "Result", u->result, sizeof(u->result))) < 0)
        return r;
    return get(bus, path, "Service", "KeyringMode", u->keyring_mode, sizeof(u->keyring_mode));
}

int units_read(Doctor *d, const char *address)
{
    _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
    int r = 0;

    d->units = calloc(ARRAY_SIZE(unit_names), sizeof(*d->units));
    if (!d->units)
        return -ENOMEM;
    r = connect_manager(address, &bus);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(unit_names); i++) {
        d->units[i].name = unit_names[i];
        r = ask(bus, &d->units[i]);
        d->n_units = i + 1;
    }
    /* Without systemd nothing answers the first question. */
    if (r >= 0 && !d->units[0].load[0])
        r = -ENXIO;
    d->units_error = r < 0 ? r : 0;
    return r == -ENOMEM ? r : 0;
}
