/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keyd-fixture.h"
#include "nvme-keyd/manager/controllers.h"
#include "sysfs-fixture.h"

#define OTHER_HOST "nqn.2014-08.org.nvmexpress:uuid:99999999-2222-3333-4444-555555555555"
#define DIGEST " VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwM="
#define UNKNOWN "NVMe1R01 " HOST " " SUBSYSTEM DIGEST
#define PAYLOAD "0123456789abcdef0123456789abcdef"
#define OTHER_MARK 23456

static void place_done(const Sysfs *s)
{
    (void)unsetenv(NAMES_ENV_CONTROLLERS);
    (void)unsetenv(NAMES_ENV_TARGET_HOSTS);
    sysfs_done(s);
}

/* A daemon with a group of its own, and a key for the pair. */
#define PLACE(role)                                                                                \
    _cleanup_(place_done) Sysfs s = sysfs_new();                                                   \
    Key *k;                                                                                        \
    FIXTURE;                                                                                       \
                                                                                                   \
    ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, s.dir, 1));                                            \
    ASSERT_OK(setegid(MARK));                                                                      \
    k = fixture_add(&f, SUBSYSTEM, role, 1);                                                       \
    ASSERT_TRUE(k)

static KeyInUse judged;
static char judged_id[KEY_ID_SIZE];

/* What the key of this serial is for the only controller. */
static KeyUse use_of(const Fixture *f, const Sysfs *s, int32_t serial)
{
    _cleanup_(controller_list_done) ControllerList l = {NULL, 0};

    sysfs_put_live(s, "nvme0", HOST, SUBSYSTEM, serial);
    key_in_use_done(&judged);
    judged = (KeyInUse){.use = KEY_USES};
    if (manager_read_controllers(f->m, &l) < 0 || l.n != 1 ||
        manager_judge_controller(f->m, &l.items[0], &judged) < 0)
        return KEY_USES;
    strcpy(judged_id, judged.key ? judged.key->id : "");
    return judged.use;
}

/* A key that is in no ring that the service knows. */
static key_serial_t stray_key(const char *description)
{
    return add_key(NAMES_KEY_TYPE_STAND_IN, description, PAYLOAD, 32, KEY_SPEC_PROCESS_KEYRING);
}

TEST(nothing)
{
    _cleanup_(controller_list_done) ControllerList l = {NULL, 0};
    FIXTURE;

    /* The stand-in keyring has no connections. */
    ASSERT_OK(manager_read_controllers(f.m, &l));
    ASSERT_EQ(l.n, 0);
    ASSERT_EQ(manager_read_hosts(f.m, &(TargetHostList){NULL, 0}), -ENOENT);
}

TEST(active)
{
    PLACE(KEY_ROLE_HOST);

    ASSERT_EQ(use_of(&f, &s, k->serials[1]), KEY_USE_ACTIVE);
    ASSERT_STR(judged_id, k->id);
    ASSERT_STR(judged.identity, k->identities[1]);
    ASSERT_EQ(judged.next, k->serials[1]);
    ASSERT_TRUE(!key_use_is_old(judged.use));
    /* Another key of the kernel with the same PSK. */
    ASSERT_EQ(use_of(&f, &s, stray_key(k->identities[1])), KEY_USE_ACTIVE);
    ASSERT_EQ(use_of(&f, &s, 0), KEY_USE_NONE);
    ASSERT_EQ(judged.next, k->serials[1]);
}

/* Identities of version 0 are alike for all PSKs of a pair. */
TEST(version_0)
{
    Key *k;
    _cleanup_(place_done) Sysfs s = sysfs_new();
    FIXTURE;

    ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, s.dir, 1));
    ASSERT_OK(setegid(MARK));
    ASSERT_OK(fixture_try_add(&f, SUBSYSTEM, KEY_ROLE_HOST, KEY_VERSION_BIT(0), 1, &k));
    ASSERT_EQ(use_of(&f, &s, k->serials[0]), KEY_USE_ACTIVE);
    ASSERT_EQ(judged.next, k->serials[0]);
    ASSERT_EQ(use_of(&f, &s, stray_key(k->identities[0])), KEY_USE_OLDER);
}

/* The mark tells keys that were ours from those of other programs. */
TEST(without_record)
{
    key_serial_t ours, other;
    PLACE(KEY_ROLE_HOST);

    other = ring_put(OTHER_MARK, UNKNOWN, PAYLOAD);
    ASSERT_EQ(use_of(&f, &s, other), KEY_USE_FOREIGN);
    ASSERT_TRUE(!judged.key && key_use_is_old(judged.use));
    ASSERT_OK(keyctl_unlink(other, fixture_ring()));
    ours = ring_put(MARK, UNKNOWN, PAYLOAD);
    ASSERT_EQ(use_of(&f, &s, ours), KEY_USE_OLDER);
    ASSERT_STR(judged.identity, UNKNOWN);
    ASSERT_EQ(judged.next, k->serials[1]);
    /* Not the pair of the controller, and no key of an identity at all. */
    ASSERT_EQ(use_of(&f, &s, stray_key("NVMe1R01 " OTHER_HOST " " SUBSYSTEM DIGEST)),
              KEY_USE_OLDER);
    ASSERT_OK(setegid(0));
    ASSERT_EQ(use_of(&f, &s, stray_key("something")), KEY_USE_FOREIGN);
}

TEST(dead)
{
    key_serial_t revoked, gone;
    PLACE(KEY_ROLE_HOST);

    revoked = stray_key(UNKNOWN);
    ASSERT_OK(keyctl_revoke(revoked));
    ASSERT_EQ(use_of(&f, &s, revoked), KEY_USE_REVOKED);
    ASSERT_TRUE(!judged.identity);
    gone = stray_key("gone");
    ASSERT_OK(keyctl_invalidate(gone));
    ASSERT_EQ(use_of(&f, &s, gone), KEY_USE_OLDER);
    ASSERT_EQ(judged.next, k->serials[1]);
}

TEST(generated_and_pinned)
{
    PLACE(KEY_ROLE_HOST);

    ASSERT_EQ(use_of(&f, &s, stray_key("NVMe1G01 " HOST " " SUBSYSTEM DIGEST)), KEY_USE_GENERATED);
    ASSERT_TRUE(!key_use_is_old(judged.use));
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, k->serials[1]);
    sysfs_write(&s, "nvme0", "tls_configured_key", "0000000b\n");
    ASSERT_EQ(use_of(&f, &s, k->serials[1]), KEY_USE_ACTIVE);
    {
        Controller c = {.name = "nvme0",
                        .hostnqn = HOST,
                        .subsysnqn = SUBSYSTEM,
                        .tls_key = k->serials[1],
                        .tls_configured_key = 11};
        KeyInUse u;

        ASSERT_OK(manager_judge_controller(f.m, &c, &u));
        ASSERT_EQ(u.use, KEY_USE_PINNED);
        ASSERT_TRUE(u.key == k);
        key_in_use_done(&u);
        c.generates = true;
        ASSERT_OK(manager_judge_controller(f.m, &c, &u));
        ASSERT_EQ(u.use, KEY_USE_GENERATED);
        key_in_use_done(&u);
    }
}

/* A target accepts the old key for a while, and its hosts use either. */
TEST(hosts)
{
    TargetHost h = {.subsysnqn = SUBSYSTEM, .hostnqn = HOST};
    int32_t old;
    Key *new;
    KeyInUse u;
    PLACE(KEY_ROLE_TARGET);

    old = k->serials[1];
    new = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(new);
    h.tls_key = old;
    ASSERT_OK(manager_judge_host(f.m, &h, &u));
    ASSERT_EQ(u.use, KEY_USE_RETIRING);
    ASSERT_TRUE(u.key && u.key != new);
    key_in_use_done(&u);
    h.tls_key = new->serials[1];
    ASSERT_OK(manager_judge_host(f.m, &h, &u));
    ASSERT_EQ(u.use, KEY_USE_ACTIVE);
    ASSERT_TRUE(u.key == new);
    key_in_use_done(&u);
}

/* Without the store, no key is said to be no longer in it. */
TEST(closed_store)
{
    key_serial_t ours;
    PLACE(KEY_ROLE_HOST);

    (void)k;
    ours = ring_put(MARK, UNKNOWN, PAYLOAD);
    fixture_close(&f);
    ASSERT_TRUE(fixture_open(&f, f.m) < 0);
    ASSERT_EQ(use_of(&f, &s, ours), KEY_USE_UNKNOWN);
    ASSERT_TRUE(!key_use_is_old(judged.use));
}

TEST(counts)
{
    const ControllerCounts *c;
    PLACE(KEY_ROLE_HOST);

    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, k->serials[1]);
    sysfs_put_live(&s, "nvme1", HOST, SUBSYSTEM, ring_put(MARK, UNKNOWN, PAYLOAD));
    sysfs_put_live(&s, "nvme2", HOST, SUBSYSTEM, 0);
    (void)manager_look(f.m, true);
    ASSERT_OK(manager_look_controllers(f.m, &c));
    ASSERT_EQ(c->all, 3);
    ASSERT_EQ(c->active, 1);
    ASSERT_EQ(c->old, 1);
    ASSERT_EQ(c->stalled, 0);
    /* Shared until the next look. */
    sysfs_put_live(&s, "nvme2", HOST, SUBSYSTEM, k->serials[1]);
    ASSERT_OK(manager_look_controllers(f.m, &c));
    ASSERT_EQ(c->active, 1);
    (void)manager_look(f.m, true);
    ASSERT_OK(manager_look_controllers(f.m, &c));
    ASSERT_EQ(c->active, 2);
    sysfs_write(&s, "nvme2", "state", NULL);
    sysfs_mkdir(&s, "nvme2", "state");
    (void)manager_look(f.m, true);
    ASSERT_EQ(manager_look_controllers(f.m, &c), -EINVAL);
}

TEST(names)
{
    for (int i = 0; i < KEY_USES; i++)
        ASSERT_TRUE(key_use_to_string((KeyUse)i));
    ASSERT_STR(key_use_to_string(KEY_USE_OLDER), "older");
}
