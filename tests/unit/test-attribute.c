/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "basic/macro.h"
#include "nvme-keyd/controllers/attribute.h"
#include "sysfs-fixture.h"
#include "test.h"

TEST(serial)
{
    static const struct {
        const char *text;
        int32_t serial;
    } cases[] = {
        {"2a3b4c5d\n", 0x2a3b4c5d}, {"7fffffff\n", INT32_MAX}, {"00000001", 1}, {"", 0}, {"\n", 0},
        {"nonsense\n", 0},          {"80000000\n", 0},         {"12 34\n", 0},
    };
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();
    _cleanup_(closep) int fd = open(s.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int32_t serial = -1;

        sysfs_write(&s, "", "tls_key", cases[i].text);
        ASSERT_OK(attribute_read_serial(fd, "tls_key", &serial));
        ASSERT_EQ(serial, cases[i].serial);
    }
    sysfs_write(&s, "", "tls_key", NULL);
    ASSERT_EQ(attribute_read_serial(fd, "tls_key", &(int32_t){1}), -ENOENT);
    ASSERT_TRUE(attribute_is_gone(-ENOENT));
    ASSERT_TRUE(!attribute_is_gone(-EACCES));
}

TEST(namespaces)
{
    static const char *const good[] = {"nvme0n1", "nvme12n345", "nvme0c0n1", "nvme3c17n2"};
    static const char *const bad[] = {
        "",         "nvme",  "nvme0",      "nvmen1",   "nvme0n",       "nvme0n1p1", "nvme0c1",
        "nvme0cn1", "ng0n1", "nvme0c0n1x", "xnvme0n1", "nvme-subsys0", "nvm0n1",
    };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        ASSERT_TRUE(attribute_is_namespace(good[i]));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ASSERT_TRUE(!attribute_is_namespace(bad[i]));
}

TEST(directories)
{
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();
    _cleanup_(closep) int fd = open(s.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(closedirp) DIR *d = NULL;

    sysfs_mkdir(&s, "", "nvme0");
    d = attribute_open_dir(fd, "nvme0");
    ASSERT_TRUE(d);
    ASSERT_TRUE(!attribute_open_dir(fd, "nvme1") && errno == ENOENT);
}
