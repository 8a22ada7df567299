/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/macro.h"
#include "doctor-fixture.h"
#include "nvme-keyctl/doctor/files.h"
#include "test.h"

/* A secret on the border of two chunks of 4096 bytes. */
TEST(secrets_stay_out)
{
    _cleanup_(machine_freep) Machine *m = machine_new();
    char text[5000] = "";

    for (size_t before = 4096 - strlen(MACHINE_PSK) - 2; before < 4100; before++) {
        _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};

        memset(text, 'x', before);
        strcpy(text + before, " " MACHINE_PSK " end");
        machine_write(m, "file", text);
        ASSERT_OK(doctor_read(m->d.root, "file", 1 << 20, &f));
        ASSERT_EQ(f.size, strlen(text));
        ASSERT_EQ(f.n_psks, 1);
        ASSERT_TRUE(!strstr(f.text, "VRLbtnN9") && strstr(f.text, "* end"));
    }
}

TEST(limits)
{
    _cleanup_(machine_freep) Machine *m = machine_new();
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
    char word[4];

    machine_write(m, "file", "some words\n");
    ASSERT_OK(doctor_read(m->d.root, "file", 4, &f));
    ASSERT_STR(f.text, "some");
    ASSERT_TRUE(f.is_cut);
    ASSERT_EQ(doctor_read(m->d.root, "etc", 4, &f), -EINVAL);
    ASSERT_EQ(doctor_read(m->d.root, "missing", 4, &f), -ENOENT);
    doctor_read_word(m->d.root, "file", word, sizeof(word));
    ASSERT_STR(word, "");
}

TEST(names)
{
    _cleanup_(machine_freep) Machine *m = machine_new();
    _cleanup_(doctor_names_done) DoctorNames n = {NULL, 0};

    machine_write(m, "d/b.conf", "");
    machine_write(m, "d/a.conf", "");
    machine_write(m, "d/.hidden.conf", "");
    machine_write(m, "d/a.txt", "");
    ASSERT_OK(doctor_names(m->d.root, "d", ".conf", &n));
    ASSERT_EQ(n.n, 2);
    ASSERT_STR(n.items[0], "a.conf");
    ASSERT_STR(n.items[1], "b.conf");
}

TEST(no_directory)
{
    _cleanup_(machine_freep) Machine *m = machine_new();
    _cleanup_(doctor_names_done) DoctorNames n = {NULL, 0};

    ASSERT_OK(doctor_names(m->d.root, "missing", "", &n));
    ASSERT_EQ(n.n, 0);
}
