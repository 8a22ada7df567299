/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <sys/syscall.h>

#include "keyd-fixture.h"
#include "nvme-keyd/manager/manager-private.h"
#include "psk/limits.h"

#define OTHER_SUBSYSTEM "nqn.2026-11.org.example:b"
#define FOREIGN "NVMe1R01 nqn.foreign nqn.x:a VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwM="
#define GENERATED "NVMe1G01 " HOST " " SUBSYSTEM " VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwM="
#define PAYLOAD "0123456789abcdef0123456789abcdef"

static ReconcileResult result;

static int sync_now(Fixture *f)
{
    result = (ReconcileResult){0};
    return fixture_sync(f, &result);
}

static bool did(size_t kept, size_t added, size_t removed, size_t failed)
{
    if (result.kept == kept && result.added == added && result.removed == removed &&
        result.failed == failed)
        return true;
    printf("# kept %zu, added %zu, removed %zu, failed %zu\n", result.kept, result.added,
           result.removed, result.failed);
    return false;
}

/* A daemon with a group of its own removes unwanted keys with that group, and no others. */
TEST(marked)
{
    key_serial_t foreign, generated, short_one, other;
    Key *k;
    FIXTURE;

    ASSERT_OK(setegid(MARK));
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    foreign = ring_put(0, FOREIGN, PAYLOAD);
    generated = ring_put(MARK, GENERATED, PAYLOAD);
    short_one = ring_put(MARK, "NVMe", "x");
    other = ring_put(MARK, "swap:key", "x");
    ASSERT_TRUE(ring_put(MARK, FOREIGN "x", PAYLOAD) > 0);
    ASSERT_TRUE(ring_put(MARK, "NVMe0R02 nqn.gone nqn.x:a", PAYLOAD) > 0);

    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(1, 0, 2, 0));
    ASSERT_EQ(ring_find(FOREIGN), foreign);
    ASSERT_EQ(ring_find(GENERATED), generated);
    ASSERT_EQ(ring_find("NVMe"), short_one);
    ASSERT_EQ(ring_find("swap:key"), other);
    ASSERT_EQ(ring_size(), 5);
    ASSERT_TRUE(ring_has_key(k, 1));
}

/* tlshd keeps the state of sessions that may get a KeyUpdate in keys of its own keyring. Wherever
 * they are, and whoever added them, they are not ours. */
TEST(session_keys)
{
    static const char name[] = "ktls:gnutls-session-7", state[] = "session state";
    key_serial_t inside, outside;
    char text[32];
    FIXTURE;

    ASSERT_OK(setegid(MARK));
    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    inside = ring_put(MARK, name, state);
    outside = add_key("user", name, state, strlen(state), KEY_SPEC_PROCESS_KEYRING);
    ASSERT_TRUE(inside > 0 && outside > 0);
    ASSERT_OK(fixture_sync(&f, &result));
    ASSERT_OK(manager_leave(f.m));
    ASSERT_OK(publisher_keep(manager_publisher(f.m)));
    ASSERT_EQ(result.removed + result.held, 0);
    ASSERT_EQ(ring_find(name), inside);
    ASSERT_EQ(seconds_left(inside), 0);
    ASSERT_EQ(keyctl_read(outside, text, sizeof(text)), (long)strlen(state));
    ASSERT_TRUE(memcmp(text, state, strlen(state)) == 0);
}

/* Without a group it recognises its keys only by their identities. */
TEST(unmarked)
{
    key_serial_t foreign;
    Key *k, *new;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    foreign = ring_put(0, FOREIGN, PAYLOAD);
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(1, 0, 0, 0));
    ASSERT_EQ(ring_find(FOREIGN), foreign);

    new = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(new);
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(1, 0, 0, 0));
    ASSERT_EQ(ring_find(FOREIGN), foreign);
    ASSERT_EQ(ring_size(), 2);
}

/* A key of another program under an identity of ours that is not published stays. */
TEST(marked_foreign_identity)
{
    char identity[PSK_IDENTITY_MAX + 1];
    Key *k, *new;
    FIXTURE;

    ASSERT_TRUE(ring_make());
    ASSERT_OK(setegid(MARK));
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    strcpy(identity, k->identities[1]);
    ASSERT_TRUE(ring_set_writable(false));
    new = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(new &&ring_set_writable(true));
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_TRUE(ring_put(0, identity, PAYLOAD) > 0);

    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(0, 1, 0, 0));
    ASSERT_TRUE(ring_find(identity) > 0);
    ASSERT_TRUE(ring_has_key(new, 1));
}

TEST(wrong_bytes)
{
    Key *k;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    /* Another program has put another PSK under the same identity, and we have forgotten the
     * serials. */
    ASSERT_TRUE(ring_put(0, k->identities[0], PAYLOAD) > 0);
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(1, 1, 0, 0));
    KEY_TABLE_FOREACH(manager_keys(f.m), k)
    {
        ASSERT_TRUE(ring_has_key(k, 0) && ring_has_key(k, 1));
    }
}

/* The kernel cannot use a key that is linked but revoked or expired. */
TEST(unusable)
{
    Key *k;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    ASSERT_OK(keyctl_revoke(k->serials[0]));
    ASSERT_OK(keyctl_set_timeout(k->serials[1], 1));
    (void)usleep(1200000);
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(0, 2, 0, 0));
    ASSERT_TRUE(ring_has_key(k, 0) && ring_has_key(k, 1));
}

TEST(cleared)
{
    Key *k, *other;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    other = fixture_add(&f, OTHER_SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k && other);
    ASSERT_OK(keyctl_unlink(k->serials[0], fixture_ring()));
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(2, 1, 0, 0));
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(0, 3, 0, 0));
    ASSERT_TRUE(ring_has_key(k, 0) && ring_has_key(k, 1) && ring_has_key(other, 1));
}

/* The ring is revoked and replaced, as when the module is unloaded and loaded. */
TEST(ring_gone)
{
    key_serial_t ring;
    Key *k, *other;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    ring = fixture_ring();
    ASSERT_OK(keyctl_revoke(ring));
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(0, 2, 0, 0));
    ASSERT_TRUE(fixture_ring() != ring);
    ASSERT_TRUE(ring_has_key(k, 0) && ring_has_key(k, 1));

    /* A change also notices the new ring, and then publishes all keys. */
    ASSERT_OK(keyctl_revoke(fixture_ring()));
    other = fixture_add(&f, OTHER_SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(other);
    ASSERT_TRUE(ring_has_key(other, 1));
    ASSERT_TRUE(ring_has_key(k, 0) && ring_has_key(k, 1));

    ASSERT_OK(keyctl_revoke(fixture_ring()));
    ASSERT_TRUE(publisher_refresh(manager_publisher(f.m)));
    ASSERT_EQ(k->serials[0] | k->serials[1] | other->serials[1], 0);

    ASSERT_OK(keyctl_revoke(fixture_ring()));
    ASSERT_OK(fixture_remove(&f, other->id));
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(0, 2, 0, 0));
    ASSERT_EQ(ring_size(), 2);
}

TEST(refresh)
{
    Key *k;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    ASSERT_TRUE(publisher_refresh(manager_publisher(f.m)));
    ASSERT_TRUE(k->serials[0] && k->serials[1]);
    ASSERT_OK(keyctl_unlink(k->serials[0], fixture_ring()));
    ASSERT_TRUE(publisher_refresh(manager_publisher(f.m)));
    ASSERT_EQ(k->serials[0], 0);
    ASSERT_TRUE(ring_has_key(k, 1));
}

/* Readers share one look until it is old or a change ends it. */
TEST(shared_look)
{
    const ManagerLook *look;
    Key *k;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    look = manager_look(f.m, true);
    ASSERT_TRUE(look->ring);
    ASSERT_EQ(look->identities, 2);
    ASSERT_EQ(look->published, 2);
    ASSERT_OK(keyctl_unlink(k->serials[0], fixture_ring()));
    /* The look must not get too old on a slow machine. */
    f.m->look_usec = UINT64_MAX;
    ASSERT_EQ(manager_look(f.m, false)->published, 2);
    ASSERT_EQ(manager_look(f.m, true)->published, 1);
    ASSERT_TRUE(f.m->look_usec > 0);
    f.m->look_usec = UINT64_MAX;
    ASSERT_TRUE(fixture_add(&f, OTHER_SUBSYSTEM, KEY_ROLE_HOST, 1));
    ASSERT_EQ(manager_look(f.m, false)->published, 2);
    f.m->look_usec = UINT64_MAX;
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(manager_look(f.m, false)->published, 3);
    f.m->look_usec = UINT64_MAX;
    ASSERT_OK(fixture_remove(&f, k->id));
    ASSERT_EQ(manager_look(f.m, false)->published, 1);
    ASSERT_OK(keyctl_clear(fixture_ring()));
    for (int i = 0; i < 100 && manager_look(f.m, false)->published > 0; i++)
        ASSERT_OK(usleep(100000));
    ASSERT_EQ(manager_look(f.m, false)->published, 0);
}

/* A broken record may be that of any key, so all keys with our group stay. */
TEST(broken_record)
{
    char id[STORE_ID_SIZE];
    Key *k;
    FIXTURE;

    ASSERT_OK(setegid(MARK));
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    strcpy(id, k->id);
    ASSERT_TRUE(fixture_add(&f, OTHER_SUBSYSTEM, KEY_ROLE_HOST, 1));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_TRUE(fixture_break(&f, id));

    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(1, 0, 0, 0));
    k = key_table_find(manager_keys(f.m), id);
    ASSERT_TRUE(k && k->state == KEY_BROKEN && k->error == -EBADMSG);
    ASSERT_EQ(ring_size(), 2);
    ASSERT_TRUE(ring_put(MARK, FOREIGN, PAYLOAD) > 0);
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(1, 0, 0, 0));
    ASSERT_EQ(ring_size(), 3);

    ASSERT_OK(fixture_remove(&f, id));
    ASSERT_EQ(ring_size(), 1);
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(1, 0, 0, 0));
}

/* Without a store no key is known to be unwanted. */
TEST(no_store)
{
    FIXTURE;

    ASSERT_OK(sync_now(&f));
    ASSERT_OK(setegid(MARK));
    ASSERT_TRUE(ring_put(MARK, FOREIGN, PAYLOAD) > 0);
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(0, 0, 0, 0));
    ASSERT_TRUE(ring_find(FOREIGN) > 0);
}

/* While a key could not be added none is withdrawn, and the keys remember their serials. */
TEST(read_only)
{
    Key *k, *new;
    FIXTURE;

    ASSERT_TRUE(ring_make());
    ASSERT_OK(setegid(MARK));
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k && ring_put(MARK, FOREIGN, PAYLOAD) > 0 && ring_set_writable(false));
    new = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(new);
    ASSERT_EQ(sync_now(&f), -EACCES);
    ASSERT_TRUE(did(0, 0, 0, 1));
    ASSERT_EQ(result.error, -EACCES);
    ASSERT_EQ(ring_size(), 2);
    ASSERT_EQ(ring_find(k->identities[1]), k->serials[1]);
    ASSERT_TRUE(k->serials[1] > 0);
    ASSERT_TRUE(ring_set_writable(true));
    /* The removed key is withdrawn once the one that stays is in the ring. */
    ASSERT_OK(fixture_remove(&f, k->id));
    ASSERT_EQ(ring_size(), 2);
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(1, 0, 1, 0));
    ASSERT_TRUE(ring_has_key(new, 1));
}

TEST(withdraw_twice)
{
    const Ring *ring;
    Key *k;
    int r;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    ring = publisher_ring(manager_publisher(f.m), &r);
    ASSERT_OK(reconcile_withdraw(ring, k, ~0u));
    ASSERT_EQ(k->serials[0] | k->serials[1], 0);
    ASSERT_EQ(ring_size(), 0);
    ASSERT_OK(reconcile_withdraw(ring, k, ~0u));
}

static void set_on_demand(Fixture *f, bool on_demand)
{
    f->config.on_demand = f->config.on_demand_force = on_demand;
    manager_set_config(f->m, &f->config);
}

/* Removing a record also removes a key of the same name, whichever program added it, unless another
 * record wants it. */
TEST(remove_by_name)
{
    char identity[PSK_IDENTITY_MAX + 1];
    Key *k, *target, *new;
    FIXTURE;

    set_on_demand(&f, true);
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(ring_size(), 0);
    ASSERT_TRUE(ring_put(0, k->identities[1], PAYLOAD) > 0);
    ASSERT_OK(fixture_remove(&f, k->id));
    ASSERT_EQ(ring_size(), 0);

    target = fixture_add(&f, OTHER_SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(target);
    new = fixture_rotate(&f, target->id, 2);
    ASSERT_TRUE(new);
    ASSERT_EQ(ring_size(), 3);
    snprintf(identity, sizeof(identity), "%s", new->identities[0]);
    ASSERT_OK(fixture_remove(&f, new->id));
    ASSERT_EQ(ring_size(), 2);
    ASSERT_TRUE(ring_find(identity));
    ASSERT_TRUE(ring_has_key(target, 0) && ring_has_key(target, 1));
}

/* With Provision=on-demand, too, the kernel must not find the old key of a rotation. */
TEST(rotate_by_name)
{
    Key *k, *new;
    FIXTURE;

    set_on_demand(&f, true);
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(ring_put(0, k->identities[1], PAYLOAD) > 0);
    new = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(new);
    ASSERT_EQ(ring_size(), 1);
    ASSERT_TRUE(ring_has_key(new, 1));
}

/* The new key of version 0 has the identity of the old one, so withdrawing that must not remove
 * it. */
TEST(rotate_same_name)
{
    Key *k = NULL, *new;
    FIXTURE;

    set_on_demand(&f, true);
    ASSERT_OK(fixture_try_add(&f, SUBSYSTEM, KEY_ROLE_HOST, KEY_VERSION_BIT(0), 1, &k));
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(ring_put(0, k->identities[0], PAYLOAD) > 0);
    new = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(new);
    ASSERT_TRUE(ring_has_key(new, 0));
}

/* Without a store the wanted keys are unknown, so all of ours stay. */
TEST(hold)
{
    key_serial_t ours, generated, foreign;
    FIXTURE;

    ASSERT_OK(setegid(MARK));
    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    ours = ring_put(MARK, FOREIGN "x", PAYLOAD);
    generated = ring_put(MARK, GENERATED, PAYLOAD);
    foreign = ring_put(0, FOREIGN, PAYLOAD);
    ASSERT_OK(keyctl_set_timeout(ours, 60) | keyctl_set_timeout(generated, 60) |
              keyctl_set_timeout(foreign, 60));
    set_on_demand(&f, true);
    ASSERT_OK(publisher_keep(manager_publisher(f.m)));
    ASSERT_TRUE(seconds_left(ours) > 0);
    set_on_demand(&f, false);
    ASSERT_OK(publisher_keep(manager_publisher(f.m)));
    ASSERT_TRUE(seconds_left(ours) == 0 && seconds_left(generated) > 0 &&
                seconds_left(foreign) > 0);
}

/* No daemon answers requests after this one ends, so on-demand keys become resident. */
TEST(leave)
{
    Key *k, *other;
    FIXTURE;

    set_on_demand(&f, true);
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    other = fixture_add(&f, OTHER_SUBSYSTEM, KEY_ROLE_HOST, 2);
    ASSERT_TRUE(k && other);
    ASSERT_OK(sync_now(&f));
    ASSERT_EQ(publisher_publish_pair(manager_publisher(f.m), k), 1);
    ASSERT_TRUE(seconds_left(k->serials[1]) > 0);
    ASSERT_EQ(ring_size(), 1);
    ASSERT_OK(manager_leave(f.m));
    ASSERT_TRUE(ring_has_key(k, 1) && seconds_left(k->serials[1]) == 0);
    ASSERT_TRUE(ring_has_key(other, 1) && seconds_left(other->serials[1]) == 0);
}

/* Without a store no key can be added, and those in the ring stay. */
TEST(leave_locked)
{
    key_serial_t ours;
    int r;
    FIXTURE;

    ASSERT_TRUE(publisher_ring(manager_publisher(f.m), &r));
    ASSERT_OK(setegid(MARK));
    ours = ring_put(MARK, FOREIGN "x", PAYLOAD);
    ASSERT_TRUE(ours > 0);
    ASSERT_OK(keyctl_set_timeout(ours, 60));
    ASSERT_OK(manager_leave(f.m));
    ASSERT_TRUE(seconds_left(ours) > 0);
    set_on_demand(&f, true);
    ASSERT_OK(manager_leave(f.m));
    ASSERT_EQ(seconds_left(ours), 0);
}

/* Keys that are in the ring stay, and missing ones are added. */
TEST(publish_pair)
{
    int32_t serial;
    Key *k;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    serial = k->serials[1];
    ASSERT_OK(keyctl_unlink(k->serials[0], fixture_ring()));
    ASSERT_EQ(publisher_publish_pair(manager_publisher(f.m), k), 1);
    ASSERT_EQ(k->serials[1], serial);
    ASSERT_TRUE(ring_has_key(k, 0) && ring_has_key(k, 1));
    ASSERT_EQ(publisher_publish_pair(manager_publisher(f.m), NULL), 0);
}

/* The configuration switches between the stand-in and `.nvme`. */
TEST(reconfigured)
{
    Key *k;
    int r;
    FIXTURE;

    if (find_key_by_type_and_desc("keyring", NAMES_RING, 0) >= 0)
        TEST_SKIP("this kernel has " NAMES_RING);
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    f.config.stand_in = false;
    manager_set_config(f.m, &f.config);
    ASSERT_EQ(sync_now(&f), -ENOKEY);
    ASSERT_TRUE(!publisher_ring(manager_publisher(f.m), &r));
    ASSERT_EQ(r, -ENOKEY);
    ASSERT_TRUE(!publisher_refresh(manager_publisher(f.m)));
    ASSERT_EQ(k->serials[1], 0);
    f.config.stand_in = true;
    manager_set_config(f.m, &f.config);
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(1, 0, 0, 0));
    ASSERT_TRUE(ring_has_key(k, 1));
}

TEST(many)
{
    char subsysnqn[64];
    FIXTURE;

    for (int i = 0; i < 100; i++) {
        snprintf(subsysnqn, sizeof(subsysnqn), "nqn.2026-11.org.example:%03d", i);
        ASSERT_TRUE(fixture_add(&f, subsysnqn, KEY_ROLE_TARGET, (uint8_t)i));
    }
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(0, 200, 0, 0));
    ASSERT_OK(sync_now(&f));
    ASSERT_TRUE(did(200, 0, 0, 0));
}

static unsigned kernel_looks;

/* io_read_line() opens by one of these, depending on _FORTIFY_SOURCE. */
static int count_open(int dirfd, const char *path, int flags, mode_t mode)
{
    kernel_looks += strcmp(path, NAMES_LIVEPATCH_ENABLED) == 0;
    return (int)syscall(SYS_openat, dirfd, path, flags, mode);
}

int openat(int dirfd, const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list ap;

    va_start(ap, flags);
    if (flags & (O_CREAT | O_TMPFILE))
        mode = va_arg(ap, mode_t);
    va_end(ap);
    return count_open(dirfd, path, flags, mode);
}

int __openat_2(int dirfd, const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags)
{
    return count_open(dirfd, path, flags, 0);
}

/* One look at the kernel is enough to decide for all keys whether it asks. */
TEST(one_look_at_kernel)
{
    enum {
        KEYS = 5
    };
    const ManagerLook *look;
    FIXTURE;

    f.config.on_demand = true;
    manager_set_config(f.m, &f.config);
    for (int i = 0; i < KEYS; i++) {
        char subsystem[64];

        (void)snprintf(subsystem, sizeof(subsystem), "nqn.2026-11.org.example:%d-", i);
        ASSERT_TRUE(fixture_add(&f, subsystem, KEY_ROLE_HOST, 1));
    }
    ASSERT_OK(keyctl_clear(fixture_ring()));
    kernel_looks = 0;
    look = manager_look(f.m, true);
    ASSERT_EQ(look->missing + look->published, KEYS);
    ASSERT_EQ(kernel_looks, 1);
}
