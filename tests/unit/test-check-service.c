/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "basic/macro.h"
#include "doctor-fixture.h"
#include "test.h"

TEST(service)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    ASSERT_STR(machine_lacks(m, "service", DOCTOR_OK, "nvme-keyd 0.1.0 answers"), "");
    machine_status(m, "guard", "{\"looking\":true,\"pauseSec\":60}");
    ASSERT_STR(machine_lacks(m, "service", DOCTOR_FAIL, "another program"), "");
    machine_status(m, "guard", NULL);
    m->d.privileged = false;
    ASSERT_STR(machine_lacks(m, "service", DOCTOR_WARN, "without root"), "");
}

TEST(units)
{
    _cleanup_(machine_freep) Machine *m = machine_new();
    DoctorUnit *socket = machine_unit(m, "nvme-keyd.socket"),
               *preload = machine_unit(m, "nvme-keyd-preload.service");

    strcpy(socket->file, "disabled");
    ASSERT_STR(machine_lacks(m, "units", DOCTOR_FAIL, "nvme-keyd.socket is disabled"), "");
    strcpy(socket->file, "enabled");
    strcpy(preload->file, "disabled");
    ASSERT_STR(machine_lacks(m, "units", DOCTOR_FAIL, "nvme-keyd-preload.service is disabled"), "");
    strcpy(preload->file, "enabled-runtime");
    strcpy(socket->active, "failed");
    ASSERT_STR(machine_lacks(m, "units", DOCTOR_FAIL, "is not active"), "");
    strcpy(socket->load, "not-found");
    ASSERT_STR(machine_lacks(m, "units", DOCTOR_FAIL, "there is no nvme-keyd.socket"), "");
    m->d.units_error = -5;
    ASSERT_EQ(machine_check(m, "units"), DOCTOR_WARN);
}

TEST(preload)
{
    _cleanup_(machine_freep) Machine *m = machine_new();
    DoctorUnit *preload = machine_unit(m, "nvme-keyd-preload.service");

    /* Its state when all is well. */
    strcpy(preload->active, "inactive");
    ASSERT_EQ(machine_check(m, "preload"), DOCTOR_OK);
    strcpy(preload->result, "exit-code");
    ASSERT_STR(machine_lacks(m, "preload", DOCTOR_FAIL, "exit-code"), "");
    strcpy(preload->load, "not-found");
    ASSERT_EQ(machine_check(m, "preload"), DOCTOR_FAIL);
    m->d.units_error = -5;
    ASSERT_EQ(machine_check(m, "preload"), DOCTOR_WARN);
}

TEST(store)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_status(m, "store", "{\"state\":\"unavailable\",\"detail\":\"PCRs changed\\nmore\"}");
    ASSERT_STR(machine_lacks(m, "store", DOCTOR_FAIL, "PCRs changed"), "");
    machine_status(m, "store", "{\"state\":\"open\",\"foreign\":true}");
    ASSERT_STR(machine_lacks(m, "store", DOCTOR_FAIL, "not the expected one"), "");
    machine_status(m, "store", "{\"state\":\"opening\"}");
    ASSERT_EQ(machine_check(m, "store"), DOCTOR_WARN);
    machine_status(m, "store", "{\"state\":\"open\"}");
    machine_status(m, "broken", "3");
    ASSERT_STR(machine_lacks(m, "store", DOCTOR_FAIL, "3 records"), "");
}

TEST(slots)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_status(m, "store", "{\"state\":\"open\",\"opensByItself\":false}");
    ASSERT_STR(machine_lacks(m, "slots", DOCTOR_FAIL, "only a recovery key"), "");
    machine_status(m, "store", "{\"state\":\"open\",\"opensByItself\":true}");
    machine_slots(m, "{\"slots\":[],\"warnings\":[\"slot 1 is stale\"]}");
    ASSERT_STR(machine_lacks(m, "slots", DOCTOR_WARN, "slot 1 is stale"), "");
}

TEST(recovery_slot)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    ASSERT_STR(machine_lacks(m, "recovery-slot", DOCTOR_OK, "1 recovery key"), "");
    machine_slots(m, "{\"slots\":[{\"type\":\"tpm2\"}],\"warnings\":[]}");
    ASSERT_STR(machine_lacks(m, "recovery-slot", DOCTOR_WARN, "lost with this machine"), "");
    machine_slots(m, NULL);
    ASSERT_STR(machine_lacks(m, "recovery-slot", DOCTOR_WARN, "not checked"), "");
    machine_status(m, "store", "{\"state\":\"absent\"}");
    ASSERT_EQ(machine_check(m, "recovery-slot"), DOCTOR_OK);
}

TEST(machine_id)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_write(m, "var/lib/systemd/credential.secret", "0123456789abcdef0123456789abcdef01234");
    machine_chmod(m, "var/lib/systemd/credential.secret", 0400);
    ASSERT_STR(machine_lacks(m, "machine-id", DOCTOR_FAIL, "another machine id"), "");
    machine_write(m, "var/lib/systemd/credential.secret", "");
    ASSERT_STR(machine_lacks(m, "machine-id", DOCTOR_WARN, "does not accept"), "");
    machine_write(m, "etc/machine-id", "uninitialized\n");
    ASSERT_STR(machine_lacks(m, "machine-id", DOCTOR_FAIL, "no machine id"), "");
    machine_write(m, "etc/machine-id", NULL);
    ASSERT_EQ(machine_check(m, "machine-id"), DOCTOR_FAIL);
}

TEST(machine_id_in_memory)
{
    _cleanup_(machine_freep) Machine *m = machine_new();
    char path[] = "/dev/shm/test-machine-id-XXXXXX";
    _cleanup_(closep) int fd = mkstemp(path);
    struct statfs fs;

    if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC) {
        (void)unlink(path);
        TEST_SKIP("no /dev/shm in memory");
    }
    ASSERT_EQ(write(fd, "0123456789abcdef0123456789abcdef\n", 33), 33);
    machine_link(m, "etc/machine-id", path);
    ASSERT_STR(machine_lacks(m, "machine-id", DOCTOR_WARN, "only in memory"), "");
    (void)unlink(path);
}

TEST(configuration)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    machine_status(m, "credentials", "{\"problems\":[\"credential x is too long\"]}");
    ASSERT_STR(machine_lacks(m, "configuration", DOCTOR_WARN, "x is too long"), "");
    machine_status(m, "provision", "{\"mode\":\"resident\",\"detail\":\"the kernel never asks\"}");
    ASSERT_STR(machine_lacks(m, "configuration", DOCTOR_WARN, "never asks"), "");
}

TEST(the_clock)
{
    _cleanup_(machine_freep) Machine *m = machine_new();

    m->d.clock_synchronized = false;
    ASSERT_STR(machine_lacks(m, "clock", DOCTOR_WARN, "not synchronised"), "");
}
