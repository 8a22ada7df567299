/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "basic/macro.h"
#include "doctor-fixture.h"
#include "nvme-keyctl/doctor/limits.h"
#include "test.h"

/* The names, which scripts use. */
static const char *const names[] = {
    "kernel-version",
    "kernel-options",
    "keyring",
    "modules",
    "tls",
    "modules-load",
    "modprobe",
    "key-quota",
    "tlshd",
    "tlshd-config",
    "tlshd-service",
    "tlshd-keyring",
    "hostnqn",
    "hostnqn-config",
    "hostnqn-keys",
    "service",
    "units",
    "preload",
    "store",
    "slots",
    "recovery-slot",
    "machine-id",
    "configuration",
    "clock",
    "keys",
    "one-key",
    "shadowed",
    "foreign",
    "derivation",
    "controllers",
    "discovery-key",
    "udev-rule",
    "nvme-keysd",
    "request-key",
    "request-key-rule",
    "target-ports",
    "target-hosts",
    "target-backlog",
    "key-file-mode",
    "secrets-in-files",
    "secrets-in-arguments",
    "handshakes",
};

TEST(all_is_well)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    (void)machine_check(m, "service");
    for (size_t i = 0; i < m->d.n_lines; i++)
        if (m->d.lines[i].result != DOCTOR_OK || m->d.lines[i].remedy)
            TEST_FAIL("%s: %s", m->d.lines[i].check, m->d.lines[i].text);
    ASSERT_EQ(m->d.n_lines, ARRAY_SIZE(names));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        ASSERT_STR(m->d.lines[i].check, names[i]);
    ASSERT_EQ(doctor_worst(&m->d), DOCTOR_OK);
    ASSERT_EQ(m->d.counts[DOCTOR_OK], ARRAY_SIZE(names));
}

TEST(runs_without_the_service)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_without_daemon(m);
    ASSERT_STR(machine_lacks(m, "service", DOCTOR_FAIL, "Connection refused"), "");
    ASSERT_EQ(doctor_worst(&m->d), DOCTOR_FAIL);
    /* What was not checked is not called good. */
    ASSERT_EQ(machine_check(m, "keys"), DOCTOR_WARN);
    ASSERT_EQ(machine_check(m, "store"), DOCTOR_WARN);
    ASSERT_EQ(machine_check(m, "shadowed"), DOCTOR_WARN);
    ASSERT_EQ(machine_check(m, "keyring"), DOCTOR_OK);
    ASSERT_EQ(m->d.counts[DOCTOR_FAIL], 1);
}

/* On an empty machine nothing is read that is not there. */
TEST(runs_without_anything)
{
    _cleanup_(machine_freep) Machine *m = machine_new();
    Doctor empty = {.root = open("/proc/self/task", O_PATH | O_CLOEXEC),
                    .unreachable = "none",
                    .units_error = -ENXIO,
                    .journal_error = -ENOENT};

    (void)machine_check(m, "service");
    ASSERT_OK(doctor_run(&empty));
    ASSERT_TRUE(empty.counts[DOCTOR_FAIL] > 5);
    close(empty.root);
    doctor_done(&empty);
}

TEST(text_is_safe_to_print)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_status(m, "configuration", "{\"problems\":[\"a\\u001b[2Jb\\u009bc\"]}");
    ASSERT_STR(machine_lacks(m, "configuration", DOCTOR_WARN, "a?[2Jb??c"), "");
    machine_message(m, "no valid PSK found\xff\x01");
    ASSERT_STR(machine_lacks(m, "handshakes", DOCTOR_WARN, "found??"), "");
}

TEST(many_lines_become_few)
{
    _cleanup_(machine_freep) Machine *m = machine_new();
    char text[4096] = "{\"problems\":[\"x\"";
    size_t n = 0;

    for (size_t i = 0; i < 99; i++)
        strcat(text, ",\"y\"");
    strcat(text, "]}");
    machine_status(m, "configuration", text);
    ASSERT_STR(machine_lacks(m, "configuration", DOCTOR_WARN, "y (and 92 more)"), "");
    for (size_t i = 0; i < m->d.n_lines; i++)
        n += strcmp(m->d.lines[i].check, "configuration") == 0;
    ASSERT_EQ(n, DOCTOR_LINES_MAX);
}
