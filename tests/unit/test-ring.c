/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/limits.h"
#include "keyd-fixture.h"

#define PAYLOAD "0123456789abcdef0123456789abcdef"
#define IDENTITY "NVMe1R01 " HOST " " SUBSYSTEM " digest="

static void ring_listp(const RingList *l)
{
    ring_list_done(l);
}

#define RING                                                                                       \
    FIXTURE;                                                                                       \
    _cleanup_(ring_closep) Ring *r = NULL;                                                         \
                                                                                                   \
    ASSERT_OK(ring_open(true, &r))

static const RingKey *find(const RingList *l, const char *description)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->keys[i].description, description) == 0)
            return &l->keys[i];
    return NULL;
}

TEST(absent)
{
    Ring *r = NULL;
    FIXTURE;

    if (find_key_by_type_and_desc("keyring", NAMES_RING, 0) >= 0)
        TEST_SKIP("this kernel has " NAMES_RING);
    ASSERT_EQ(ring_open(false, &r), -ENOKEY);
    ASSERT_TRUE(!r);
}

/* /proc/keys prints descriptions unescaped, so any user can put a forged line into one. */
TEST(forged)
{
    char description[128];
    key_serial_t ring, key;
    Ring *r = NULL;
    FIXTURE;

    ring = add_key("keyring", "forged", NULL, 0, KEY_SPEC_PROCESS_KEYRING);
    ASSERT_TRUE(ring > 0);
    snprintf(description, sizeof(description),
             "x\n%08x I------     5 perm 1f3f0000     0     0 keyring   .nvme: 3\ny",
             (unsigned)ring);
    key = add_key("user", description, "x", 1, KEY_SPEC_PROCESS_KEYRING);
    ASSERT_TRUE(key > 0);
    if (ring_open(false, &r) == 0)
        ASSERT_TRUE(ring_serial(r) != ring);
    ring_close(r);
    ASSERT_OK(keyctl_unlink(key, KEY_SPEC_PROCESS_KEYRING));
    ASSERT_OK(keyctl_unlink(ring, KEY_SPEC_PROCESS_KEYRING));
}

TEST(names)
{
    RING;

    ASSERT_EQ(ring_serial(r), fixture_ring());
}

/* The next process to open the ring finds the same one, with its keys. */
TEST(again)
{
    key_serial_t first;
    int32_t serial;
    RING;

    first = ring_serial(r);
    ASSERT_OK(ring_add(r, IDENTITY, PAYLOAD, 32, false, &serial));
    r = ring_close(r);
    ASSERT_OK(ring_open(true, &r));
    ASSERT_EQ(ring_serial(r), first);
    ASSERT_TRUE(ring_holds(r, IDENTITY, serial));
}

/* As in a service of systemd: the session keyring does not lead to the user keyring. */
static void leave_user_keyring(void)
{
    (void)keyctl_unlink(KEY_SPEC_USER_KEYRING, KEY_SPEC_SESSION_KEYRING);
}

static void return_to_user_keyring(_unused_ const int *dummy)
{
    (void)keyctl_link(KEY_SPEC_USER_KEYRING, KEY_SPEC_SESSION_KEYRING);
}

/* Only a process that has opened the ring possesses the keys in it. */
TEST(possession)
{
    _cleanup_(return_to_user_keyring) _unused_ int dummy = 0;
    int32_t serial;
    RING;

    leave_user_keyring();
    ASSERT_OK(ring_add(r, IDENTITY, PAYLOAD, 32, false, &serial));
    ASSERT_EQ(ring_key_equals(serial, PAYLOAD, 32), 1);
    r = ring_close(r);
    ASSERT_EQ(ring_key_equals(serial, PAYLOAD, 32), -EACCES);
    ASSERT_EQ(ring_find(IDENTITY), serial);
}

TEST(private_session)
{
    _cleanup_(return_to_user_keyring) _unused_ int dummy = 0;
    _cleanup_(ring_closep) Ring *r = NULL;
    int32_t serial;
    FIXTURE;

    leave_user_keyring();
    ASSERT_OK(ring_open(true, &r));
    ASSERT_OK(ring_add(r, IDENTITY, PAYLOAD, 32, false, &serial));
    ASSERT_EQ(ring_key_equals(serial, PAYLOAD, 32), 1);
}

TEST(key_equals)
{
    int32_t serial;
    RING;

    ASSERT_OK(ring_add(r, IDENTITY, PAYLOAD, 32, false, &serial));
    ASSERT_EQ(ring_key_equals(serial, PAYLOAD, 31), 0);
    ASSERT_EQ(ring_key_equals(serial, "0123456789abcdef0123456789abcdeF", 32), 0);
    ASSERT_EQ(ring_key_equals(serial, PAYLOAD PAYLOAD, 64), 0);
    ASSERT_OK(keyctl_unlink(serial, ring_serial(r)));
    ASSERT_TRUE(ring_key_equals(serial, PAYLOAD, 32) < 0);
}

TEST(list)
{
    _cleanup_(ring_listp) RingList l = {NULL, 0};
    const RingKey *k;
    int32_t serial;
    RING;

    ASSERT_OK(ring_list(r, &l));
    ASSERT_EQ(l.n, 0);
    ring_list_done(&l);
    ASSERT_OK(ring_add(r, IDENTITY, PAYLOAD, 32, false, &serial));
    ASSERT_TRUE(ring_put(MARK, "with;semicolons;0;in;it", "x") > 0);
    ASSERT_TRUE(ring_put(4294967294, "y", "y") > 0);
    /* A key of another type is ignored. */
    ASSERT_TRUE(add_key("keyring", "nested", NULL, 0, ring_serial(r)) > 0);

    ASSERT_OK(ring_list(r, &l));
    ASSERT_EQ(l.n, 3);
    k = find(&l, IDENTITY);
    ASSERT_TRUE(k && k->serial == serial && k->gid == 0);
    k = find(&l, "with;semicolons;0;in;it");
    ASSERT_TRUE(k && k->gid == MARK);
    k = find(&l, "y");
    ASSERT_TRUE(k && k->gid == 4294967294);
}

/* More keys than fit into the first buffer, with the longest descriptions. */
TEST(list_many)
{
    _cleanup_(ring_listp) RingList l = {NULL, 0};
    char description[KEY_DESCRIPTION_MAX + 1];
    RING;

    memset(description, 'x', sizeof(description));
    description[sizeof(description) - 1] = '\0';
    for (int i = 0; i < 300; i++) {
        int32_t serial;

        memcpy(description, (char[]){(char)('a' + i % 20), (char)('a' + i / 20)}, 2);
        ASSERT_OK(ring_add(r, description, PAYLOAD, 32, false, &serial));
    }
    ASSERT_OK(ring_list(r, &l));
    ASSERT_EQ(l.n, 300);
    for (size_t i = 0; i < l.n; i++)
        ASSERT_EQ(strlen(l.keys[i].description), KEY_DESCRIPTION_MAX);
}

/* A key of the same description displaces the old one, so that the ring always has one. */
TEST(displace)
{
    int32_t first, second;
    RING;

    ASSERT_OK(ring_add(r, IDENTITY, PAYLOAD, 32, false, &first));
    ASSERT_OK(ring_add(r, IDENTITY, "fedcba9876543210fedcba9876543210", 32, false, &second));
    ASSERT_EQ(ring_size(), 1);
    ASSERT_TRUE(ring_holds(r, IDENTITY, second));
    ASSERT_EQ(ring_key_equals(second, "fedcba9876543210fedcba9876543210", 32), 1);
}

TEST(holds)
{
    int32_t serial, other;
    RING;

    ASSERT_OK(ring_add(r, IDENTITY, PAYLOAD, 32, false, &serial));
    ASSERT_OK(ring_add(r, IDENTITY "x", PAYLOAD, 32, false, &other));
    ASSERT_TRUE(ring_holds(r, IDENTITY, serial));
    ASSERT_TRUE(!ring_holds(r, IDENTITY, other));
    ASSERT_TRUE(!ring_holds(r, "NVMe1R01", serial));
    ASSERT_OK(ring_unlink(r, serial));
    ASSERT_TRUE(!ring_holds(r, IDENTITY, serial));
    /* A revoked key may still be linked, but does not count. */
    ASSERT_OK(keyctl_revoke(other));
    ASSERT_TRUE(!ring_holds(r, IDENTITY "x", other));
}

TEST(unlink_twice)
{
    int32_t serial;
    RING;

    ASSERT_OK(ring_add(r, IDENTITY, PAYLOAD, 32, false, &serial));
    ASSERT_OK(ring_unlink(r, serial));
    ASSERT_EQ(ring_size(), 0);
    ASSERT_OK(ring_unlink(r, serial));
    ASSERT_OK(ring_unlink(r, 0x7ffffff0));
}

/* Revokes the ring, as the module does when it is unloaded. */
TEST(revoked)
{
    _cleanup_(ring_listp) RingList l = {NULL, 0};
    _cleanup_(ring_closep) Ring *next = NULL;
    int32_t serial, untouched = 4711;
    RING;

    ASSERT_OK(ring_add(r, IDENTITY, PAYLOAD, 32, false, &serial));
    ASSERT_OK(keyctl_revoke(ring_serial(r)));
    ASSERT_EQ(ring_list(r, &l), -EKEYREVOKED);
    ASSERT_EQ(ring_add(r, IDENTITY, PAYLOAD, 32, false, &untouched), -EKEYREVOKED);
    ASSERT_EQ(untouched, 4711);
    ASSERT_EQ(ring_unlink(r, serial), -EKEYREVOKED);
    ASSERT_TRUE(!ring_holds(r, IDENTITY, serial));

    ASSERT_OK(ring_open(true, &next));
    ASSERT_TRUE(ring_serial(next) != ring_serial(r));
    ASSERT_OK(ring_list(next, &l));
    ASSERT_EQ(l.n, 0);
}

TEST(read_only)
{
    int32_t serial = 4711;
    RING;

    r = ring_close(r);
    ASSERT_OK(keyctl_unlink(fixture_ring(), KEY_SPEC_USER_KEYRING));
    ASSERT_TRUE(ring_make());
    ASSERT_OK(ring_open(true, &r));
    ASSERT_TRUE(ring_set_writable(false));
    ASSERT_EQ(ring_add(r, IDENTITY, PAYLOAD, 32, false, &serial), -EACCES);
    ASSERT_EQ(serial, 4711);
}

/* What is in the ring and no key of its type, and payloads of other programs. */
TEST(others_and_payloads)
{
    _cleanup_(ring_others_done) RingOthers others = {NULL, 0};
    _cleanup_(secret_freep) Secret *bytes = NULL;
    key_serial_t keyring, logon, large;
    int32_t serial;
    RING;

    ASSERT_OK(ring_add(r, IDENTITY, PAYLOAD, 32, false, &serial));
    keyring = add_key("keyring", "a keyring; of ours", NULL, 0, ring_serial(r));
    logon = add_key("logon", "x:y", PAYLOAD, 32, ring_serial(r));
    large = add_key("user", "large", PAYLOAD PAYLOAD, 64, ring_serial(r));
    ASSERT_TRUE(keyring > 0 && logon > 0 && large > 0);
    ASSERT_OK(ring_list_others(r, &others));
    ASSERT_EQ(others.n, 2);
    for (size_t i = 0; i < 2; i++) {
        bool first = others.items[i].serial == keyring;

        ASSERT_STR(others.items[i].type, first ? "keyring" : "logon");
        ASSERT_STR(others.items[i].description, first ? "a keyring; of ours" : "x:y");
        ASSERT_EQ(others.items[i].serial, first ? keyring : logon);
    }

    ASSERT_OK(ring_read(serial, &bytes));
    ASSERT_EQ(bytes->size, 32);
    ASSERT_TRUE(memcmp(bytes->data, PAYLOAD, 32) == 0);
    bytes = secret_free(bytes);
    ASSERT_EQ(ring_read(large, &bytes), -EMSGSIZE);
    ASSERT_EQ(ring_read(logon, &bytes), -EOPNOTSUPP);
    ASSERT_EQ(ring_read(0x7ffffff0, &bytes), -ENOKEY);
}
