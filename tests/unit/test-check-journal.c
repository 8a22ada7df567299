/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "basic/macro.h"
#include "doctor-fixture.h"
#include "test.h"

TEST(handshakes)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_message(m, "nvme nvme0: no valid PSK found");
    machine_message(m, "nvme nvme1: failed to start TLS: -3");
    machine_message(m, "nvme nvme2: no valid PSK found");
    machine_message(m, "something else");
    ASSERT_STR(machine_lacks(m, "handshakes", DOCTOR_WARN, "2 times, last 0 min ago"), "");
    ASSERT_STR(machine_lacks(m, "handshakes", DOCTOR_WARN, "1 time, last"), "");
    ASSERT_STR(machine_lacks(m, "handshakes", DOCTOR_WARN, "tlshd does not run"), "");
    ASSERT_EQ(m->d.counts[DOCTOR_WARN], 2);
}

TEST(unreadable)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    m->d.journal_error = -EACCES;
    ASSERT_STR(machine_lacks(m, "handshakes", DOCTOR_WARN, "cannot be read"), "");
}
