/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "basic/text.h"
#include "nvme-keyctl/doctor/limits.h"
#include "nvme-keyctl/doctor/private.h"

/* nvme-keyctl(1) has the same names in the same order. */
static const struct {
    const char *name, *group;
    void (*run)(Doctor *d);
} checks[] = {
    {"kernel-version", "kernel", check_kernel_version},
    {"kernel-options", "kernel", check_kernel_options},
    {"keyring", "kernel", check_keyring},
    {"modules", "kernel", check_modules},
    {"tls", "kernel", check_tls},
    {"modules-load", "kernel", check_modules_load},
    {"modprobe", "kernel", check_modprobe},
    {"key-quota", "kernel", check_key_quota},
    {"tlshd", "tlshd", check_tlshd_program},
    {"tlshd-config", "tlshd", check_tlshd_config},
    {"tlshd-service", "tlshd", check_tlshd_service},
    {"tlshd-keyring", "tlshd", check_tlshd_keyring},
    {"hostnqn", "host", check_hostnqn},
    {"hostnqn-config", "host", check_hostnqn_config},
    {"hostnqn-keys", "host", check_hostnqn_keys},
    {"service", "service", check_daemon},
    {"units", "service", check_units},
    {"preload", "service", check_preload},
    {"store", "service", check_store},
    {"slots", "service", check_slots},
    {"recovery-slot", "service", check_recovery_slot},
    {"machine-id", "service", check_machine_id},
    {"configuration", "service", check_configuration},
    {"clock", "service", check_clock},
    {"keys", "keys", check_keys_published},
    {"one-key", "keys", check_keys_one},
    {"shadowed", "keys", check_keys_shadow},
    {"foreign", "keys", check_keys_foreign},
    {"derivation", "keys", check_keys_derivation},
    {"controllers", "keys", check_controllers},
    {"discovery-key", "others", check_discovery_key},
    {"udev-rule", "others", check_udev_rule},
    {"nvme-keysd", "others", check_keysd},
    {"request-key", "request-key", check_request_key},
    {"request-key-rule", "request-key", check_request_key_rule},
    {"target-ports", "target", check_target_ports},
    {"target-hosts", "target", check_target_hosts},
    {"target-backlog", "target", check_target_backlog},
    {"key-file-mode", "secrets", check_key_file_mode},
    {"secrets-in-files", "secrets", check_secrets_in_files},
    {"secrets-in-arguments", "secrets", check_secrets_in_arguments},
    {"handshakes", "journal", check_handshakes},
};

const char *doctor_result_to_string(DoctorResult result)
{
    static const char *const names[] = {
        [DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn", [DOCTOR_FAIL] = "fail"};

    return names[result];
}

DoctorResult doctor_worst(const Doctor *d)
{
    return d->counts[DOCTOR_FAIL] > 0   ? DOCTOR_FAIL
           : d->counts[DOCTOR_WARN] > 0 ? DOCTOR_WARN
                                        : DOCTOR_OK;
}

/* Parts of a text may come from files, which anybody may have written. */
static void clean(char *text)
{
    bool is_valid = utf8_is_valid(text, strlen(text));

    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < ' ' || *p == 0x7f || (!is_valid && *p > '~'))
            *p = '?';
    /* Only control characters above ASCII are left. */
    if (!text_is_printable(text))
        for (char *p = text; *p; p++)
            if ((unsigned char)*p > '~')
                *p = '?';
}

static void store_line(Doctor *d, DoctorResult result, const char *remedy, char *text)
{
    DoctorLine line = {d->check, d->group, result, text, remedy ? strdup(remedy) : NULL};
    DoctorLine *grown = reallocarray(d->lines, d->n_lines + 1, sizeof(*grown));

    if (grown)
        d->lines = grown;
    if (!grown || !text || (remedy && !line.remedy)) {
        free(line.text);
        free(line.remedy);
        d->out_of_memory = true;
        return;
    }
    clean(line.text);
    if (line.remedy)
        clean(line.remedy);
    d->lines[d->n_lines++] = line;
    d->counts[result]++;
    d->n_check_lines++;
}

_printf_(4, 0) static void add(Doctor *d, DoctorResult result, const char *remedy,
                               const char *format, va_list ap)
{
    char *text = NULL;

    if (d->n_check_lines >= DOCTOR_LINES_MAX) {
        d->n_left_out++;
        return;
    }
    if (vasprintf(&text, format, ap) < 0)
        text = NULL;
    store_line(d, result, remedy, text);
}

void doctor_ok(Doctor *d, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    add(d, DOCTOR_OK, NULL, format, ap);
    va_end(ap);
}

void doctor_warn(Doctor *d, const char *remedy, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    add(d, DOCTOR_WARN, remedy, format, ap);
    va_end(ap);
}

void doctor_fail(Doctor *d, const char *remedy, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    add(d, DOCTOR_FAIL, remedy, format, ap);
    va_end(ap);
}

bool doctor_is_fine(const Doctor *d)
{
    for (size_t i = d->n_lines - d->n_check_lines; i < d->n_lines; i++)
        if (d->lines[i].result != DOCTOR_OK)
            return false;
    return true;
}

/* The last line of the check stands for those that were left out. */
static void end_check(Doctor *d)
{
    DoctorLine *last = d->n_lines > 0 ? &d->lines[d->n_lines - 1] : NULL;
    char *text = NULL;

    if (d->n_left_out == 0 || !last)
        return;
    if (asprintf(&text, "%s (and %zu more)", last->text, d->n_left_out) < 0) {
        d->out_of_memory = true;
        return;
    }
    free(last->text);
    last->text = text;
}

int doctor_run(Doctor *d)
{
    int r = configured_read(d->root, &d->configured);

    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(checks) && !d->out_of_memory; i++) {
        d->check = checks[i].name;
        d->group = checks[i].group;
        d->n_check_lines = d->n_left_out = 0;
        checks[i].run(d);
        end_check(d);
    }
    return d->out_of_memory ? -ENOMEM : 0;
}

void doctor_done(Doctor *d)
{
    for (size_t i = 0; i < d->n_lines; i++) {
        free(d->lines[i].text);
        free(d->lines[i].remedy);
    }
    free(d->lines);
    for (size_t i = 0; i < d->n_messages; i++)
        free(d->messages[i].text);
    free(d->messages);
    configured_list_done(&d->configured);
    d->lines = NULL;
    d->messages = NULL;
    d->n_lines = d->n_messages = 0;
}

const DoctorUnit *doctor_unit(const Doctor *d, const char *name)
{
    for (size_t i = 0; d->units_error == 0 && i < d->n_units; i++)
        if (strcmp(d->units[i].name, name) == 0)
            return strcmp(d->units[i].load, "not-found") != 0 ? &d->units[i] : NULL;
    return NULL;
}

bool doctor_unit_is_active(const Doctor *d, const char *name)
{
    const DoctorUnit *u = doctor_unit(d, name);

    return u && (strcmp(u->active, "active") == 0 || strcmp(u->active, "reloading") == 0);
}

bool doctor_unit_is_enabled(const Doctor *d, const char *name)
{
    const DoctorUnit *u = doctor_unit(d, name);

    return u && (text_after(u->file, "enabled") || strcmp(u->file, "static") == 0 ||
                 strcmp(u->file, "linked") == 0 || strcmp(u->file, "indirect") == 0 ||
                 strcmp(u->file, "generated") == 0 || strcmp(u->file, "alias") == 0);
}

json_object *doctor_status(const Doctor *d, const char *member)
{
    json_object *o = NULL;

    return json_get_object(d->status, member, &o) > 0 ? o : NULL;
}

uint64_t doctor_count(json_object *o, const char *member)
{
    uint64_t n = 0;

    (void)json_get_uint(o, member, INT64_MAX, &n);
    return n;
}

bool doctor_needs_status(Doctor *d)
{
    if (!d->status)
        doctor_warn(d, "see the check service", "not checked, because nvme-keyd does not answer");
    return d->status;
}

bool doctor_needs_keys(Doctor *d)
{
    if (!d->keys)
        doctor_warn(d, "see the checks service and store", "not checked: %s",
                    d->no_keys ? d->no_keys : "nvme-keyd does not answer");
    return d->keys;
}

bool doctor_key_is(const Doctor *d, json_object *key, bool of_host)
{
    const char *role = json_string_or(key, "role", ""), *state = json_string_or(key, "state", "");

    if (strcmp(state, "active") != 0 ||
        (d->subsysnqn && strcmp(json_string_or(key, "subsystemNQN", ""), d->subsysnqn) != 0))
        return false;
    return strcmp(role, "both") == 0 || strcmp(role, of_host ? "host" : "target") == 0;
}
