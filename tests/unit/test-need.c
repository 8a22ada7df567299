/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keyd-fixture.h"
#include "sysfs-fixture.h"

#define OTHER_SUBSYSTEM "nqn.2026-11.org.example:other"
#define UNWANTED "NVMe1R01 " HOST " " SUBSYSTEM " VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwM="
#define DIGEST "VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwM="
#define DIGEST_384 "QhW2+Rp6RzHlNtCslyRxMnwJ11tKKhz8JCAQpQ+XUD8f9td1VeH5h53yz2wKJG1a"
#define PAYLOAD "0123456789abcdef0123456789abcdef"
/* The group of the daemon may have had another number in the initramfs. */
#define OTHER_MARK 23456

static ReconcileResult result;

static int sync_now(Fixture *f)
{
    return fixture_sync(f, &result);
}

static void needs_done(const Sysfs *s)
{
    (void)unsetenv(NAMES_ENV_CONTROLLERS);
    sysfs_done(s);
}

/* A daemon with a group of its own, a store with a key for another pair, and no controller yet. */
#define NEEDS                                                                                      \
    _cleanup_(needs_done) Sysfs s = sysfs_new();                                                   \
    FIXTURE;                                                                                       \
                                                                                                   \
    ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, s.dir, 1));                                            \
    ASSERT_OK(setegid(MARK));                                                                      \
    ASSERT_TRUE(fixture_add(&f, OTHER_SUBSYSTEM, KEY_ROLE_HOST, 9))

static const RingNotice *notice(const Fixture *f)
{
    const RingNotices *l = publisher_ring_notices(manager_publisher(f->m));

    return l->n == 1 ? &l->items[0] : NULL;
}

/* The store lacks the key that a controller was connected with: the key stays until the pair has
 * another one. */
TEST(unwanted_but_needed)
{
    key_serial_t unwanted;
    Key *k;
    NEEDS;

    unwanted = ring_put(MARK, UNWANTED, PAYLOAD);
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, unwanted);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(result.held, 1);
    ASSERT_EQ(result.removed, 0);
    ASSERT_EQ(ring_find(UNWANTED), unwanted);
    ASSERT_TRUE(notice(&f));
    ASSERT_EQ(notice(&f)->kind, RING_NOTICE_HELD);
    ASSERT_STR(notice(&f)->controller, "nvme0");
    ASSERT_STR(notice(&f)->subsysnqn, SUBSYSTEM);

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    ASSERT_TRUE(ring_has_key(k, 1));
    ASSERT_EQ(ring_find(UNWANTED), 0);
    ASSERT_EQ(publisher_ring_notices(manager_publisher(f.m))->n, 0);
}

/* A controller that lost its connection needs the key that it finds by its names. */
TEST(connecting)
{
    NEEDS;

    ASSERT_TRUE(ring_put(MARK, UNWANTED, PAYLOAD) > 0);
    sysfs_put(&s, "nvme0", "connecting", HOST, SUBSYSTEM, "", NULL);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(result.held, 1);
    ASSERT_TRUE(ring_find(UNWANTED) > 0);
    sysfs_put(&s, "nvme0", "deleting", HOST, SUBSYSTEM, "", NULL);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(result.removed, 1);
    ASSERT_EQ(ring_find(UNWANTED), 0);
}

/* If the ring has another key of the pair, the old one is withdrawn, unless it was named at
 * connect. */
TEST(pair_has_another)
{
    key_serial_t unwanted;
    char text[16];
    NEEDS;

    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    unwanted = ring_put(MARK, UNWANTED, PAYLOAD);
    snprintf(text, sizeof(text), "%08x\n", (unsigned)unwanted);
    sysfs_put(&s, "nvme0", "live", HOST, SUBSYSTEM, text, text);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(result.held, 1);
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, unwanted);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(result.held, 0);
    ASSERT_EQ(result.removed, 1);
    ASSERT_EQ(ring_find(UNWANTED), 0);
}

/* A host cannot use a target's key of the pair. */
TEST(pair_has_a_targets)
{
    NEEDS;

    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1));
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, ring_put(MARK, UNWANTED, PAYLOAD));
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(result.held, 1);
}

/* While the needs of controllers are unknown, no key is withdrawn. */
TEST(unreadable)
{
    NEEDS;

    ASSERT_TRUE(ring_put(MARK, UNWANTED, PAYLOAD) > 0);
    ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, "/dev/null", 1));
    ASSERT_EQ(sync_now(&f), -ENOTDIR);
    ASSERT_TRUE(ring_find(UNWANTED) > 0);
    ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, s.dir, 1));
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(ring_find(UNWANTED), 0);
}

/* Removing a key that a controller needs takes force; without it nothing changes. */
TEST(removal)
{
    _cleanup_(freep) char *detail = NULL;
    char id[STORE_ID_SIZE];
    Key *k;
    NEEDS;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    strcpy(id, k->id);
    sysfs_put_live(&s, "nvme3", HOST, SUBSYSTEM, k->serials[1]);
    ASSERT_EQ(manager_remove(f.m, id, false, &detail), -EADDRINUSE);
    ASSERT_TRUE(strstr(detail, "nvme3"));
    ASSERT_TRUE(fixture_keeps(&f, k) && ring_has_key(k, 1));
    free(TAKE_PTR(detail));
    ASSERT_OK(manager_remove(f.m, id, true, &detail));
    ASSERT_EQ(fixture_keys(&f), 1);
    ASSERT_EQ(ring_size(), 1);
}

/* A rotation leaves a key for the controller, so it needs no force. */
TEST(rotation)
{
    Key *k, *new;
    NEEDS;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, k->serials[1]);
    new = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(new &&ring_has_key(new, 1));
    ASSERT_EQ(ring_size(), 2);
}

/* The controller still uses the key from before the rotation, and will look for the new one. */
TEST(rotated_then_removed)
{
    _cleanup_(freep) char *detail = NULL;
    Key *k, *new;
    NEEDS;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, k->serials[1]);
    new = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(new &&ring_has_key(new, 1));
    ASSERT_EQ(manager_remove(f.m, new->id, false, &detail), -EADDRINUSE);
    ASSERT_TRUE(fixture_keeps(&f, new) && ring_has_key(new, 1));
}

/* The controller names the serial of an earlier key with the same identity. */
TEST(displaced_then_unwanted)
{
    NEEDS;

    ASSERT_TRUE(ring_put(MARK, UNWANTED, PAYLOAD) > 0);
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, 0x1234567);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(result.held, 1);
    ASSERT_TRUE(ring_find(UNWANTED) > 0);
}

/* A controller may use a key of another program, and then needs none of ours. One of another pair,
 * or one that the kernel generated, means nothing for this pair. */
TEST(key_of_another_program)
{
    key_serial_t other;
    NEEDS;

    ASSERT_TRUE(ring_put(MARK, UNWANTED, PAYLOAD) > 0);
    other = ring_put(0, "NVMe1R01 " HOST " nqn.x:a x", PAYLOAD);
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, other);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(result.held, 1);
    other = ring_put(0, "NVMe0R01 " HOST " " SUBSYSTEM, PAYLOAD);
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, other);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(result.removed, 1);
    ASSERT_EQ(ring_find(UNWANTED), 0);
}

/* With secure concatenation the kernel generates a key for the controller. */
TEST(generated_key)
{
    NEEDS;

    ASSERT_TRUE(ring_put(MARK, UNWANTED, PAYLOAD) > 0);
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, 0x1234567);
    sysfs_write(&s, "nvme0", "tls_mode", "concat\n");
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(result.removed, 1);
}

static void on_demand(Fixture *f)
{
    f->config.on_demand = f->config.on_demand_force = true;
    manager_set_config(f->m, &f->config);
}

/* Once the unwanted key is withdrawn, the kernel asks for the key of the store. */
TEST(on_demand_unwanted)
{
    key_serial_t unwanted;
    NEEDS;

    on_demand(&f);
    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    unwanted = ring_put(MARK, UNWANTED, PAYLOAD);
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, unwanted);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(result.held, 0);
    ASSERT_EQ(ring_find(UNWANTED), 0);
}

/* If the store has no key to ask for, the held key stays beyond its time on demand. */
TEST(on_demand_held)
{
    key_serial_t unwanted;
    NEEDS;

    on_demand(&f);
    unwanted = ring_put(MARK, UNWANTED, PAYLOAD);
    ASSERT_OK(keyctl_set_timeout(unwanted, 60));
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, unwanted);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(result.held, 1);
    ASSERT_EQ(seconds_left(unwanted), 0);
}

/* A key whose time in the ring has ended is published again by the next request. */
TEST(on_demand_removal)
{
    _cleanup_(freep) char *detail = NULL, *again = NULL;
    key_serial_t serial;
    Key *k;
    NEEDS;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    serial = k->serials[1];
    on_demand(&f);
    ASSERT_OK(sync_now(&f));
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, serial);
    ASSERT_EQ(manager_remove(f.m, k->id, false, &detail), -EADDRINUSE);
    ASSERT_OK(keyctl_unlink(serial, fixture_ring()));
    ASSERT_TRUE(publisher_refresh(manager_publisher(f.m)));
    ASSERT_EQ(manager_remove(f.m, k->id, false, &again), -EADDRINUSE);
}

/* The number of the group has changed since the key was published; the key is still ours. */
TEST(other_group)
{
    _cleanup_(ring_closep) Ring *r = NULL;
    int32_t serial;
    NEEDS;

    ASSERT_OK(setegid(0));
    ASSERT_OK(setegid(OTHER_MARK));
    ASSERT_OK(ring_open(true, &r));
    ASSERT_OK(ring_add(r, UNWANTED, PAYLOAD, 32, false, &serial));
    ASSERT_OK(setegid(0));
    ASSERT_OK(setegid(MARK));
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(ring_find(UNWANTED), 0);
    ASSERT_EQ(result.removed, 1);
}

/* A second key for a pair of a host is reported once, and stays in the status while it is there. */
TEST(rival)
{
    key_serial_t rival;
    NEEDS;

    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    rival = ring_put(0, UNWANTED, PAYLOAD);
    /* The kernel finds our key before one of version 0. */
    ASSERT_TRUE(ring_put(0, "NVMe0R01 " HOST " " OTHER_SUBSYSTEM "x", PAYLOAD) > 0);
    ASSERT_TRUE(ring_put(0, "NVMe0R01 " HOST " " SUBSYSTEM, PAYLOAD) > 0);
    ASSERT_TRUE(ring_put(0, "NVMe0R02 " HOST " " SUBSYSTEM, PAYLOAD) > 0);
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(notice(&f));
    ASSERT_EQ(notice(&f)->kind, RING_NOTICE_RIVAL);
    ASSERT_EQ(notice(&f)->serial, rival);
    ASSERT_TRUE(publisher_next_ring_notice(manager_publisher(f.m)));
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(notice(&f));
    ASSERT_TRUE(!publisher_next_ring_notice(manager_publisher(f.m)));
    ASSERT_EQ(ring_find(UNWANTED), rival);
    ASSERT_OK(keyctl_unlink(rival, fixture_ring()));
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(publisher_ring_notices(manager_publisher(f.m))->n, 0);
}

/* The kernel finds a key of SHA-384 before ours, so it always takes that. */
TEST(rival_of_another_hash)
{
    key_serial_t rival;
    NEEDS;

    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    rival = ring_put(0, "NVMe1R02 " HOST " " SUBSYSTEM " " DIGEST_384, PAYLOAD);
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(notice(&f));
    ASSERT_EQ(notice(&f)->kind, RING_NOTICE_RIVAL);
    ASSERT_EQ(notice(&f)->serial, rival);
}

/* With Foreign=displace, a rival leaves the ring, unless a controller was connected with it. */
TEST(rival_displaced)
{
    key_serial_t rival;
    char text[16];
    NEEDS;

    f.config.displace_foreign = true;
    manager_set_config(f.m, &f.config);
    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    rival = ring_put(0, UNWANTED, PAYLOAD);
    snprintf(text, sizeof(text), "%08x\n", (unsigned)rival);
    sysfs_put(&s, "nvme0", "live", HOST, SUBSYSTEM, text, text);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(result.displaced, 0);
    ASSERT_TRUE(notice(&f));
    ASSERT_EQ(notice(&f)->kind, RING_NOTICE_RIVAL);
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, rival);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(result.displaced, 1);
    ASSERT_TRUE(notice(&f));
    ASSERT_EQ(notice(&f)->kind, RING_NOTICE_DISPLACED);
    ASSERT_EQ(ring_find(UNWANTED), 0);
}

/* A target accepts every key that it has, so a second one is no rival. */
TEST(no_rival_on_a_target)
{
    NEEDS;

    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1));
    ASSERT_TRUE(ring_put(0, UNWANTED, PAYLOAD) > 0);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(publisher_ring_notices(manager_publisher(f.m))->n, 0);
}

/* The kernel compares only "NVMe1R01 HOST SUBSYSTEM": what follows is nothing to it. */
TEST(malformed_rivals)
{
    static const char *const found[] = {
        "NVMe1R01 " HOST " " SUBSYSTEM,
        "NVMe1R01 " HOST " " SUBSYSTEM " ",
        "NVMe1R01 " HOST " " SUBSYSTEM " digest",
        "NVMe1R01 " HOST " " SUBSYSTEM " " DIGEST " more",
        "NVMe1R01 " HOST " " SUBSYSTEM "  " DIGEST,
        "NVMe1R02 " HOST " " SUBSYSTEM " " DIGEST,
        "NVMe1R01 " HOST " " SUBSYSTEM " !!!!!!N9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwM=",
    };
    static const char *const not_found[] = {
        "nvme1R01 " HOST " " SUBSYSTEM " " DIGEST,
        "NVMe1r01 " HOST " " SUBSYSTEM " " DIGEST,
        "NVMe1R1 " HOST " " SUBSYSTEM " " DIGEST,
        "NVMe1R03 " HOST " " SUBSYSTEM " " DIGEST,
        "NVMe2R01 " HOST " " SUBSYSTEM " " DIGEST,
        "NVMe1R01  " HOST " " SUBSYSTEM " " DIGEST,
        "NVMe1R01 " HOST "  " SUBSYSTEM " " DIGEST,
        "NVMe1R01 " HOST "\t" SUBSYSTEM " " DIGEST,
        "NVMe1R01 " HOST,
        "NVMe1R01 " HOST " ",
        "NVMe1R01 ",
        "NVMe1R01",
        "NVMe0R01 " HOST " " SUBSYSTEM " more",
    };
    NEEDS;

    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    for (size_t i = 0; i < ARRAY_SIZE(not_found); i++)
        ASSERT_TRUE(ring_put(0, not_found[i], PAYLOAD) > 0);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(publisher_ring_notices(manager_publisher(f.m))->n, 0);
    for (size_t i = 0; i < ARRAY_SIZE(found); i++) {
        key_serial_t serial = ring_put(0, found[i], PAYLOAD);

        ASSERT_TRUE(serial > 0);
        ASSERT_OK(sync_now(&f));
        ASSERT_TRUE(notice(&f));
        ASSERT_EQ(notice(&f)->kind, RING_NOTICE_MALFORMED);
        ASSERT_EQ(notice(&f)->serial, serial);
        ASSERT_STR(notice(&f)->hostnqn, HOST);
        ASSERT_STR(notice(&f)->subsysnqn, SUBSYSTEM);
        f.config.displace_foreign = true;
        manager_set_config(f.m, &f.config);
        ASSERT_OK(sync_now(&f));
        ASSERT_EQ(result.displaced, 1);
        ASSERT_EQ(ring_find(found[i]), 0);
        f.config.displace_foreign = false;
        manager_set_config(f.m, &f.config);
    }
    for (size_t i = 0; i < ARRAY_SIZE(not_found); i++)
        ASSERT_TRUE(ring_find(not_found[i]) > 0);
}

/* Nor does the kernel see where a subsystem NQN ends. The key belongs to another pair, whose
 * controller may need it, so it is named and stays. */
TEST(rival_by_a_longer_name)
{
    key_serial_t shadow;
    NEEDS;

    f.config.displace_foreign = true;
    manager_set_config(f.m, &f.config);
    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    shadow = ring_put(0, "NVMe1R01 " HOST " " SUBSYSTEM "bc " DIGEST, PAYLOAD);
    ASSERT_TRUE(ring_put(0, "NVMe0R01 " HOST " " SUBSYSTEM "bd", PAYLOAD) > 0);
    ASSERT_TRUE(ring_put(0, "NVMe1R01 " HOST "x " SUBSYSTEM "bd " DIGEST, PAYLOAD) > 0);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(result.displaced, 0);
    ASSERT_TRUE(notice(&f));
    ASSERT_EQ(notice(&f)->kind, RING_NOTICE_SHADOW);
    ASSERT_EQ(notice(&f)->serial, shadow);
    ASSERT_STR(notice(&f)->subsysnqn, SUBSYSTEM);
    ASSERT_EQ(ring_find("NVMe1R01 " HOST " " SUBSYSTEM "bc " DIGEST), shadow);
}
