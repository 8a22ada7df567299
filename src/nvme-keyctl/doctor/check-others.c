/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "basic/macro.h"
#include "nvme-keyctl/doctor/files.h"
#include "nvme-keyctl/doctor/limits.h"
#include "nvme-keyctl/doctor/pairs.h"
#include "nvme-keyctl/doctor/parse.h"
#include "nvme-keyctl/doctor/private.h"
#include "psk/identity.h"

/* Other programs that connect, or that put keys into the keyring. */

#define KEY_FILE "etc/nvme/tls-keys"
#define KEYSD_UNIT "nvme-keysd.service"
#define RULE "70-nvmf-keys.rules"
#define MASK_RULE "ln -sf /dev/null /etc/udev/rules.d/" RULE " && udevadm control --reload"

/* The NQN of the host in an entry, by default that of this machine. */
static const char *hostnqn_of(const ConfiguredEntry *e, const char *hostnqn)
{
    return e->hostnqn[0] ? e->hostnqn : hostnqn;
}

void check_discovery_key(Doctor *d)
{
    _cleanup_(pairs_done) Pairs p = {NULL, 0};
    char hostnqn[NQN_LENGTH_MAX + 2], remedy[NQN_LENGTH_MAX + 64];
    size_t n = 0;

    if (!doctor_needs_keys(d))
        return;
    if (pairs_read(d, true, &p) < 0) {
        d->out_of_memory = true;
        return;
    }
    doctor_hostnqn(d, hostnqn);
    for (size_t i = 0; i < d->configured.n; i++) {
        const ConfiguredEntry *e = &d->configured.items[i];

        if (!e->discovery || !e->tls || (d->subsysnqn && strcmp(d->subsysnqn, e->subsysnqn) != 0))
            continue;
        n++;
        if (pairs_find(&p, hostnqn_of(e, hostnqn), e->subsysnqn))
            continue;
        (void)snprintf(remedy, sizeof(remedy), "nvme-keyctl add --subsysnqn=%s", e->subsysnqn);
        doctor_fail(d, remedy,
                    "there is no key for the discovery controller %s, to which nvme-cli "
                    "connects with TLS",
                    e->subsysnqn);
    }
    if (n == 0)
        doctor_ok(d, "the configuration of nvme-cli has no discovery controller with TLS");
    else if (doctor_is_fine(d))
        doctor_ok(d, "there is a key for each of %zu discovery controllers with TLS", n);
}

/* True if the rule of nvme-cli is in force. */
static bool has_rule(const Doctor *d)
{
    static const char *const directories[] = {"etc/udev/rules.d", "run/udev/rules.d",
                                              "usr/local/lib/udev/rules.d", "usr/lib/udev/rules.d",
                                              "lib/udev/rules.d"};

    for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
        _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
        char path[DOCTOR_PATH_MAX];
        int r;

        (void)snprintf(path, sizeof(path), "%s/" RULE, directories[i]);
        r = doctor_read(d->root, path, DOCTOR_FILE_MAX, &f);
        /* The first one counts, and /dev/null masks the others. */
        if (r == 0)
            return strstr(f.text, "tls-keys");
        if (doctor_exists(d->root, path))
            return false;
    }
    return false;
}

/* An identity in a key file, before its secret. */
static bool is_of_pair(const char *line, size_t length, const Pairs *host, const Pairs *target)
{
    char hostnqn[NQN_LENGTH_MAX + 1], subsysnqn[NQN_LENGTH_MAX + 1];
    const char *secret = memrchr(line, ' ', length);
    PskIdentity id;

    if (!secret || psk_identity_parse(line, (size_t)(secret - line), &id) < 0)
        return false;
    (void)snprintf(hostnqn, sizeof(hostnqn), "%.*s", (int)id.hostnqn_length, id.hostnqn);
    (void)snprintf(subsysnqn, sizeof(subsysnqn), "%.*s", (int)id.subsysnqn_length, id.subsysnqn);
    return pairs_find(host, hostnqn, subsysnqn) || pairs_find(target, hostnqn, subsysnqn);
}

void check_udev_rule(Doctor *d)
{
    _cleanup_(pairs_done) Pairs host = {NULL, 0}, target = {NULL, 0};
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
    const char *p, *line;
    size_t length, n = 0;

    if (!has_rule(d)) {
        doctor_ok(d, "the udev rule of nvme-cli is not there, or masked");
        return;
    }
    if (!doctor_exists(d->root, KEY_FILE)) {
        doctor_ok(d, "the udev rule of nvme-cli has no /" KEY_FILE " to read");
        return;
    }
    if (doctor_read(d->root, KEY_FILE, DOCTOR_FILE_MAX, &f) < 0) {
        doctor_warn(d, "run nvme-keyctl doctor as root", "/" KEY_FILE " cannot be read");
        return;
    }
    if (pairs_read(d, true, &host) < 0 || pairs_read(d, false, &target) < 0) {
        d->out_of_memory = true;
        return;
    }
    for (p = f.text; line_next(&p, &line, &length);)
        n += is_of_pair(line, length, &host, &target);
    if (n > 0)
        doctor_warn(d, "take these lines out of /" KEY_FILE ", or " MASK_RULE,
                    "the udev rule of nvme-cli puts %zu keys of pairs of ours into the keyring", n);
    else
        doctor_ok(d, "the udev rule of nvme-cli serves no pair of ours");
}

void check_keysd(Doctor *d)
{
    _cleanup_(pairs_done) Pairs p = {NULL, 0};
    char hostnqn[NQN_LENGTH_MAX + 2];
    bool runs = doctor_unit_is_active(d, KEYSD_UNIT) || doctor_unit_is_enabled(d, KEYSD_UNIT);
    size_t n = 0;

    if (d->units_error != 0) {
        doctor_warn(d, "systemctl status " KEYSD_UNIT, "not checked: no answer of systemd");
        return;
    }
    if (pairs_read(d, true, &p) < 0) {
        d->out_of_memory = true;
        return;
    }
    doctor_hostnqn(d, hostnqn);
    for (size_t i = 0; runs && i < d->configured.n; i++) {
        const ConfiguredEntry *e = &d->configured.items[i];

        if (!e->key_source || !pairs_find(&p, hostnqn_of(e, hostnqn), e->subsysnqn))
            continue;
        doctor_fail(d, "remove key-source= and tls-key= of it from /etc/nvme/nvme-fabrics.conf",
                    "nvme-keysd serves %s as well, and revokes our key for it", e->subsysnqn);
        n++;
    }
    if (n == 0)
        doctor_ok(d, runs ? "nvme-keysd serves no pair of ours" : "nvme-keysd does not run");
}
