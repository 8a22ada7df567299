/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/macro.h"
#include "nvme-keyctl/doctor/files.h"
#include "nvme-keyctl/doctor/limits.h"
#include "nvme-keyctl/doctor/private.h"

/* PSKs in places where others may read them. None is ever printed. */

#define KEY_FILE "etc/nvme/tls-keys"

void check_key_file_mode(Doctor *d)
{
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
    int r = doctor_read(d->root, KEY_FILE, DOCTOR_FILE_MAX, &f);

    if (r == -ENOENT || r == -ENOTDIR)
        doctor_ok(d, "there is no /" KEY_FILE);
    else if (r == -EACCES)
        doctor_ok(d, "/" KEY_FILE " is not readable for others");
    else if (r < 0)
        doctor_warn(d, "ls -l /" KEY_FILE, "/" KEY_FILE " cannot be read (%s)", strerror(-r));
    else if (f.mode & 077)
        doctor_fail(d, "chmod 600 /" KEY_FILE ", and rotate the keys in it",
                    "/" KEY_FILE " has mode %04o, so others than its owner may use it",
                    (unsigned)f.mode);
    else
        doctor_ok(d, "/" KEY_FILE " has mode %04o", (unsigned)f.mode);
}

static void look_into(Doctor *d, const char *path)
{
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
    char remedy[2 * DOCTOR_PATH_MAX];
    int r = doctor_read(d->root, path, DOCTOR_FILE_MAX, &f);

    /* A directory is none of the files. */
    if (r < 0 && r != -EINVAL && r != -ENOENT)
        doctor_warn(d, "run nvme-keyctl doctor as root", "/%s cannot be read", path);
    if (r < 0 || f.n_psks == 0)
        return;
    (void)snprintf(remedy, sizeof(remedy),
                   "nvme-keyctl add or import, then remove them from /%s: they are on the disk in "
                   "plain text",
                   path);
    doctor_warn(d, remedy, "/%s holds %u PSK%s", path, f.n_psks, f.n_psks == 1 ? "" : "s");
}

static void look_into_all(Doctor *d, const char *directory, const char *suffix)
{
    _cleanup_(doctor_names_done) DoctorNames names = {NULL, 0};

    if (doctor_names(d->root, directory, suffix, &names) < 0)
        d->out_of_memory = true;
    for (size_t i = 0; i < names.n; i++) {
        char path[DOCTOR_PATH_MAX];

        (void)snprintf(path, sizeof(path), "%s/%s", directory, names.items[i]);
        look_into(d, path);
    }
}

void check_secrets_in_files(Doctor *d)
{
    look_into_all(d, "etc/nvme", "");
    look_into_all(d, "etc/nvme/nvme-fabrics.conf.d", ".conf");
    look_into_all(d, "etc/stas", ".conf");
    if (doctor_is_fine(d))
        doctor_ok(d, "no file below /etc/nvme holds a PSK");
}

static void look_at_process(Doctor *d, const char *pid)
{
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
    char path[DOCTOR_PATH_MAX], name[32];

    (void)snprintf(path, sizeof(path), "proc/%s/cmdline", pid);
    if (doctor_read(d->root, path, DOCTOR_COMMAND_LINE_MAX, &f) < 0 || f.n_psks == 0)
        return;
    (void)snprintf(path, sizeof(path), "proc/%s/comm", pid);
    doctor_read_word(d->root, path, name, sizeof(name));
    doctor_fail(d, "have it read the PSK from a file or use the keyring, and rotate that PSK",
                "process %s (%s) has a PSK in its arguments, which everybody here can read", pid,
                name);
}

void check_secrets_in_arguments(Doctor *d)
{
    _cleanup_(doctor_names_done) DoctorNames names = {NULL, 0};

    if (doctor_names(d->root, "proc", "", &names) < 0)
        d->out_of_memory = true;
    for (size_t i = 0; i < names.n; i++)
        if (strspn(names.items[i], "0123456789") == strlen(names.items[i]))
            look_at_process(d, names.items[i]);
    if (doctor_is_fine(d))
        doctor_ok(d, "no process has a PSK in its arguments");
}
