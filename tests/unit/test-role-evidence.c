/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/io.h"
#include "nvme-keyd/manager/role-evidence.h"
#include "test.h"
#include "tree.h"

#define OWN "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
#define OTHER "nqn.2026-11.org.example:host"
#define SUBSYSTEM "nqn.2026-11.org.example:a"

/* A machine with this host NQN, and a controller of OTHER for SUBSYSTEM if there is one. */
static RoleEvidence machine(const char *own, Controller *c)
{
    RoleEvidence e = {.target = -1};

    (void)snprintf(e.own, sizeof(e.own), "%s", own);
    if (c) {
        (void)snprintf(c->hostnqn, sizeof(c->hostnqn), OTHER);
        (void)snprintf(c->subsysnqn, sizeof(c->subsysnqn), SUBSYSTEM);
        e.controllers = (ControllerList){c, 1};
    }
    return e;
}

TEST(host)
{
    Controller c = {.tls_key = 1};
    RoleEvidence e = machine(OWN, NULL), connected = machine(OWN, &c);

    ASSERT_EQ(role_evidence_judge(&e, OWN, SUBSYSTEM), KEY_ROLE_HOST);
    ASSERT_EQ(role_evidence_judge(&connected, OTHER, SUBSYSTEM), KEY_ROLE_HOST);
    /* A machine without a target can be nothing else. */
    ASSERT_EQ(role_evidence_judge(&e, OTHER, SUBSYSTEM), KEY_ROLE_HOST);
}

TEST(target)
{
    char dir[] = "/tmp/test-evidence.XXXXXX", path[128];
    Controller c = {.tls_key = 1};
    RoleEvidence e = machine(OWN, NULL), connected = machine(OWN, &c);

    ASSERT_TRUE(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/" SUBSYSTEM, dir);
    ASSERT_OK(mkdir(path, 0700));
    e.target = connected.target = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    ASSERT_EQ(role_evidence_judge(&e, OTHER, SUBSYSTEM), KEY_ROLE_TARGET);
    ASSERT_EQ(role_evidence_judge(&e, OWN, SUBSYSTEM), KEY_ROLE_BOTH);
    ASSERT_EQ(role_evidence_judge(&connected, OTHER, SUBSYSTEM), KEY_ROLE_BOTH);
    /* Another subsystem, which may come later. */
    ASSERT_EQ(role_evidence_judge(&connected, OTHER, SUBSYSTEM "b"), KEY_ROLE_TARGET);
    ASSERT_EQ(role_evidence_judge(&e, OWN, SUBSYSTEM "b"), KEY_ROLE_HOST);
    /* No name of a directory. */
    ASSERT_EQ(role_evidence_judge(&e, OWN, SUBSYSTEM "/../" SUBSYSTEM), KEY_ROLE_HOST);
    close(e.target);
    ASSERT_OK(rmdir(path));
    ASSERT_OK(rmdir(dir));
}
