/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "basic/names.h"
#include "credstore/seal/creds/host-key.h"
#include "nvme-keyctl/doctor/files.h"
#include "nvme-keyctl/doctor/limits.h"
#include "nvme-keyctl/doctor/private.h"

/* nvme-keyd, its units and its store. */

#define SOCKET_UNIT "nvme-keyd.socket"
#define PRELOAD_UNIT "nvme-keyd-preload.service"
#define NO_ANSWER_OF_SYSTEMD "not checked: no answer of systemd"

void check_daemon(Doctor *d)
{
    json_object *guard = doctor_status(d, "guard");

    if (d->unreachable)
        doctor_fail(d,
                    "systemctl start " SOCKET_UNIT
                    ", and if that fails systemctl status " SOCKET_UNIT " nvme-keyd.service",
                    "nvme-keyd does not answer: %s", d->unreachable);
    else if (doctor_count(guard, "pauseSec") > 0)
        doctor_fail(d, "nvme-keyctl status, and stop the other program",
                    "another program takes keys out of the keyring again and again");
    else
        doctor_ok(d, "nvme-keyd %s answers", json_string_or(d->status, "version", ""));
    if (!d->privileged)
        doctor_warn(d, "run nvme-keyctl doctor as root",
                    "without root some files cannot be read, and some checks see too little");
}

static void need_enabled(Doctor *d, const char *name, const char *why)
{
    const DoctorUnit *unit = doctor_unit(d, name);
    char remedy[128];

    (void)snprintf(remedy, sizeof(remedy), "systemctl enable --now %s", name);
    if (!unit)
        doctor_fail(d, "install nvme-keyd again, then systemctl daemon-reload", "there is no %s",
                    name);
    else if (!doctor_unit_is_enabled(d, name))
        doctor_fail(d, remedy, "%s is %s: %s", name, unit->file[0] ? unit->file : "not enabled",
                    why);
}

void check_units(Doctor *d)
{
    if (d->units_error != 0) {
        doctor_warn(d, "systemctl status " SOCKET_UNIT, NO_ANSWER_OF_SYSTEMD);
        return;
    }
    need_enabled(d, SOCKET_UNIT, "nothing can reach nvme-keyd after the next boot");
    need_enabled(d, PRELOAD_UNIT, "the next boot publishes no keys before something connects");
    if (doctor_unit(d, SOCKET_UNIT) && !doctor_unit_is_active(d, SOCKET_UNIT))
        doctor_fail(d, "systemctl start " SOCKET_UNIT, SOCKET_UNIT " is not active");
    if (doctor_is_fine(d))
        doctor_ok(d, SOCKET_UNIT " and " PRELOAD_UNIT " are enabled");
}

/* It is inactive when all is well, because the udev rule starts it for each new keyring. */
void check_preload(Doctor *d)
{
    const DoctorUnit *unit = doctor_unit(d, PRELOAD_UNIT);

    if (d->units_error != 0)
        doctor_warn(d, "systemctl status " PRELOAD_UNIT, NO_ANSWER_OF_SYSTEMD);
    else if (!unit)
        doctor_fail(d, "install nvme-keyd again, then systemctl daemon-reload",
                    "there is no " PRELOAD_UNIT);
    else if (strcmp(unit->active, "failed") == 0 ||
             (unit->result[0] && strcmp(unit->result, "success") != 0))
        doctor_fail(d, "journalctl -b -u nvme-keyd.service, then systemctl restart " PRELOAD_UNIT,
                    "publishing the keys has failed (%s)", unit->result);
    else
        doctor_ok(d, "the last run of " PRELOAD_UNIT " has succeeded");
}

void check_store(Doctor *d)
{
    json_object *store = doctor_status(d, "store");
    const char *state = json_string_or(store, "state", ""),
               *detail = json_string_or(store, "detail", "");
    bool foreign = false;

    if (!doctor_needs_status(d))
        return;
    (void)json_get_bool(store, "foreign", &foreign);
    if (strcmp(state, "unavailable") == 0)
        doctor_fail(d, "nvme-keyctl slot unlock, then nvme-keyctl slot reseal",
                    "the store does not open: %.*s", (int)strcspn(detail, "\n"), detail);
    else if (foreign)
        doctor_fail(d, "nvme-keyctl status, and Id= in nvme-keyd.conf(5)",
                    "the store is not the expected one");
    else if (strcmp(state, "opening") == 0)
        doctor_warn(d, "nvme-keyctl doctor, in a minute", "the store is still being opened");
    else if (doctor_count(d->status, "broken") > 0)
        doctor_fail(d, "nvme-keyctl list, then remove and add the broken keys",
                    "%llu records of the store are broken",
                    (unsigned long long)doctor_count(d->status, "broken"));
    else if (strcmp(state, "absent") == 0)
        doctor_ok(d, "there is no store yet");
    else
        doctor_ok(d, "the store is open, by a slot of type %s", json_string_or(store, "slot", "?"));
}

static bool has_store(const Doctor *d)
{
    return strcmp(json_string_or(doctor_status(d, "store"), "state", "absent"), "absent") != 0;
}

/* A slot is fresh if it opens the store as the machine is now. */
void check_slots(Doctor *d)
{
    json_object *warnings = NULL;
    bool by_itself = true;

    if (!doctor_needs_status(d))
        return;
    if (!has_store(d)) {
        doctor_ok(d, "there is no store yet");
        return;
    }
    (void)json_get_bool(doctor_status(d, "store"), "opensByItself", &by_itself);
    if (!by_itself)
        doctor_fail(d, "nvme-keyctl slot reseal", "only a recovery key opens the store");
    (void)json_get_array(d->slots, "warnings", &warnings);
    for (size_t i = 0; warnings && i < json_object_array_length(warnings); i++)
        doctor_warn(d, "nvme-keyctl slot reseal, or SLOTS in nvme-keyd.service(8)", "%s",
                    json_object_get_string(json_object_array_get_idx(warnings, i)));
    if (doctor_is_fine(d))
        doctor_ok(d, "the store opens by itself");
}

void check_recovery_slot(Doctor *d)
{
    json_object *slots = NULL;
    size_t n = 0;

    if (!doctor_needs_status(d))
        return;
    if (!has_store(d)) {
        doctor_ok(d, "there is no store yet");
        return;
    }
    (void)json_get_array(d->slots, "slots", &slots);
    for (size_t i = 0; slots && i < json_object_array_length(slots); i++)
        n += strcmp(json_string_or(json_object_array_get_idx(slots, i), "type", ""), "recovery") ==
             0;
    if (!slots)
        doctor_warn(d, "nvme-keyctl slot list", "not checked: nvme-keyd lists no slots");
    else if (n == 0)
        doctor_warn(d, "nvme-keyctl slot add recovery",
                    "no recovery key opens the store, so the PSKs are lost with this machine");
    else
        doctor_ok(d, "%zu recovery key%s", n, n == 1 ? "" : "s");
}

void check_machine_id(Doctor *d)
{
    const HostKey system = host_key_of_system();
    char secret[DOCTOR_PATH_MAX], id[DOCTOR_PATH_MAX], word[64];
    const HostKey key = {.secret = secret, .machine_id = id};
    int state;

    (void)snprintf(secret, sizeof(secret), "/proc/self/fd/%d%s", d->root, system.secret);
    (void)snprintf(id, sizeof(id), "/proc/self/fd/%d%s", d->root, system.machine_id);
    doctor_read_word(d->root, "etc/machine-id", word, sizeof(word));
    state = host_key_state(&key);
    if (strlen(word) != 32)
        doctor_fail(d, "systemd-machine-id-setup", "there is no machine id in /etc/machine-id");
    else if (state == HOST_KEY_FOREIGN)
        doctor_fail(d,
                    "MESSAGES about the host key in nvme-keyd.service(8), before anything is "
                    "sealed again",
                    "the host key of systemd-creds was made under another machine id: systemd "
                    "would delete it, and the slots that it opens are lost then");
    else if (state == HOST_KEY_UNUSABLE)
        doctor_warn(d, "nvme-keyctl slot list", "systemd does not accept its host key");
    else if (host_key_is_transient(&key))
        doctor_warn(d, "systemd-machine-id-setup --commit",
                    "the machine id is only in memory, so the next boot may have another one");
    else
        doctor_ok(d, "the machine id is on the disk");
}

void check_configuration(Doctor *d)
{
    static const char *const members[] = {"configuration", "credentials"};
    const char *detail = json_string_or(doctor_status(d, "provision"), "detail", "");

    if (!doctor_needs_status(d))
        return;
    for (size_t m = 0; m < ARRAY_SIZE(members); m++) {
        json_object *problems = NULL;

        (void)json_get_array(doctor_status(d, members[m]), "problems", &problems);
        for (size_t i = 0; problems && i < json_object_array_length(problems); i++)
            doctor_warn(d, "correct it, then systemctl reload-or-restart nvme-keyd.service", "%s",
                        json_object_get_string(json_object_array_get_idx(problems, i)));
    }
    if (detail[0])
        doctor_warn(d, "kernel/README.md, or remove Provision=on-demand from " NAMES_CONFIG_NAME,
                    "%s", detail);
    if (doctor_is_fine(d))
        doctor_ok(d, "nothing was ignored");
}

/* Deadlines of rotations are times of day. */
void check_clock(Doctor *d)
{
    if (d->clock_synchronized)
        doctor_ok(d, "the clock is synchronised");
    else
        doctor_warn(d, "timedatectl set-ntp true",
                    "the clock is not synchronised, so the deadlines of keys are uncertain");
}
