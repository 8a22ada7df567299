/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "basic/names.h"
#include "nvme-keyctl/doctor/files.h"
#include "nvme-keyctl/doctor/limits.h"
#include "nvme-keyctl/doctor/parse.h"
#include "nvme-keyctl/doctor/private.h"

/* The modules of the kernel, what makes or keeps them from being loaded, and the keyring. */

/* Reads one of the lists of all modules of the present kernel. */
static bool is_listed(const Doctor *d, const char *list, const char *name)
{
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
    char release[DOCTOR_RELEASE_SIZE], path[DOCTOR_PATH_MAX];

    doctor_kernel_release(d, release);
    (void)snprintf(path, sizeof(path), "lib/modules/%s/%s", release, list);
    return doctor_read(d->root, path, DOCTOR_FILE_MAX, &f) == 0 && module_is_listed(f.text, name);
}

static bool is_loaded(const Doctor *d, const char *name)
{
    char path[DOCTOR_PATH_MAX];

    (void)snprintf(path, sizeof(path), "sys/module/%s", name);
    return doctor_exists(d->root, path);
}

static bool is_built_in(const Doctor *d, const char *name)
{
    return is_listed(d, "modules.builtin", name);
}

static bool is_available(const Doctor *d, const char *name)
{
    return is_loaded(d, name) || is_built_in(d, name) || is_listed(d, "modules.dep", name);
}

static bool has_ring(const Doctor *d)
{
    json_object *keyring = doctor_status(d, "keyring");
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};

    if (keyring)
        return json_object_object_get_ex(keyring, "serial", NULL);
    return doctor_read(d->root, "proc/keys", DOCTOR_FILE_MAX, &f) == 0 &&
           keys_have_ring(f.text, NAMES_RING);
}

void check_keyring(Doctor *d)
{
    json_object *keyring = doctor_status(d, "keyring");
    const char *name = json_string_or(keyring, "name", NAMES_RING);

    if (!has_ring(d))
        doctor_fail(d,
                    is_available(d, "nvme_keyring")
                        ? "modprobe nvme-keyring"
                        : "install the modules of this kernel, or reboot into one whose modules "
                          "are there",
                    "the kernel has no keyring %s", name);
    else if (strcmp(name, NAMES_RING) != 0)
        doctor_warn(d, "remove StandIn= from " NAMES_CONFIG_NAME,
                    "nvme-keyd uses the keyring %s, in which the kernel does not look", name);
    else
        doctor_ok(d, "the kernel has the keyring %s", name);
}

bool doctor_is_target(const Doctor *d)
{
    if (is_loaded(d, "nvmet_tcp"))
        return true;
    for (size_t i = 0; d->keys && i < json_object_array_length(d->keys); i++)
        if (doctor_key_is(d, json_object_array_get_idx(d->keys, i), false))
            return true;
    return false;
}

static void need_module(Doctor *d, const char *name)
{
    if (!is_available(d, name))
        doctor_fail(d,
                    "install the modules of this kernel (on Debian, linux-image-amd64, not the "
                    "cloud variant), or reboot if the kernel was updated",
                    "the module %s is not there for the running kernel", name);
}

void check_modules(Doctor *d)
{
    need_module(d, "nvme_keyring");
    need_module(d, "nvme_tcp");
    if (doctor_is_target(d))
        need_module(d, "nvmet_tcp");
    if (doctor_is_fine(d))
        doctor_ok(d, "nvme_tcp is %s%s",
                  is_loaded(d, "nvme_tcp")     ? "loaded"
                  : is_built_in(d, "nvme_tcp") ? "built in"
                                               : "there, and loaded by the first connect",
                  is_loaded(d, "nvmet_tcp") ? ", nvmet_tcp is loaded" : "");
}

/* The kernel loads it for the first connection with TLS. */
void check_tls(Doctor *d)
{
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
    bool is_ulp = false;

    if (doctor_read(d->root, "proc/sys/net/ipv4/tcp_available_ulp", DOCTOR_FILE_MAX, &f) == 0) {
        const char *p = f.text, *word;
        size_t n;

        while (!is_ulp && word_next(&p, f.text + strcspn(f.text, "\n"), &word, &n))
            is_ulp = word_is(word, n, "tls");
    }
    if (is_ulp || is_loaded(d, "tls") || is_built_in(d, "tls"))
        doctor_ok(d, "TLS of the kernel is loaded");
    else if (is_available(d, "tls"))
        doctor_ok(d, "the module tls is there, and loaded by the first connection");
    else
        doctor_fail(d, "install the modules of this kernel, or reboot if the kernel was updated",
                    "the module tls is not there, so no connection can be encrypted");
}

/* Some directories, of which the first has precedence, as in systemd and kmod. */
static const char *const modules_load[] = {"etc/modules-load.d", "run/modules-load.d",
                                           "usr/local/lib/modules-load.d", "usr/lib/modules-load.d",
                                           "lib/modules-load.d"};
static const char *const modprobe[] = {"etc/modprobe.d", "run/modprobe.d",
                                       "usr/local/lib/modprobe.d", "usr/lib/modprobe.d",
                                       "lib/modprobe.d"};

/* True for a file that one of the same name in an earlier directory replaces. */
static bool is_masked(const Doctor *d, const char *const *directories, size_t n, const char *name)
{
    char path[DOCTOR_PATH_MAX];

    for (size_t i = 0; i < n; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", directories[i], name);
        if (doctor_exists(d->root, path))
            return true;
    }
    return false;
}

/* Calls on_line for each line of each *.conf in force. Returns false without memory. */
static bool for_each_line(Doctor *d, const char *const *directories, size_t n,
                          void (*on_line)(Doctor *d, const char *path, const char *line,
                                          size_t length, void *userdata),
                          void *userdata)
{
    for (size_t i = 0; i < n; i++) {
        _cleanup_(doctor_names_done) DoctorNames names = {NULL, 0};

        if (doctor_names(d->root, directories[i], ".conf", &names) < 0)
            return false;
        for (size_t j = 0; j < names.n; j++) {
            _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
            char path[DOCTOR_PATH_MAX];
            const char *p, *line;
            size_t length;

            (void)snprintf(path, sizeof(path), "%s/%s", directories[i], names.items[j]);
            if (is_masked(d, directories, i, names.items[j]) ||
                doctor_read(d->root, path, DOCTOR_FILE_MAX, &f) < 0)
                continue;
            for (p = f.text; line_next(&p, &line, &length);)
                on_line(d, path, line, length, userdata);
        }
    }
    return true;
}

/* kmod takes "-" and "_" for the same. */
static bool is_name(const char *word, size_t length, const char *name)
{
    if (strlen(name) != length)
        return false;
    for (size_t i = 0; i < length; i++)
        if ((word[i] == '-' ? '_' : word[i]) != name[i])
            return false;
    return true;
}

static void look_for_load(_unused_ Doctor *d, _unused_ const char *path, const char *line,
                          size_t length, void *userdata)
{
    const char *word;
    size_t n;

    if (word_next(&line, line + length, &word, &n) && is_name(word, n, "nvme_keyring"))
        *(bool *)userdata = true;
}

void check_modules_load(Doctor *d)
{
    bool found = false;

    if (is_built_in(d, "nvme_keyring")) {
        doctor_ok(d, "nvme_keyring is built in");
        return;
    }
    if (!for_each_line(d, modules_load, ARRAY_SIZE(modules_load), look_for_load, &found))
        d->out_of_memory = true;
    if (found)
        doctor_ok(d, "nvme_keyring is loaded at boot");
    else
        doctor_fail(d, "echo nvme_keyring >/etc/modules-load.d/nvme-keyd.conf",
                    "nothing loads nvme_keyring at boot, so the keys come after the first "
                    "connection");
}

static bool is_ours(const char *word, size_t n)
{
    return is_name(word, n, "nvme_keyring") || is_name(word, n, "nvme_tcp") ||
           is_name(word, n, "nvme_fabrics") || is_name(word, n, "tls");
}

/* A rule that keeps a module away, or loads NVMe/TCP before the keyring has its keys. */
static void look_for_rule(Doctor *d, const char *path, const char *line, size_t length,
                          _unused_ void *userdata)
{
    const char *end = line + length, *verb, *module, *p = line;
    char remedy[DOCTOR_PATH_MAX + 64];
    size_t n, m;

    if (!word_next(&p, end, &verb, &n) || !word_next(&p, end, &module, &m) || !is_ours(module, m))
        return;
    (void)snprintf(remedy, sizeof(remedy), "remove this line from /%s", path);
    if (word_is(verb, n, "blacklist"))
        doctor_warn(d, remedy, "/%s keeps %.*s from being loaded by its aliases", path, (int)m,
                    module);
    else if (word_is(verb, n, "install") && !memmem(p, (size_t)(end - p), "--ignore-install", 16))
        doctor_fail(d, remedy,
                    "/%s replaces the loading of %.*s by a command that does not load it", path,
                    (int)m, module);
    else if (word_is(verb, n, "softdep") && is_name(module, m, "nvme_keyring") &&
             (memmem(p, (size_t)(end - p), "nvme_tcp", 8) ||
              memmem(p, (size_t)(end - p), "nvme-tcp", 8)))
        doctor_warn(d, remedy, "/%s loads nvme_tcp together with nvme_keyring, before it has keys",
                    path);
}

void check_modprobe(Doctor *d)
{
    if (!for_each_line(d, modprobe, ARRAY_SIZE(modprobe), look_for_rule, NULL))
        d->out_of_memory = true;
    if (doctor_is_fine(d))
        doctor_ok(d, "no rule of modprobe.d keeps a module away");
}
