/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/macro.h"
#include "nvme-keyd/controllers/controllers.h"
#include "sysfs-fixture.h"
#include "test.h"

#define HOST "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
#define SUBSYSTEM "nqn.2026-11.org.example:a"

static const Controller *find(const ControllerList *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->items[i].name, name) == 0)
            return &l->items[i];
    return NULL;
}

TEST(none)
{
    _cleanup_(controller_list_done) ControllerList l = {NULL, 0};
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();

    ASSERT_OK(controllers_read("/nonexistent/nvme", &l));
    ASSERT_EQ(l.n, 0);
    ASSERT_OK(controllers_read(s.dir, &l));
    ASSERT_EQ(l.n, 0);
    ASSERT_EQ(controllers_read("/dev/null", &l), -ENOTDIR);
}

/* Controllers without TLS have no attribute tls_key, and those in deletion need no key. */
TEST(read)
{
    _cleanup_(controller_list_done) ControllerList l = {NULL, 0};
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();

    sysfs_put(&s, "nvme0", "live", HOST, SUBSYSTEM, "2a3b4c5d\n", NULL);
    sysfs_put(&s, "nvme1", "live", HOST, SUBSYSTEM, NULL, NULL);
    sysfs_put(&s, "nvme2", "connecting", HOST, SUBSYSTEM "b", "", NULL);
    sysfs_put(&s, "nvme3", "deleting", HOST, SUBSYSTEM, "00000007\n", NULL);
    sysfs_put(&s, "nvme4", "deleting (no IO)", HOST, SUBSYSTEM, "00000008\n", NULL);
    sysfs_put(&s, "nvme5", "dead", HOST, SUBSYSTEM, "00000009\n", NULL);
    sysfs_put(&s, "nvme6", "resetting", HOST, SUBSYSTEM, "0000000a\n", "0000000b\n");
    sysfs_put(&s, "nvme7", "live", HOST, SUBSYSTEM, "nonsense\n", NULL);
    sysfs_put(&s, "nvme8", "live", HOST, SUBSYSTEM, "ffffffff\n", NULL);
    ASSERT_OK(controllers_read(s.dir, &l));
    ASSERT_EQ(l.n, 5);
    /* A text that is no serial means an unknown key. */
    ASSERT_EQ(find(&l, "nvme7")->tls_key, 0);
    ASSERT_EQ(find(&l, "nvme8")->tls_key, 0);
    ASSERT_EQ(find(&l, "nvme0")->tls_key, 0x2a3b4c5d);
    ASSERT_EQ(find(&l, "nvme0")->tls_configured_key, 0);
    ASSERT_TRUE(find(&l, "nvme0")->live);
    ASSERT_STR(find(&l, "nvme0")->hostnqn, HOST);
    ASSERT_STR(find(&l, "nvme2")->subsysnqn, SUBSYSTEM "b");
    ASSERT_EQ(find(&l, "nvme2")->tls_key, 0);
    ASSERT_TRUE(!find(&l, "nvme2")->live);
    ASSERT_EQ(find(&l, "nvme6")->tls_configured_key, 11);
}

/* An unreadable directory is an error, so that nothing is concluded from it. */
TEST(unreadable)
{
    _cleanup_(controller_list_done) ControllerList l = {NULL, 0};
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();
    char path[128];

    sysfs_put(&s, "nvme0", "live", HOST, SUBSYSTEM, "00000007\n", NULL);
    sysfs_write(&s, "nvme0", "state", NULL);
    snprintf(path, sizeof(path), "%s/nvme0/state", s.dir);
    ASSERT_OK(symlink("state", path));
    ASSERT_EQ(controllers_read(s.dir, &l), -ELOOP);
    ASSERT_EQ(l.n, 0);
}

/* At each reset the kernel looks by the names, whichever key is in use. */
TEST(looks_for)
{
    static const char identity[] = "NVMe0R01 " HOST " " SUBSYSTEM;
    Controller c = {.name = "nvme0", .hostnqn = HOST, .subsysnqn = SUBSYSTEM, .tls_key = 5};
    PskIdentity i;

    ASSERT_EQ(psk_identity_parse(identity, strlen(identity), &i), 0);
    ASSERT_TRUE(controller_uses(&c, 5));
    ASSERT_TRUE(!controller_uses(&c, 6));
    ASSERT_TRUE(controller_looks_for(&c, &i));
    c.tls_key = 0;
    ASSERT_TRUE(controller_looks_for(&c, &i));
    c.generates = true;
    ASSERT_TRUE(!controller_looks_for(&c, &i));
    c.generates = false;
    c.tls_configured_key = 6;
    ASSERT_TRUE(!controller_looks_for(&c, &i));
    ASSERT_TRUE(controller_is_pinned(&c, 6));
    ASSERT_TRUE(!controller_is_pinned(&c, 7));
    c.tls_configured_key = 0;
    strcpy(c.subsysnqn, SUBSYSTEM "b");
    ASSERT_TRUE(!controller_looks_for(&c, &i));
}
