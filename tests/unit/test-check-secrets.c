/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <unistd.h>

#include "basic/macro.h"
#include "doctor-fixture.h"
#include "test.h"

/* A piece of MACHINE_PSK. */
#define PIECE "VRLbtnN9"

static bool shows_secret(const Machine *m)
{
    for (size_t i = 0; i < m->d.n_lines; i++)
        if (strstr(m->d.lines[i].text, PIECE) ||
            (m->d.lines[i].remedy && strstr(m->d.lines[i].remedy, PIECE)))
            return true;
    return false;
}

TEST(mode_of_the_key_file)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, "etc/nvme/tls-keys", "NVMe0R01 a b c\n");
    ASSERT_STR(machine_lacks(m, "key-file-mode", DOCTOR_OK, "0600"), "");
    machine_chmod(m, "etc/nvme/tls-keys", 0640);
    ASSERT_STR(machine_lacks(m, "key-file-mode", DOCTOR_FAIL, "0640"), "");
    machine_write(m, "etc/nvme/tls-keys", NULL);
    machine_write(m, "etc/nvme/tls-keys/file", "");
    ASSERT_STR(machine_lacks(m, "key-file-mode", DOCTOR_WARN, "cannot be read"), "");
}

TEST(files)
{
    static const char *const paths[] = {"etc/nvme/tls-keys", "etc/nvme/config.json",
                                        "etc/nvme/nvme-fabrics.conf",
                                        "etc/nvme/nvme-fabrics.conf.d/a.conf"};

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        _cleanup_(machine_freep) Machine *m = machine_new();

        machine_write(m, paths[i], "\"tls_key\": \"" MACHINE_PSK "\", x\n" MACHINE_PSK "\n");
        ASSERT_STR(machine_lacks(m, "secrets-in-files", DOCTOR_WARN, "holds 2 PSKs"), "");
        ASSERT_STR(machine_lacks(m, "secrets-in-files", DOCTOR_WARN, paths[i]), "");
        ASSERT_TRUE(!shows_secret(m));
    }
}

TEST(unreadable_file)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_link(m, "etc/nvme/loop", "loop");
    ASSERT_STR(machine_lacks(m, "secrets-in-files", DOCTOR_WARN, "/etc/nvme/loop cannot"), "");
}

TEST(arguments)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, "proc/4711/cmdline", "nvme connect --tls-key=" MACHINE_PSK);
    machine_write(m, "proc/4711/comm", "nvme\n");
    ASSERT_STR(machine_lacks(m, "secrets-in-arguments", DOCTOR_FAIL, "process 4711 (nvme)"), "");
    ASSERT_TRUE(!shows_secret(m));
}
