/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/io.h"
#include "nvme-keyd/controllers/handle.h"
#include "sysfs-fixture.h"
#include "test.h"

#define HOST "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
#define SUBSYSTEM "nqn.2026-11.org.example:a"

static uint64_t inode_of(const Sysfs *s, const char *name)
{
    char path[128];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s", s->dir, name);
    return stat(path, &st) < 0 ? 0 : st.st_ino;
}

/* Another controller takes the place of one, under its name. */
static bool replace(const Sysfs *s, const char *name)
{
    char from[128], to[128];

    snprintf(from, sizeof(from), "%s/%s", s->dir, name);
    snprintf(to, sizeof(to), "%s/gone", s->dir);
    if (rename(from, to) < 0)
        return false;
    sysfs_put_live(s, name, HOST, SUBSYSTEM "b", 9);
    sysfs_write(s, name, "reset_controller", "");
    return true;
}

TEST(details)
{
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();
    _cleanup_(closep) int fd = -EBADF;
    ControllerDetails d;

    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, 7);
    sysfs_write(&s, "nvme0", "transport", "tcp\n");
    sysfs_write(&s, "nvme0", "cntlid", "12\n");
    ASSERT_OK(controller_open(s.dir, "nvme0", 0, &fd));
    ASSERT_OK(controller_read_details(fd, &d));
    ASSERT_STR(d.transport, "tcp");
    ASSERT_STR(d.state, "live");
    ASSERT_EQ(d.cntlid, 12);
    ASSERT_TRUE(d.inode > 0 && d.inode == inode_of(&s, "nvme0"));
}

/* What is missing, or no text, is left out. */
TEST(strange_details)
{
    static const char *const cntlids[] = {"-1\n", "65536\n", "12x\n", "\n"};
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();
    _cleanup_(closep) int fd = -EBADF;
    ControllerDetails d;

    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, 7);
    sysfs_write(&s, "nvme0", "transport", "tcp\x1b[31m\n");
    ASSERT_OK(controller_open(s.dir, "nvme0", 0, &fd));
    for (size_t i = 0; i < ARRAY_SIZE(cntlids); i++) {
        sysfs_write(&s, "nvme0", "cntlid", cntlids[i]);
        ASSERT_OK(controller_read_details(fd, &d));
        ASSERT_EQ(d.cntlid, -1);
    }
    ASSERT_STR(d.transport, "");
    sysfs_write(&s, "nvme0", "state", NULL);
    ASSERT_EQ(controller_read_details(fd, &d), -ENODEV);
}

TEST(open)
{
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();
    _cleanup_(closep) int fd = -EBADF;
    uint64_t inode;

    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, 7);
    inode = inode_of(&s, "nvme0");
    ASSERT_EQ(controller_open(s.dir, "nvme1", 0, &fd), -ENOENT);
    ASSERT_OK(controller_open(s.dir, "nvme0", inode, &fd));
    ASSERT_TRUE(replace(&s, "nvme0"));
    ASSERT_EQ(controller_open(s.dir, "nvme0", inode, &(int){-1}), -ESTALE);
}

static bool was_reset(const Sysfs *s, const char *name)
{
    char path[128], text[8];

    snprintf(path, sizeof(path), "%s/%s/reset_controller", s->dir, name);
    return io_read_line(path, text, sizeof(text)) == 0 && strcmp(text, "1") == 0;
}

TEST(reset)
{
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();
    _cleanup_(closep) int fd = -EBADF;
    ControllerNow now;

    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, 7);
    ASSERT_OK(controller_open(s.dir, "nvme0", 0, &fd));
    ASSERT_EQ(controller_reset(fd), -ENODEV);
    sysfs_write(&s, "nvme0", "reset_controller", "");
    ASSERT_OK(controller_reset(fd));
    ASSERT_TRUE(was_reset(&s, "nvme0"));
    ASSERT_OK(controller_read_now(fd, &now));
    ASSERT_TRUE(now.live && now.tls_key == 7);
    sysfs_write(&s, "nvme0", "state", "connecting\n");
    sysfs_write(&s, "nvme0", "tls_key", "\n");
    ASSERT_OK(controller_read_now(fd, &now));
    ASSERT_TRUE(!now.live && now.tls_key == 0);
    ASSERT_STR(now.state, "connecting");
}

/* A descriptor never leads to the controller that got the name later. */
TEST(reset_after_reuse)
{
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();
    _cleanup_(closep) int fd = -EBADF;

    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, 7);
    sysfs_write(&s, "nvme0", "reset_controller", "");
    ASSERT_OK(controller_open(s.dir, "nvme0", 0, &fd));
    ASSERT_TRUE(replace(&s, "nvme0"));
    ASSERT_OK(controller_reset(fd));
    ASSERT_TRUE(was_reset(&s, "gone"));
    ASSERT_TRUE(!was_reset(&s, "nvme0"));
}
