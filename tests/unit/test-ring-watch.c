/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keyd-fixture.h"

#define OTHER "nqn.2026-11.org.example:b"
#define FOREIGN "NVMe1R01 " HOST " " SUBSYSTEM " VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwM="
#define GENERATED "NVMe1G01 " HOST " " SUBSYSTEM " VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwM="
#define PAYLOAD "0123456789abcdef0123456789abcdef"

static RingChange look(const Fixture *f)
{
    return publisher_look_for_change(manager_publisher(f->m));
}

/* Reconciles, and returns the number of losses. *ret is the last of them. */
static unsigned put_back(Fixture *f, Loss *ret)
{
    ReconcileResult result;
    unsigned n = 0;

    *ret = (Loss){.serial = 0};
    if (fixture_sync(f, &result) < 0)
        return UINT_MAX;
    while (publisher_next_loss(manager_publisher(f->m), ret))
        n++;
    return n + (unsigned)publisher_take_more_losses(manager_publisher(f->m));
}

static bool is_quiet(Fixture *f)
{
    Loss loss;

    return look(f) == RING_AS_IT_WAS && put_back(f, &loss) == 0;
}

/* A host's key, and a look that knows it. */
#define ONE_KEY                                                                                    \
    FIXTURE;                                                                                       \
    Key *k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);                                         \
    int32_t serial;                                                                                \
    Loss loss;                                                                                     \
                                                                                                   \
    ASSERT_TRUE(k);                                                                                \
    serial = k->serials[1];                                                                        \
    ASSERT_TRUE(is_quiet(&f))

#define ASSERT_LOST(as)                                                                            \
    do {                                                                                           \
        ASSERT_EQ(look(&f), RING_LACKS_OURS);                                                      \
        ASSERT_EQ(put_back(&f, &loss), 1);                                                         \
        ASSERT_EQ(loss.cause, as);                                                                 \
        ASSERT_EQ(loss.serial, serial);                                                            \
        ASSERT_EQ(loss.version, 1);                                                                \
        ASSERT_STR(loss.id, k->id);                                                                \
        ASSERT_TRUE(ring_has_key(k, 1));                                                           \
        ASSERT_TRUE(is_quiet(&f));                                                                 \
    } while (0)

TEST(no_ring)
{
    FIXTURE;

    ASSERT_EQ(look(&f), RING_AS_IT_WAS);
}

/* What we change ourselves is no change. */
TEST(ours)
{
    Key *new;
    ONE_KEY;

    (void)loss;
    ASSERT_TRUE(fixture_add(&f, OTHER, KEY_ROLE_TARGET, 2));
    ASSERT_TRUE(is_quiet(&f));
    new = fixture_rotate(&f, k->id, 3);
    ASSERT_TRUE(new);
    ASSERT_TRUE(is_quiet(&f));
    ASSERT_OK(fixture_remove(&f, new->id));
    ASSERT_TRUE(is_quiet(&f));
    (void)serial;
}

TEST(cleared)
{
    ONE_KEY;

    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_LOST(LOSS_CLEARED);
    ASSERT_EQ(publisher_losses(manager_publisher(f.m))->total, 1);
}

TEST(unlinked)
{
    ONE_KEY;

    ASSERT_TRUE(fixture_add(&f, OTHER, KEY_ROLE_HOST, 2));
    ASSERT_OK(keyctl_unlink(serial, fixture_ring()));
    ASSERT_LOST(LOSS_UNLINKED);
}

/* Our only key is gone, but one of another program is still there. */
TEST(unlinked_alone)
{
    ONE_KEY;

    ASSERT_TRUE(ring_put(0, "NVMe1R01 " HOST " nqn.x:other", PAYLOAD) > 0);
    ASSERT_EQ(look(&f), RING_HAS_OTHERS);
    ASSERT_OK(keyctl_unlink(serial, fixture_ring()));
    ASSERT_LOST(LOSS_UNLINKED);
}

/* The key stays in the list of the ring until the kernel collects it. */
TEST(revoked)
{
    ONE_KEY;

    ASSERT_OK(keyctl_revoke(serial));
    ASSERT_LOST(LOSS_REVOKED);
    ASSERT_EQ(ring_size(), 1);
}

TEST(expired)
{
    uint64_t end = now_monotonic() + 60 * USEC_PER_SEC;
    ONE_KEY;

    ASSERT_OK(keyctl_set_timeout(serial, 1));
    while (look(&f) == RING_AS_IT_WAS && now_monotonic() < end)
        ASSERT_OK(usleep(100000));
    ASSERT_EQ(put_back(&f, &loss), 1);
    ASSERT_EQ(loss.cause, LOSS_EXPIRED);
    ASSERT_TRUE(ring_has_key(k, 1));
}

/* A reader asks which keys are there; that does not hide a loss. */
TEST(seen_by_a_reader)
{
    ONE_KEY;

    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_TRUE(publisher_refresh(manager_publisher(f.m)));
    ASSERT_LOST(LOSS_CLEARED);
}

/* A failed attempt leaves the loss to be reported. */
TEST(refused)
{
    ReconcileResult result;
    int32_t serial;
    Loss loss;
    Key *k;
    FIXTURE;

    ASSERT_TRUE(ring_make());
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    serial = k->serials[1];
    ASSERT_TRUE(is_quiet(&f));
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_TRUE(ring_set_writable(false));
    ASSERT_EQ(look(&f), RING_LACKS_OURS);
    ASSERT_TRUE(fixture_sync(&f, &result) < 0);
    ASSERT_TRUE(ring_set_writable(true));
    ASSERT_EQ(put_back(&f, &loss), 1);
    ASSERT_EQ(loss.cause, LOSS_CLEARED);
    ASSERT_EQ(loss.serial, serial);
}

/* More losses than are kept are counted. */
TEST(many)
{
    char name[64];
    ONE_KEY;

    for (int i = 0; i < LOSSES_MAX + 4; i++) {
        snprintf(name, sizeof(name), "nqn.2026-11.org.example:many%c", 'a' + i);
        ASSERT_TRUE(fixture_add(&f, name, KEY_ROLE_HOST, 2));
    }
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_EQ(look(&f), RING_LACKS_OURS);
    ASSERT_EQ(put_back(&f, &loss), LOSSES_MAX + 5);
    ASSERT_EQ(loss.cause, LOSS_CLEARED);
    ASSERT_TRUE(is_quiet(&f));
    (void)serial;
}

/* A key that was published for a request leaves as planned. */
TEST(on_demand)
{
    ONE_KEY;

    f.config.on_demand = f.config.on_demand_force = true;
    manager_set_config(f.m, &f.config);
    ASSERT_EQ(put_back(&f, &loss), 0);
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_EQ(look(&f), RING_AS_IT_WAS);
    ASSERT_EQ(put_back(&f, &loss), 0);
    ASSERT_EQ(ring_size(), 0);
    (void)serial;
}

/* Without a ring, nothing of ours has been taken out: an event comes with the next one. */
TEST(ring_revoked)
{
    ONE_KEY;

    ASSERT_OK(keyctl_revoke(fixture_ring()));
    ASSERT_EQ(look(&f), RING_AS_IT_WAS);
    ASSERT_TRUE(!publisher_has_resident(manager_publisher(f.m)));
    ASSERT_EQ(put_back(&f, &loss), 0);
    (void)serial;
}

/* A foreign key is reported when it comes, and when it goes while it is named in a notice. */
TEST(foreign)
{
    key_serial_t other;
    ONE_KEY;

    other = ring_put(0, FOREIGN, PAYLOAD);
    ASSERT_EQ(look(&f), RING_HAS_OTHERS);
    ASSERT_EQ(put_back(&f, &loss), 0);
    ASSERT_EQ(publisher_ring_notices(manager_publisher(f.m))->n, 1);
    ASSERT_TRUE(is_quiet(&f));
    ASSERT_OK(keyctl_unlink(other, fixture_ring()));
    ASSERT_EQ(look(&f), RING_HAS_OTHERS);
    ASSERT_EQ(put_back(&f, &loss), 0);
    ASSERT_EQ(publisher_ring_notices(manager_publisher(f.m))->n, 0);
    ASSERT_TRUE(is_quiet(&f));
    (void)serial;
}

/* Those that the kernel could take are unlinked, not revoked; a generated key stays. */
TEST(displaced)
{
    key_serial_t other, generated;
    const RingNotice *n;
    char text[512];
    ONE_KEY;

    f.config.displace_foreign = true;
    manager_set_config(f.m, &f.config);
    other = ring_put(0, FOREIGN, PAYLOAD);
    generated = ring_put(0, GENERATED, PAYLOAD);
    ASSERT_OK(keyctl_link(other, KEY_SPEC_USER_KEYRING));
    ASSERT_EQ(look(&f), RING_HAS_OTHERS);
    ASSERT_EQ(put_back(&f, &loss), 0);
    ASSERT_EQ(ring_find(FOREIGN), 0);
    ASSERT_EQ(ring_find(GENERATED), generated);
    ASSERT_TRUE(ring_has_key(k, 1) && k->serials[1] == serial);
    ASSERT_TRUE(keyctl_describe(other, text, sizeof(text)) > 0);
    ASSERT_OK(keyctl_unlink(other, KEY_SPEC_USER_KEYRING));
    ASSERT_EQ(publisher_displaced(manager_publisher(f.m)), 1);
    n = publisher_next_ring_notice(manager_publisher(f.m));
    ASSERT_TRUE(n && n->kind == RING_NOTICE_DISPLACED && n->serial == other);
}
