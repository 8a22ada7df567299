/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keyd-fixture.h"
#include "nvme-keyd/manager/adopt.h"
#include "sysfs-fixture.h"

/* Keys that other programs have put into the ring become keys of the store. */

#define PAIR HOST " " SUBSYSTEM
#define OTHER_SUBSYSTEM "nqn.2026-11.org.example:other"
#define DIGEST_A "iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU="
#define DIGEST_B "66GuqV08TsAGII39teWUfwQwizjv06Jy8jOcX3NAAzM="
#define V1_A "NVMe1R01 " PAIR " " DIGEST_A
#define V1_B "NVMe1R01 " PAIR " " DIGEST_B
#define V0 "NVMe0R01 " PAIR
#define PSK_A "0123456789abcdef0123456789abcdef"
#define PSK_B "fedcba9876543210fedcba9876543210"

typedef struct Run {
    AdoptRequest q;
    AdoptReport report;
    char *detail;
} Run;

static void run_done(Run *r)
{
    adopt_report_done(&r->report);
    r->report = (AdoptReport){.n = 0};
    free(TAKE_PTR(r->detail));
}

#define RUN _cleanup_(run_done) Run r = {.detail = NULL}

static int adopt(const Fixture *f, Run *r)
{
    int error = fixture_open(f, f->m);

    run_done(r);
    while (error == 0 && !manager_await_adopt(f->m, &r->q))
        error = sd_event_run(f->event, UINT64_MAX) < 0 ? -ENOTRECOVERABLE : 0;
    return error < 0 ? error : manager_adopt(f->m, &r->q, &r->report, &r->detail);
}

static const AdoptItem *item_of(const Run *r, key_serial_t serial)
{
    for (size_t i = 0; i < r->report.n; i++)
        if (r->report.items[i].serial == serial)
            return &r->report.items[i];
    return NULL;
}

/* The verdict on a key, or -1. */
static int verdict_of(const Run *r, key_serial_t serial)
{
    const AdoptItem *i = item_of(r, serial);

    return i ? (int)i->verdict : -1;
}

static Key *key_of(const Fixture *f, const Run *r, key_serial_t serial)
{
    const AdoptItem *i = item_of(r, serial);

    return i ? key_table_find(manager_keys(f->m), i->id) : NULL;
}

static bool is_ours(key_serial_t serial)
{
    char text[512];
    long n = keyctl_describe(serial, text, sizeof(text) - 1);

    return n > 0 && strstr(text, ";0;0;3f210000;");
}

/* The pair has no key of ours: the key keeps its serial, and the next daemon finds it. */
TEST(plain)
{
    key_serial_t theirs;
    ReconcileResult s;
    Key *k;
    FIXTURE;
    RUN;

    ASSERT_TRUE(ring_make());
    theirs = ring_put(0, V1_A, PSK_A);
    ASSERT_TRUE(theirs > 0 && keyctl_set_timeout(theirs, 600) == 0);
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(r.report.n, 1);
    ASSERT_EQ(verdict_of(&r, theirs), ADOPT_ADOPTED);
    ASSERT_EQ(r.report.counts[ADOPT_ADOPTED], 1);
    ASSERT_EQ(r.report.unpublished, 0);
    k = key_of(&f, &r, theirs);
    ASSERT_TRUE(k && k->kind == KEY_DERIVED && k->state == KEY_ACTIVE && fixture_keeps(&f, k));
    ASSERT_EQ(k->serials[1], theirs);
    ASSERT_EQ(ring_find(V1_A), theirs);
    ASSERT_TRUE(ring_has_key(k, 1));
    /* It is ours from now on, and does not end. */
    ASSERT_TRUE(is_ours(theirs));
    ASSERT_EQ(seconds_left(theirs), 0);

    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.kept, 1);
    ASSERT_EQ(s.added + s.removed + s.failed, 0);
    ASSERT_EQ(ring_find(V1_A), theirs);
    ASSERT_EQ(publisher_ring_notices(manager_publisher(f.m))->n, 0);
}

/* A second call has nothing to do, whoever holds the key. */
TEST(unchanged)
{
    key_serial_t theirs;
    Key *k;
    FIXTURE;
    RUN;

    ASSERT_TRUE(ring_make());
    theirs = ring_put(0, V1_A, PSK_A);
    ASSERT_OK(adopt(&f, &r));
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(r.report.n, 0);
    r.q.serial = theirs;
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(verdict_of(&r, theirs), ADOPT_UNCHANGED);
    ASSERT_EQ(fixture_keys(&f), 1);

    /* Another program replaces ours by a key of the same bytes, before anyone has looked. */
    k = key_of(&f, &r, theirs);
    ASSERT_TRUE(k && keyctl_unlink(theirs, fixture_ring()) == 0);
    theirs = ring_put(0, V1_A, PSK_A);
    r.q.serial = 0;
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(verdict_of(&r, theirs), ADOPT_UNCHANGED);
    ASSERT_STR(item_of(&r, theirs)->id, k->id);
    ASSERT_EQ(fixture_keys(&f), 1);
}

/* What is never adopted. */
TEST(not_adopted)
{
    key_serial_t generated, bad, v0_digest, large, other, unknown;
    FIXTURE;
    RUN;

    ASSERT_TRUE(fixture_add(&f, OTHER_SUBSYSTEM, KEY_ROLE_HOST, 9));
    generated = ring_put(0, "NVMe1G01 " PAIR " " DIGEST_A, PSK_A);
    bad = ring_put(0, "NVMe1R01 " PAIR " digest", PSK_A);
    v0_digest = ring_put(0, V0 " " DIGEST_A, PSK_A);
    large = ring_put(0, V1_A, PSK_A PSK_A);
    unknown = ring_put(0, "something \033[2J else", PSK_A);
    other = add_key("keyring", "DHHC-1", NULL, 0, fixture_ring());
    ASSERT_TRUE(generated > 0 && bad > 0 && v0_digest > 0 && large > 0 && unknown > 0 && other > 0);
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(r.report.n, 6);
    ASSERT_EQ(verdict_of(&r, generated), ADOPT_GENERATED);
    ASSERT_EQ(verdict_of(&r, bad), ADOPT_MALFORMED);
    ASSERT_EQ(verdict_of(&r, v0_digest), ADOPT_MALFORMED);
    ASSERT_EQ(verdict_of(&r, large), ADOPT_MALFORMED);
    ASSERT_EQ(verdict_of(&r, unknown), ADOPT_MALFORMED);
    ASSERT_STR(item_of(&r, unknown)->identity, "something ?[2J else");
    ASSERT_EQ(verdict_of(&r, other), ADOPT_OTHER);
    ASSERT_STR(item_of(&r, other)->type, "keyring");
    ASSERT_EQ(fixture_keys(&f), 1);
    ASSERT_EQ(ring_size(), 7);
}

/* No store is made where there is nothing to adopt, and none by a dry run. */
TEST(no_store)
{
    key_serial_t theirs;
    FIXTURE;
    RUN;

    ASSERT_TRUE(ring_make());
    ASSERT_TRUE(ring_put(0, "NVMe1G01 " PAIR " " DIGEST_A, PSK_A) > 0);
    ASSERT_OK(adopt(&f, &r));
    ASSERT_TRUE(!manager_store(f.m));
    theirs = ring_put(0, V1_A, PSK_A);
    r.q.dry_run = true;
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(verdict_of(&r, theirs), ADOPT_ADOPTED);
    ASSERT_STR(item_of(&r, theirs)->id, "");
    ASSERT_TRUE(!manager_store(f.m));
    ASSERT_EQ(key_table_size(manager_keys(f.m)), 0);
    ASSERT_TRUE(!is_ours(theirs));
}

/* Ours has another PSK: only force replaces it, ours goes only after theirs is there, and can be
 * activated again. */
TEST(replaced)
{
    key_serial_t theirs, before;
    char id[KEY_ID_SIZE];
    const char *ours;
    Key *k, *new;
    FIXTURE;
    RUN;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    memcpy(id, k->id, sizeof(id));
    ours = k->identities[1];
    before = k->serials[1];
    theirs = ring_put(0, V1_A, PSK_A);
    r.q.id = id;
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(verdict_of(&r, theirs), ADOPT_REFUSED);
    ASSERT_STR(item_of(&r, theirs)->id, id);
    ASSERT_TRUE(strstr(item_of(&r, theirs)->detail, "iSbjiStwJ/1T"));
    ASSERT_EQ(ring_find(ours), before);

    r.q.force = r.q.dry_run = true;
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(verdict_of(&r, theirs), ADOPT_REPLACED);
    ASSERT_EQ(k->state, KEY_ACTIVE);
    ASSERT_EQ(fixture_keys(&f), 1);

    r.q.dry_run = false;
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(verdict_of(&r, theirs), ADOPT_REPLACED);
    new = key_of(&f, &r, theirs);
    ASSERT_TRUE(new &&new->role == KEY_ROLE_HOST &&strcmp(new->succeeds, id) == 0);
    ASSERT_EQ(k->state, KEY_RETIRING);
    ASSERT_EQ(ring_find(V1_A), theirs);
    ASSERT_EQ(ring_find(ours), 0);
    ASSERT_EQ(fixture_keys(&f), 2);

    ASSERT_OK(manager_activate(f.m, id, true, &r.detail));
    ASSERT_TRUE(ring_has_key(k, 1));
    ASSERT_EQ(ring_find(V1_A), 0);
}

/* A target accepts both until RetireSec= has passed. */
TEST(replaced_on_a_target)
{
    key_serial_t theirs;
    Key *k;
    FIXTURE;
    RUN;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    theirs = ring_put(0, V1_A, PSK_A);
    r.q.force = true;
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(verdict_of(&r, theirs), ADOPT_REPLACED);
    ASSERT_EQ(key_of(&f, &r, theirs)->role, KEY_ROLE_TARGET);
    ASSERT_EQ(k->state, KEY_RETIRING);
    ASSERT_TRUE(ring_has_key(k, 1) && ring_has_key(k, 0));
    ASSERT_EQ(ring_find(V1_A), theirs);
}

/* A host may have one of two. The one that a controller uses is adopted. */
TEST(two_of_a_pair)
{
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();
    key_serial_t a, b;
    FIXTURE;
    RUN;

    ASSERT_TRUE(ring_make());
    a = ring_put(0, V1_A, PSK_A);
    b = ring_put(0, V1_B, PSK_B);
    ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, s.dir, 1));
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, a > b ? a : b);
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(verdict_of(&r, a > b ? a : b), ADOPT_ADOPTED);
    ASSERT_EQ(verdict_of(&r, a > b ? b : a), ADOPT_REFUSED);
    ASSERT_TRUE(strstr(item_of(&r, a > b ? b : a)->detail, "only one"));
    ASSERT_EQ(fixture_keys(&f), 1);
    (void)unsetenv(NAMES_ENV_CONTROLLERS);
}

/* A revoked PSK does not come back. */
TEST(revoked)
{
    key_serial_t theirs;
    const char *id;
    Key *k;
    FIXTURE;
    RUN;

    ASSERT_TRUE(ring_make());
    theirs = ring_put(0, V1_A, PSK_A);
    ASSERT_OK(adopt(&f, &r));
    k = key_of(&f, &r, theirs);
    ASSERT_TRUE(k);
    id = k->id;
    ASSERT_OK(manager_revoke(f.m, id, true, &r.detail));
    theirs = ring_put(0, V1_A, PSK_A);
    r.q.force = true;
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(verdict_of(&r, theirs), ADOPT_REFUSED);
    ASSERT_EQ(fixture_keys(&f), 1);
}

/* A key that was ours stays, unless it is named; without a store all of them come back. */
TEST(left)
{
    key_serial_t left;
    FIXTURE;
    RUN;

    ASSERT_OK(setegid(MARK));
    ASSERT_TRUE(ring_make());
    left = ring_put(MARK, V1_A, PSK_A);
    r.q.dry_run = true;
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(verdict_of(&r, left), ADOPT_ADOPTED);
    ASSERT_TRUE(fixture_add(&f, OTHER_SUBSYSTEM, KEY_ROLE_HOST, 9));
    left = ring_put(MARK, V1_A, PSK_A);
    r.q.dry_run = false;
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(verdict_of(&r, left), ADOPT_LEFT);
    r.q.serial = left;
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(verdict_of(&r, left), ADOPT_ADOPTED);
    ASSERT_OK(setegid(0));
}

/* Which keys are meant. */
TEST(selection)
{
    key_serial_t v1, v0, other;
    FIXTURE;
    RUN;

    ASSERT_TRUE(ring_make());
    v1 = ring_put(0, V1_A, PSK_A);
    v0 = ring_put(0, V0, PSK_A);
    other = ring_put(0, "NVMe1R01 " HOST " " SUBSYSTEM "x " DIGEST_A, PSK_A);
    r.q = (AdoptRequest){.hostnqn = HOST, .subsysnqn = SUBSYSTEM, .dry_run = true};
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(r.report.n, 2);
    ASSERT_EQ(verdict_of(&r, v1), ADOPT_ADOPTED);
    ASSERT_EQ(verdict_of(&r, v0), ADOPT_ADOPTED);
    r.q = (AdoptRequest){.identity = V0, .dry_run = true};
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(r.report.n, 1);
    ASSERT_EQ(verdict_of(&r, v0), ADOPT_ADOPTED);
    r.q = (AdoptRequest){.serial = other, .dry_run = true, .has_role = true, .role = KEY_ROLE_BOTH};
    ASSERT_OK(adopt(&f, &r));
    ASSERT_EQ(r.report.n, 1);
    ASSERT_EQ(item_of(&r, other)->role, KEY_ROLE_BOTH);

    r.q = (AdoptRequest){.serial = 1};
    ASSERT_EQ(adopt(&f, &r), -ENOENT);
    r.q = (AdoptRequest){.identity = V0 "x"};
    ASSERT_EQ(adopt(&f, &r), -ENOENT);
    r.q = (AdoptRequest){.id = "0123456789abcdef"};
    ASSERT_EQ(adopt(&f, &r), -ENOENT);
}
