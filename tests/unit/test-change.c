/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/limits.h"
#include "keyd-fixture.h"

/* Rotation: the ring has a key of the pair at every moment, the old key stays no longer than it
 * must, and a rotation that was cut off leaves a state to go on from. */

#define ROTATIONS 200
/* longer than a rotation takes, and short enough to wait for */
#define RETIRE_USEC (3600 * USEC_PER_SEC)

TEST(rotate_host)
{
    char id[STORE_ID_SIZE];
    Key *k, *new;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    strcpy(id, k->id);
    new = fixture_rotate(&f, id, 2);
    ASSERT_TRUE(new);
    ASSERT_TRUE(strcmp(new->id, id) != 0);
    ASSERT_EQ(new->state, KEY_ACTIVE);
    ASSERT_EQ(new->role, KEY_ROLE_HOST);
    ASSERT_TRUE(fixture_keeps(&f, new));
    ASSERT_TRUE(ring_has_key(new, 1));
    ASSERT_EQ(ring_size(), 1);
    ASSERT_STR(new->succeeds, id);
    /* The old one stays sealed, as the way back. */
    ASSERT_EQ(fixture_keys(&f), 2);
    k = key_table_find(manager_keys(f.m), id);
    ASSERT_TRUE(k && fixture_keeps(&f, k) && k->state == KEY_RETIRING && k->serials[1] == 0);
    ASSERT_EQ(manager_deadline(f.m), k->deadline_usec);
}

TEST(rotate_refused)
{
    static const Rotation q = {.at_once = true};
    _cleanup_(freep) char *none = NULL, *busy = NULL, *warning = NULL;
    char id[STORE_ID_SIZE];
    Key *k, *ignored = NULL;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    ASSERT_EQ(manager_rotate(f.m, "0000000000000000", &q, &ignored, &warning, &none), -ENOENT);
    /* The same PSK would be no rotation. */
    ASSERT_TRUE(!fixture_rotate(&f, k->id, 1));
    ASSERT_EQ(fixture_keys(&f), 1);
    ASSERT_TRUE(ring_has_key(k, 0) && ring_has_key(k, 1));

    strcpy(id, k->id);
    ASSERT_TRUE(fixture_rotate(&f, id, 2));
    ASSERT_EQ(manager_rotate(f.m, id, &q, &ignored, &warning, &busy), -EBUSY);
    ASSERT_TRUE(busy && strstr(busy, "retiring"));
    ASSERT_TRUE(!ignored);
}

/* The target accepts both PSKs until the deadline. An identity of version 0 has room for one, and
 * that is the new one. */
TEST(rotate_target)
{
    uint64_t before = now_realtime();
    Key *k, *new;
    ReconcileResult s;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    new = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(new);
    ASSERT_EQ(k->state, KEY_RETIRING);
    ASSERT_TRUE(k->deadline_usec >= before + f.config.retire_usec &&
                k->deadline_usec <= now_realtime() + f.config.retire_usec);
    ASSERT_EQ(manager_deadline(f.m), k->deadline_usec);
    ASSERT_TRUE(ring_has_key(k, 1));
    ASSERT_TRUE(ring_has_key(new, 0) && ring_has_key(new, 1));
    ASSERT_EQ(ring_size(), 3);

    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.added + s.removed + s.failed, 0);
    ASSERT_TRUE(ring_has_key(k, 1));
    ASSERT_TRUE(ring_has_key(new, 0) && ring_has_key(new, 1));
}

TEST(deadline)
{
    char id[STORE_ID_SIZE];
    Key *k, *new;
    ReconcileResult s;
    FIXTURE;

    f.config.retire_usec = RETIRE_USEC;
    manager_set_config(f.m, &f.config);
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    strcpy(id, k->id);
    new = fixture_rotate(&f, id, 2);
    ASSERT_TRUE(new &&key_table_find(manager_keys(f.m), id));
    clock_ahead_usec += RETIRE_USEC;
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_TRUE(!key_table_find(manager_keys(f.m), id));
    ASSERT_EQ(manager_deadline(f.m), 0);
    ASSERT_EQ(ring_size(), 2);
    ASSERT_TRUE(ring_has_key(new, 0) && ring_has_key(new, 1));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_OK(fixture_open(&f, f.m));
    ASSERT_EQ(fixture_keys(&f), 1);
}

TEST(deadline_never)
{
    Key *k;
    FIXTURE;

    f.config.retire_usec = UINT64_MAX;
    manager_set_config(f.m, &f.config);
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k && fixture_rotate(&f, k->id, 2));
    ASSERT_EQ(manager_deadline(f.m), 0);
    ASSERT_EQ(k->state, KEY_RETIRING);
    ASSERT_TRUE(ring_has_key(k, 1));
}

/* The earliest deadline counts. */
TEST(deadline_earliest)
{
    Key *k, *l;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    l = fixture_add(&f, "nqn.2026-11.org.example:b", KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k && l && fixture_rotate(&f, k->id, 2));
    f.config.retire_usec = 3600 * USEC_PER_SEC;
    manager_set_config(f.m, &f.config);
    ASSERT_TRUE(fixture_rotate(&f, l->id, 2));
    ASSERT_EQ(manager_deadline(f.m), l->deadline_usec);
    ASSERT_OK(fixture_remove(&f, l->id));
    ASSERT_EQ(manager_deadline(f.m), k->deadline_usec);
}

/* A deadline that passes without a ring must not wake the daemon again and again. */
TEST(deadline_without_ring)
{
    ReconcileResult s;
    Key *k;
    FIXTURE;

    if (find_key_by_type_and_desc("keyring", NAMES_RING, 0) >= 0)
        TEST_SKIP("this kernel has " NAMES_RING);
    f.config.stand_in = false;
    f.config.retire_usec = RETIRE_USEC;
    manager_set_config(f.m, &f.config);
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    ASSERT_EQ(k->serials[1], 0);
    ASSERT_TRUE(fixture_rotate(&f, k->id, 2));
    ASSERT_EQ(fixture_keys(&f), 2);
    clock_ahead_usec += RETIRE_USEC;
    ASSERT_EQ(fixture_sync(&f, &s), -ENOKEY);
    ASSERT_EQ(manager_deadline(f.m), 0);
    ASSERT_EQ(fixture_keys(&f), 1);
}

/* Two rotations within the overlap lead back to the first PSK: two keys have one identity, and one
 * of them is removed. */
TEST(rotate_back)
{
    ReconcileResult s;
    Key *k, *l;
    FIXTURE;

    f.config.retire_usec = RETIRE_USEC;
    manager_set_config(f.m, &f.config);
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    l = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(l);
    k = fixture_rotate(&f, l->id, 1);
    ASSERT_TRUE(k);
    ASSERT_EQ(ring_size(), 3);
    clock_ahead_usec += RETIRE_USEC;
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(fixture_keys(&f), 1);
    ASSERT_EQ(ring_size(), 2);
    ASSERT_TRUE(ring_has_key(k, 0) && ring_has_key(k, 1));
}

/* As above with RetireSec=0, which does not look at the ring first. */
TEST(rotate_back_at_once)
{
    Key *k, *l;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    f.config.retire_usec = RETIRE_USEC;
    manager_set_config(f.m, &f.config);
    l = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(l);
    clock_ahead_usec += RETIRE_USEC;
    k = fixture_rotate(&f, l->id, 1);
    ASSERT_TRUE(k);
    ASSERT_TRUE(ring_has_key(k, 0) && ring_has_key(k, 1));
    ASSERT_TRUE(ring_has_key(l, 1));
    ASSERT_EQ(ring_size(), 3);
}

/* An upcall during the overlap publishes the keys of the pair again; version 0 must stay that of
 * the new key. */
TEST(publish_pair_in_overlap)
{
    Key *k, *new;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    new = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(new);
    for (int i = 0; i < 2; i++) {
        const Key *first =
            key_table_pair(manager_keys(f.m), HOST, strlen(HOST), SUBSYSTEM, strlen(SUBSYSTEM));

        ASSERT_EQ(publisher_publish_pair(manager_publisher(f.m), first), 2);
        ASSERT_TRUE(ring_has_key(new, 0) && ring_has_key(new, 1));
        ASSERT_TRUE(ring_has_key(k, 1));
        ASSERT_EQ(k->serials[0], 0);
    }
}

/* Counts the keys in the ring, as fast as it can, until the pipe is closed. Exits with 0 if it
 * always saw one or two. */
static void watch(int fd)
{
    key_serial_t ring = fixture_ring();
    size_t least = SIZE_MAX, most = 0;
    char c;

    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        _exit(1);
    do {
        long n = keyctl_read(ring, NULL, 0);
        size_t have = n < 0 ? 0 : (size_t)n / sizeof(ring);

        least = have < least ? have : least;
        most = CONST_MAX(most, have);
    } while (read(fd, &c, 1) < 0);
    _exit(least < 1 ? 2 : most > 2 ? 3 : 0);
}

TEST(no_gap)
{
    int fds[2], status = -1;
    bool ok = true;
    pid_t child;
    Key *k;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 0);
    ASSERT_TRUE(k);
    ASSERT_OK(pipe2(fds, O_CLOEXEC));
    child = fork();
    if (child == 0) {
        close(fds[1]);
        watch(fds[0]);
    }
    close(fds[0]);
    for (unsigned i = 1; i <= ROTATIONS && ok; i++) {
        k = fixture_rotate(&f, k->id, (uint8_t)i);
        ok = k && ring_size() == 1;
    }
    close(fds[1]);
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(ok);
    ASSERT_EQ(status, 0);
    ASSERT_TRUE(ring_has_key(k, 1));
    ASSERT_EQ(fixture_keys(&f), ROTATIONS + 1);
}

/* The ring was replaced since the last look: the new one gets all keys except the old one of the
 * rotation. */
TEST(rotate_ring_gone)
{
    char id[STORE_ID_SIZE];
    Key *k, *other, *new;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    other = fixture_add(&f, "nqn.2026-11.org.example:b", KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k && other);
    strcpy(id, k->id);
    ASSERT_OK(keyctl_revoke(fixture_ring()));
    new = fixture_rotate(&f, id, 2);
    ASSERT_TRUE(new);
    ASSERT_TRUE(ring_has_key(new, 1) && ring_has_key(other, 1));
    ASSERT_EQ(ring_size(), 2);
    ASSERT_EQ(fixture_keys(&f), 3);
    ASSERT_EQ(key_table_find(manager_keys(f.m), id)->state, KEY_RETIRING);
}

/* Another process dies after the commit and before it changes the ring. */
static bool die_after_commit(Fixture *f, const char *id)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        bool ok = ring_set_writable(false) && fixture_restart(f) && fixture_open(f, f->m) == 0 &&
                  fixture_rotate(f, id, 2);

        _exit(ok ? 0 : 1);
    }
    return waitpid(child, &status, 0) == child && status == 0 && ring_set_writable(true);
}

static Key *find_active(const Fixture *f)
{
    Key *k;

    KEY_TABLE_FOREACH(manager_keys(f->m), k)
    {
        if (k->state == KEY_ACTIVE)
            return k;
    }
    return NULL;
}

/* Leaves a store in which the new key is active, and a ring that still has the old one. */
static bool prepare_crash(Fixture *f)
{
    char id[STORE_ID_SIZE];
    const Key *k;

    if (!ring_make() || !(k = fixture_add(f, SUBSYSTEM, KEY_ROLE_HOST, 1)))
        return false;
    strcpy(id, k->id);
    /* This closes the store, so the child can lock it. */
    if (!fixture_restart(f) || !die_after_commit(f, id) || fixture_open(f, f->m) != 0)
        return false;
    k = find_active(f);
    return k && strcmp(k->id, id) != 0 && fixture_keys(f) == 2 && ring_size() == 1 &&
           ring_find(k->identities[1]) <= 0;
}

TEST(crash_after_commit)
{
    ReconcileResult s;
    Key *k;
    FIXTURE;

    ASSERT_TRUE(prepare_crash(&f));
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.added, 1);
    ASSERT_EQ(s.kept, 0);
    k = find_active(&f);
    ASSERT_TRUE(k);
    ASSERT_EQ(fixture_keys(&f), 2);
    ASSERT_TRUE(ring_has_key(k, 1));
    ASSERT_EQ(ring_size(), 1);
}

/* The new key is in the ring already, and is recognised by its bytes. */
TEST(crash_after_publish)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    const uint8_t *bytes;
    key_serial_t serial;
    ReconcileResult s;
    size_t size;
    Key *k;
    FIXTURE;

    ASSERT_TRUE(prepare_crash(&f));
    k = find_active(&f);
    ASSERT_TRUE(k);
    ASSERT_OK(key_unseal(k, &payload));
    ASSERT_OK(key_payload_tls_psk(payload, 1, &bytes, &size));
    serial = add_key("user", k->identities[1], bytes, size, fixture_ring());
    ASSERT_TRUE(serial > 0);

    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.added, 0);
    ASSERT_EQ(s.kept, 1);
    ASSERT_EQ(s.removed, 1);
    ASSERT_EQ(k->serials[1], serial);
    ASSERT_EQ(fixture_keys(&f), 2);
    ASSERT_EQ(ring_size(), 1);
}

static bool is_in_ring(const Key *k)
{
    return k->serials[1] > 0 && ring_find(k->identities[1]) == k->serials[1];
}

/* A ring that refuses keys: the old key stays in it and in the table, until the ring accepts the
 * new one. */
TEST(rotate_read_only)
{
    ReconcileResult s;
    Key *k, *new;
    FIXTURE;

    ASSERT_TRUE(ring_make());
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k && ring_set_writable(false));
    new = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(new);
    ASSERT_EQ(new->serials[1], 0);
    ASSERT_EQ(fixture_keys(&f), 2);
    ASSERT_TRUE(is_in_ring(k));
    ASSERT_EQ(fixture_sync(&f, &s), -EACCES);
    ASSERT_EQ(s.failed, 1);
    ASSERT_EQ(s.removed, 0);
    ASSERT_TRUE(is_in_ring(k));

    ASSERT_TRUE(ring_set_writable(true));
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(fixture_keys(&f), 2);
    ASSERT_TRUE(ring_has_key(new, 1) && !is_in_ring(k));
    ASSERT_EQ(ring_size(), 1);
}

/* A rotation that could not be published must not be finished by the next rotation, of another
 * pair. */
TEST(rotate_another_meanwhile)
{
    Key *k, *other;
    FIXTURE;

    ASSERT_TRUE(ring_make());
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    other = fixture_add(&f, "nqn.2026-11.org.example:other", KEY_ROLE_HOST, 3);
    ASSERT_TRUE(k && other && ring_set_writable(false));
    ASSERT_TRUE(fixture_rotate(&f, k->id, 2));
    ASSERT_TRUE(ring_set_writable(true));
    ASSERT_TRUE(fixture_rotate(&f, other->id, 4));
    ASSERT_EQ(fixture_keys(&f), 4);
    ASSERT_TRUE(is_in_ring(k));
    ASSERT_EQ(ring_size(), 2);
}
