/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nvme-keyctl/doctor/files.h"
#include "nvme-keyctl/doctor/limits.h"
#include "nvme-keyctl/doctor/parse.h"
#include "nvme-keyctl/doctor/private.h"

/* The kernel: its version and options, and the quota of its keys. */

#define KERNEL_MIN VERSION(6, 7, 0)
#define OLD_KERNEL "install a kernel of Linux 6.7 or newer"
#define OTHER_KERNEL                                                                               \
    "install a kernel that was built with this option; those of Debian 13 and Fedora are"

void doctor_kernel_release(const Doctor *d, char ret[static DOCTOR_RELEASE_SIZE])
{
    doctor_read_word(d->root, "proc/sys/kernel/osrelease", ret, DOCTOR_RELEASE_SIZE);
    /* It becomes a part of paths. */
    if (strchr(ret, '/'))
        ret[0] = '\0';
}

void check_kernel_version(Doctor *d)
{
    char release[DOCTOR_RELEASE_SIZE];

    doctor_kernel_release(d, release);
    if (version_parse(release) == 0)
        doctor_warn(d, "uname -r", "the version of the kernel is unknown");
    else if (version_parse(release) < KERNEL_MIN)
        doctor_fail(d, OLD_KERNEL, "Linux %s has no TLS for NVMe/TCP", release);
    else
        doctor_ok(d, "Linux %s", release);
}

/* The places of distributions. */
static int read_config(const Doctor *d, const char *release, DoctorFile *ret)
{
    static const struct {
        const char *before, *after;
    } places[] = {
        {"boot/config-", ""},
        {"lib/modules/", "/config"},
        {"usr/lib/modules/", "/config"},
        {"lib/modules/", "/build/.config"},
    };
    char path[DOCTOR_PATH_MAX];
    int r = -ENOENT;

    for (size_t i = 0; r < 0 && r != -ENOMEM && i < ARRAY_SIZE(places); i++) {
        (void)snprintf(path, sizeof(path), "%s%s%s", places[i].before, release, places[i].after);
        r = doctor_read(d->root, path, DOCTOR_FILE_MAX, ret);
    }
    return r;
}

static void need_option(Doctor *d, const DoctorFile *f, const char *name, const char *what)
{
    if (kconfig_get(f->text, name) == 'n')
        doctor_fail(d, OTHER_KERNEL, "the kernel was built without CONFIG_%s%s%s", name,
                    what[0] ? ": " : "", what);
}

void check_kernel_options(Doctor *d)
{
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
    char release[DOCTOR_RELEASE_SIZE];

    doctor_kernel_release(d, release);
    if (read_config(d, release, &f) < 0) {
        doctor_ok(d, "the options of the kernel are not on the disk; the next lines show their "
                     "effects");
        return;
    }
    need_option(d, &f, "KEYS", "");
    need_option(d, &f, "TLS", "");
    need_option(d, &f, "NET_HANDSHAKE", "tlshd cannot do handshakes for it");
    need_option(d, &f, "NVME_TCP_TLS", "a host cannot use TLS");
    if (doctor_is_target(d))
        need_option(d, &f, "NVME_TARGET_TCP_TLS", "a target cannot use TLS");
    if (doctor_is_fine(d))
        doctor_ok(d, "the kernel has the options for TLS");
}

/* Of 100. */
#define QUOTA_WARN 80

void check_key_quota(Doctor *d)
{
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
    KeyQuota q;
    uint64_t keys, bytes;

    if (doctor_read(d->root, "proc/key-users", DOCTOR_FILE_MAX, &f) < 0 ||
        !key_quota_parse(f.text, &q) || q.keys_max == 0 || q.bytes_max == 0) {
        doctor_warn(d, "cat /proc/key-users", "the key quota of root cannot be read");
        return;
    }
    keys = q.keys / (q.keys_max / 100 + 1);
    bytes = q.bytes / (q.bytes_max / 100 + 1);
    if (keys >= QUOTA_WARN)
        doctor_warn(d, "sysctl -w kernel.keys.root_maxkeys=2000000",
                    "root has %llu of %llu keys that its quota allows", (unsigned long long)q.keys,
                    (unsigned long long)q.keys_max);
    if (bytes >= QUOTA_WARN)
        doctor_warn(d, "sysctl -w kernel.keys.root_maxbytes=100000000",
                    "the keys of root have %llu of %llu bytes that its quota allows",
                    (unsigned long long)q.bytes, (unsigned long long)q.bytes_max);
    if (doctor_is_fine(d))
        doctor_ok(d, "%llu keys of root, its quota is %llu", (unsigned long long)q.keys,
                  (unsigned long long)q.keys_max);
}
