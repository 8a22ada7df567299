/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "basic/macro.h"
#include "basic/names.h"
#include "nvme-keyctl/doctor/files.h"
#include "nvme-keyctl/doctor/limits.h"
#include "nvme-keyctl/doctor/parse.h"
#include "nvme-keyctl/doctor/private.h"

/* tlshd of ktls-utils, which does the handshakes for the kernel. */

/* It always links .nvme since then. */
#define LINKS_NVME VERSION(0, 12, 0)
/* It unlinks the keyring after each handshake since then. */
#define UNLINKS VERSION(1, 1, 0)
/* It reads another file since then, if the old one is not there. */
#define NEW_CONFIG VERSION(1, 3, 0)

#define OLD_CONFIG_FILE "etc/tlshd.conf"
#define CONFIG_FILE "etc/tlshd/config"
#define KEYRINGS "printf '[authenticate]\\nkeyrings=.nvme\\n' >/"
#define RESTART "systemctl restart " NAMES_TLSHD_UNIT

static int read_program(const Doctor *d, DoctorFile *ret)
{
    static const char *const places[] = {"usr/sbin/tlshd", "usr/local/sbin/tlshd", "sbin/tlshd",
                                         "usr/bin/tlshd",
                                         "run/initramfs/nvme-keyd-tlshd/usr/sbin/tlshd"};
    int r = -1;

    for (size_t i = 0; r < 0 && i < ARRAY_SIZE(places); i++)
        r = doctor_read(d->root, places[i], DOCTOR_FILE_MAX, ret);
    return r;
}

/* 0 if it is unknown. Each version logs "Built from ktls-utils VERSION" when it starts. */
static unsigned tlshd_version(const Doctor *d)
{
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};

    return read_program(d, &f) < 0 ? 0 : version_find(f.text, f.size, "ktls-utils ");
}

void check_tlshd_program(Doctor *d)
{
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
    char text[VERSION_TEXT_SIZE];
    unsigned version;

    if (read_program(d, &f) < 0) {
        doctor_fail(d, "apt install ktls-utils (or the package of that name of your distribution)",
                    "tlshd is not installed, so no handshake is possible");
        return;
    }
    version = version_find(f.text, f.size, "ktls-utils ");
    if (version == 0)
        doctor_ok(d, "tlshd is installed, in an unknown version");
    else
        doctor_ok(d, "tlshd %s is installed", version_format(version, text));
}

/* True if keyrings=, a list with semicolons or commas, names .nvme. */
static bool names_ring(const char *text)
{
    ConfLine line = {.n_section = 0};

    while (conf_next(&text, &line)) {
        const char *p =
            strcmp(line.section, "authenticate") == 0 && strcmp(line.key, "keyrings") == 0
                ? line.value
                : "";

        while (*p) {
            size_t n = strcspn(p, ";, ");

            if (word_is(p, n, NAMES_RING))
                return true;
            p += n + (p[n] != '\0');
        }
    }
    return false;
}

void check_tlshd_config(Doctor *d)
{
    unsigned version = tlshd_version(d);
    bool reads_new = version == 0 || version >= NEW_CONFIG;
    const char *path =
        !doctor_exists(d->root, OLD_CONFIG_FILE) && reads_new ? CONFIG_FILE : OLD_CONFIG_FILE;
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
    char remedy[128];

    (void)snprintf(remedy, sizeof(remedy), KEYRINGS "%s && " RESTART, path);
    if (!doctor_exists(d->root, path))
        doctor_fail(d, remedy, "tlshd does not start without /%s", path);
    else if (doctor_read(d->root, path, DOCTOR_FILE_MAX, &f) < 0)
        doctor_warn(d, "run nvme-keyctl doctor as root", "/%s cannot be read", path);
    else if (version > 0 && version < LINKS_NVME && !names_ring(f.text))
        doctor_fail(d, "add keyrings=" NAMES_RING " to section [authenticate] and restart tlshd",
                    "/%s does not name the keyring " NAMES_RING ", as tlshd before 0.12 needs it",
                    path);
    else
        doctor_ok(d, "/%s is there", path);
}

/* The one from memory needs no unit file that is enabled. */
void check_tlshd_service(Doctor *d)
{
    const DoctorUnit *unit = doctor_unit(d, NAMES_TLSHD_UNIT);

    if (d->units_error != 0) {
        doctor_warn(d, "systemctl status " NAMES_TLSHD_UNIT, "not checked: no answer of systemd");
        return;
    }
    if (doctor_unit_is_active(d, NAMES_TLSHD_UNIT_MEMORY)) {
        doctor_ok(d, NAMES_TLSHD_UNIT_MEMORY " is active");
        return;
    }
    if (!unit)
        doctor_fail(d, "apt install ktls-utils", "there is no " NAMES_TLSHD_UNIT);
    else if (strcmp(unit->load, "masked") == 0)
        doctor_fail(d, "systemctl unmask --now " NAMES_TLSHD_UNIT, NAMES_TLSHD_UNIT " is masked");
    else if (strcmp(unit->active, "failed") == 0)
        doctor_fail(d, "systemctl status " NAMES_TLSHD_UNIT ", then " RESTART,
                    NAMES_TLSHD_UNIT " has failed");
    else if (!doctor_unit_is_active(d, NAMES_TLSHD_UNIT))
        doctor_fail(d, "systemctl enable --now " NAMES_TLSHD_UNIT,
                    NAMES_TLSHD_UNIT " is not active, so no handshake is possible");
    else if (!doctor_unit_is_enabled(d, NAMES_TLSHD_UNIT))
        doctor_warn(d, "systemctl enable " NAMES_TLSHD_UNIT,
                    NAMES_TLSHD_UNIT " is active, but not enabled for the next boot");
    else
        doctor_ok(d, NAMES_TLSHD_UNIT " is active and enabled");
}

/* Handshakes at the same time unlink each other's keyring. */
static void check_keyring_mode(Doctor *d)
{
    const DoctorUnit *unit = doctor_unit(d, NAMES_TLSHD_UNIT);

    if (unit && doctor_unit_is_active(d, NAMES_TLSHD_UNIT) && unit->keyring_mode[0] &&
        strcmp(unit->keyring_mode, "shared") != 0)
        doctor_warn(d,
                    "restore our drop-in (systemctl revert " NAMES_TLSHD_UNIT
                    "; systemctl daemon-reload), then " RESTART,
                    NAMES_TLSHD_UNIT " has KeyringMode=%s: handshakes at the same time may fail",
                    unit->keyring_mode);
}

static void judge_state(Doctor *d, json_object *tlshd)
{
    const char *state = json_string_or(tlshd, "state", ""),
               *unit = json_string_or(tlshd, "unit", NAMES_TLSHD_UNIT);
    char remedy[128];

    (void)snprintf(remedy, sizeof(remedy), "systemctl restart %s", unit);
    if (strcmp(state, "ready") == 0)
        doctor_ok(d, "%s finds the keys", unit);
    else if (strcmp(state, "stale") == 0)
        doctor_fail(d, remedy, "%s has an older keyring " NAMES_RING ", which is revoked", unit);
    else if (strcmp(state, "stopped") == 0)
        doctor_fail(d, remedy, "%s does not run", unit);
    else if (tlshd_version(d) >= UNLINKS)
        doctor_ok(d, "%s has no link to the keyring, and needs it only during a handshake", unit);
    else
        doctor_warn(d, remedy, "it cannot be seen whether %s has the keyring", unit);
}

void check_tlshd_keyring(Doctor *d)
{
    json_object *tlshd = doctor_status(d, "tlshd");

    if (!doctor_needs_status(d))
        return;
    if (tlshd)
        judge_state(d, tlshd);
    else
        doctor_warn(d, "modprobe nvme-keyring", "there is no keyring that tlshd could have");
    check_keyring_mode(d);
}
