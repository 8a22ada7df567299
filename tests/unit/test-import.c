/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/json.h"
#include "keyd-fixture.h"
#include "nvme-keyd/api/key-json.h"
#include "nvme-keyd/manager/import.h"

/* Importing many keys at once, and derived keys, which are one TLS PSK for one identity. */

#define PAIR HOST " " SUBSYSTEM
#define DIGEST_A "iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU="
#define DIGEST_B "66GuqV08TsAGII39teWUfwQwizjv06Jy8jOcX3NAAzM="

typedef struct Run {
    ImportKey keys[3];
    Secret *texts[3];
    ImportRequest request;
    ImportResult result;
    ImportFault fault;
    char *detail;
} Run;

static void run_done(Run *r)
{
    import_fault_done(&r->fault);
    while (r->request.n > 0)
        secret_free(r->texts[--r->request.n]);
    free(TAKE_PTR(r->detail));
    import_result_done(&r->result);
    r->result.is_unchanged = NULL;
}

/* Adds a key to the import. */
static int put(Run *r, const char *identity, const char *subsysnqn, KeyRole role, uint8_t seed)
{
    _cleanup_(secret_freep) Secret *psk = fixture_psk(seed);
    size_t n = r->request.n++;

    r->request.common.role = role;
    r->request.keys = r->keys;
    if (psk_interchange_format(PSK_HASH_SHA256, psk, &r->texts[n]) != 0)
        return -ENOMEM;
    r->keys[n] = (ImportKey){identity, HOST, subsysnqn, (const char *)r->texts[n]->data};
    return 0;
}

static int import(const Fixture *f, Run *r)
{
    int error = fixture_open(f, f->m);

    import_result_done(&r->result);
    r->result.is_unchanged = NULL;
    while (error == 0 && !manager_await_import(f->m, &r->request))
        error = sd_event_run(f->event, UINT64_MAX) < 0 ? -ENOTRECOVERABLE : 0;
    return error < 0 ? error : manager_import(f->m, &r->request, &r->result, &r->fault, &r->detail);
}

static Key *pair_of(const Fixture *f, const char *subsysnqn)
{
    return key_table_pair(manager_keys(f->m), HOST, strlen(HOST), subsysnqn, strlen(subsysnqn));
}

/* True if the ring has a key of this identity with these bytes. */
static bool ring_has(const char *identity, uint8_t seed)
{
    _cleanup_(secret_freep) Secret *psk = fixture_psk(seed);
    key_serial_t serial = ring_find(identity);

    return serial > 0 && ring_key_equals(serial, psk->data, psk->size) == 1;
}

TEST(both_kinds)
{
    _cleanup_(run_done) Run r = {.detail = NULL};
    ReconcileResult s;
    Key *k;
    FIXTURE;

    ASSERT_OK(put(&r, "NVMe0R01 " PAIR, NULL, KEY_ROLE_HOST, 1));
    ASSERT_OK(put(&r, "NVMe1R01 " PAIR " " DIGEST_A, NULL, KEY_ROLE_HOST, 2));
    ASSERT_OK(put(&r, NULL, "nqn.2026-11.org.example:b", KEY_ROLE_HOST, 3));
    ASSERT_TRUE(!manager_store(f.m));
    ASSERT_OK(import(&f, &r));
    ASSERT_EQ(r.result.added, 3);
    ASSERT_EQ(r.result.unchanged + r.result.unpublished, 0);
    ASSERT_EQ(ring_size(), 3);
    ASSERT_TRUE(ring_has("NVMe0R01 " PAIR, 1));
    ASSERT_TRUE(ring_has("NVMe1R01 " PAIR " " DIGEST_A, 2));
    k = pair_of(&f, "nqn.2026-11.org.example:b");
    ASSERT_TRUE(k && k->kind == KEY_CONFIGURED && ring_has_key(k, 1));

    /* The next daemon finds all of it. */
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.kept, 3);
    ASSERT_EQ(s.added + s.removed + s.failed, 0);
    k = pair_of(&f, SUBSYSTEM);
    ASSERT_TRUE(k && k->next_of_pair && !k->next_of_pair->next_of_pair);
    ASSERT_EQ(k->kind, KEY_DERIVED);
    ASSERT_EQ(k->next_of_pair->kind, KEY_DERIVED);
}

static const char *member(json_object *o, const char *name)
{
    const char *s = NULL;

    return json_get_string(o, name, &s) > 0 ? s : NULL;
}

TEST(json_of_derived)
{
    _cleanup_(json_putp) json_object *v0 = NULL, *v1 = NULL;
    _cleanup_(run_done) Run r = {.detail = NULL};
    Key *k;
    FIXTURE;

    ASSERT_OK(put(&r, "NVMe0R01 " PAIR, NULL, KEY_ROLE_TARGET, 1));
    ASSERT_OK(import(&f, &r));
    k = pair_of(&f, SUBSYSTEM);
    ASSERT_OK(key_to_json(k, &v0));
    ASSERT_STR(member(v0, "kind"), "derived");
    ASSERT_STR(member(v0, "hash"), "sha256");
    ASSERT_TRUE(!member(v0, "fingerprint") && !member(v0, "derivation"));
    run_done(&r);
    ASSERT_OK(put(&r, "NVMe1R01 " PAIR " " DIGEST_A, NULL, KEY_ROLE_TARGET, 1));
    ASSERT_OK(import(&f, &r));
    ASSERT_OK(key_to_json(pair_of(&f, SUBSYSTEM)->next_of_pair, &v1));
    ASSERT_STR(member(v1, "fingerprint"), "iSbjiStwJ/1T");
}

/* A key that the store has is left unchanged, and a repeated line is one key. */
TEST(unchanged)
{
    _cleanup_(run_done) Run first = {.detail = NULL}, again = {.detail = NULL};
    FIXTURE;

    ASSERT_TRUE(fixture_add(&f, "nqn.2026-11.org.example:b", KEY_ROLE_BOTH, 3));
    ASSERT_OK(put(&first, "NVMe0R01 " PAIR, NULL, KEY_ROLE_HOST, 1));
    ASSERT_OK(put(&first, "NVMe0R01 " PAIR, NULL, KEY_ROLE_HOST, 1));
    ASSERT_OK(put(&first, NULL, "nqn.2026-11.org.example:b", KEY_ROLE_HOST, 3));
    ASSERT_OK(import(&f, &first));
    ASSERT_EQ(first.result.added, 1);
    ASSERT_EQ(first.result.unchanged, 2);
    ASSERT_EQ(fixture_keys(&f), 2);

    ASSERT_OK(put(&again, "NVMe0R01 " PAIR, NULL, KEY_ROLE_HOST, 1));
    ASSERT_OK(import(&f, &again));
    ASSERT_EQ(again.result.added, 0);
    ASSERT_EQ(again.result.unchanged, 1);
    ASSERT_EQ(fixture_keys(&f), 2);
}

/* The same PSK for a pair in which this machine has another role. */
TEST(other_role)
{
    _cleanup_(run_done) Run host = {.detail = NULL}, target = {.detail = NULL};
    FIXTURE;

    ASSERT_OK(put(&host, "NVMe0R01 " PAIR, NULL, KEY_ROLE_HOST, 1));
    ASSERT_OK(import(&f, &host));
    ASSERT_OK(put(&target, "NVMe0R01 " PAIR, NULL, KEY_ROLE_TARGET, 1));
    ASSERT_EQ(import(&f, &target), -EEXIST);
    ASSERT_TRUE(strstr(target.detail, "role both"));
}

/* A dry run makes nothing, not even a store. */
TEST(dry_run)
{
    _cleanup_(run_done) Run r = {.detail = NULL};
    FIXTURE;

    ASSERT_OK(put(&r, "NVMe0R01 " PAIR, NULL, KEY_ROLE_HOST, 1));
    r.request.common.dry_run = true;
    ASSERT_OK(import(&f, &r));
    ASSERT_EQ(r.result.added, 1);
    ASSERT_TRUE(!manager_store(f.m));
    ASSERT_EQ(fixture_keys(&f), 0);
}

typedef struct Line {
    const char *identity, *subsysnqn;
    uint8_t seed;
} Line;

typedef struct Refusal {
    KeyRole role;
    Line lines[3];
    int error;
    size_t index, other;
} Refusal;

/* One key that cannot be added keeps all of them out. The store has a key of version 1 for
 * SUBSYSTEM. */
static bool is_refused(Fixture *f, const Refusal *c)
{
    _cleanup_(run_done) Run r = {.detail = NULL};
    size_t keys = fixture_keys(f), in_ring = ring_size();
    int error = 0;

    for (size_t i = 0; i < ARRAY_SIZE(c->lines) && (c->lines[i].identity || c->lines[i].subsysnqn);
         i++)
        if (put(&r, c->lines[i].identity, c->lines[i].subsysnqn, c->role, c->lines[i].seed) < 0)
            return false;
    error = import(f, &r);
    if (error == 0)
        return c->error == 0;
    return error == c->error && r.fault.index == c->index && r.fault.conflicts.n > 0 &&
           import_index(r.fault.conflicts.items[0].key) == c->index &&
           import_index(r.fault.conflicts.items[0].other) == c->other && r.detail &&
           fixture_keys(f) == keys && ring_size() == in_ring;
}

TEST(refused)
{
    static const char other[] = "nqn.2026-11.org.example:other";
    static const Refusal cases[] = {
        /* another PSK for a pair of the store */
        {KEY_ROLE_HOST, {{NULL, other, 1}, {NULL, SUBSYSTEM, 2}}, -EEXIST, 1, SIZE_MAX},
        {KEY_ROLE_HOST, {{"NVMe1R01 " PAIR " " DIGEST_A, NULL, 1}}, -EEXIST, 0, SIZE_MAX},
        {KEY_ROLE_TARGET, {{"NVMe1R01 " PAIR " " DIGEST_A, NULL, 1}}, -EEXIST, 0, SIZE_MAX},
        /* the same PSK with another role */
        {KEY_ROLE_BOTH, {{NULL, SUBSYSTEM, 1}}, -EEXIST, 0, SIZE_MAX},
        /* two PSKs for one pair */
        {KEY_ROLE_HOST, {{NULL, other, 1}, {NULL, other, 2}}, -EEXIST, 1, 0},
        {KEY_ROLE_HOST,
         {{NULL, "nqn.2026-11.org.example:c", 1},
          {"NVMe0R01 " HOST " nqn.x:y", NULL, 1},
          {"NVMe0R01 " HOST " nqn.x:y", NULL, 2}},
         -EEXIST,
         2,
         1},
        {KEY_ROLE_HOST,
         {{"NVMe1R01 " HOST " nqn.x:y " DIGEST_A, NULL, 1},
          {"NVMe1R01 " HOST " nqn.x:y " DIGEST_B, NULL, 1}},
         -EEXIST,
         1,
         0},
        {KEY_ROLE_HOST,
         {{"NVMe1R01 " HOST " nqn.x:y " DIGEST_A, NULL, 1}, {NULL, "nqn.x:y", 1}},
         -EEXIST,
         1,
         0},
        /* one NQN begins with the other, in the store or in the import */
        {KEY_ROLE_HOST, {{NULL, other, 1}, {NULL, SUBSYSTEM "a", 1}}, -ENOTUNIQ, 1, SIZE_MAX},
        {KEY_ROLE_HOST, {{NULL, "nqn.2026-11.org", 1}}, -ENOTUNIQ, 0, SIZE_MAX},
        {KEY_ROLE_HOST,
         {{NULL, "nqn.x:yy", 1}, {NULL, "nqn.x:z", 1}, {NULL, "nqn.x:y", 1}},
         -ENOTUNIQ,
         2,
         0},
        /* of version 0, beside the key of version 1 */
        {KEY_ROLE_HOST, {{"NVMe0R01 " PAIR, NULL, 1}}, 0, 0, 0},
    };
    FIXTURE;

    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (!is_refused(&f, &cases[i]))
            TEST_FAIL("case %zu", i);
}

static size_t count_conflicts(const Run *r, ConflictReason reason)
{
    size_t n = 0;

    for (size_t i = 0; i < r->fault.conflicts.n; i++)
        n += r->fault.conflicts.items[i].reason == reason;
    return n;
}

/* All are found, with the store and in the import, and the gravest one is the error. */
TEST(all_conflicts)
{
    _cleanup_(run_done) Run r = {.detail = NULL};
    FIXTURE;

    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    ASSERT_OK(put(&r, NULL, SUBSYSTEM "1", KEY_ROLE_HOST, 1));
    ASSERT_OK(put(&r, NULL, SUBSYSTEM, KEY_ROLE_HOST, 2));
    ASSERT_OK(put(&r, NULL, SUBSYSTEM "10", KEY_ROLE_HOST, 3));
    ASSERT_EQ(import(&f, &r), -EEXIST);
    ASSERT_EQ(count_conflicts(&r, CONFLICT_EXISTS), 1);
    /* 1 and 10 with the store, with the second line, and with each other */
    ASSERT_EQ(count_conflicts(&r, CONFLICT_NAME), 5);
    ASSERT_TRUE(strstr(r.detail, "; and 5 more conflicts"));
    ASSERT_EQ(r.fault.index, 0);
    ASSERT_EQ(fixture_keys(&f), 1);
}

/* A force for one subsystem does not reach the others. */
TEST(force_for)
{
    static const char *first[] = {SUBSYSTEM}, *both[] = {SUBSYSTEM, SUBSYSTEM "1"};
    _cleanup_(run_done) Run r = {.detail = NULL};
    FIXTURE;

    ASSERT_OK(put(&r, NULL, SUBSYSTEM, KEY_ROLE_HOST, 1));
    ASSERT_OK(put(&r, NULL, SUBSYSTEM "1", KEY_ROLE_HOST, 2));
    ASSERT_OK(put(&r, NULL, SUBSYSTEM "10", KEY_ROLE_HOST, 3));
    r.request.force_for = first;
    r.request.n_force_for = 1;
    ASSERT_EQ(import(&f, &r), -ENOTUNIQ);
    ASSERT_EQ(r.fault.conflicts.n, 1);
    ASSERT_STR(r.fault.conflicts.items[0].loser->subsysnqn, SUBSYSTEM "1");
    ASSERT_EQ(r.fault.conflicts.n_forced, 2);
    ASSERT_EQ(fixture_keys(&f), 0);
    import_fault_done(&r.fault);
    r.request.force_for = both;
    r.request.n_force_for = 2;
    ASSERT_OK(import(&f, &r));
    ASSERT_EQ(r.result.forced, 3);
    ASSERT_EQ(r.result.added, 3);
}

/* A target may accept two PSKs for one pair of derived keys. */
TEST(two_on_a_target)
{
    _cleanup_(run_done) Run r = {.detail = NULL};
    FIXTURE;

    ASSERT_OK(put(&r, "NVMe1R01 " PAIR " " DIGEST_A, NULL, KEY_ROLE_TARGET, 1));
    ASSERT_OK(put(&r, "NVMe1R01 " PAIR " " DIGEST_B, NULL, KEY_ROLE_TARGET, 2));
    ASSERT_OK(import(&f, &r));
    ASSERT_EQ(r.result.added, 2);
    ASSERT_TRUE(ring_has("NVMe1R01 " PAIR " " DIGEST_A, 1));
    ASSERT_TRUE(ring_has("NVMe1R01 " PAIR " " DIGEST_B, 2));
}

TEST(bad_keys)
{
    static const struct {
        const char *identity, *hostnqn, *psk, *text;
    } cases[] = {
        {"NVMe1R01 " PAIR, NULL, NULL, "ends with a PSK digest"},
        {"NVMe1G01 " PAIR " " DIGEST_A, NULL, NULL, "generated key"},
        {"NVMe0R02 " PAIR, NULL, NULL, "SHA-384"},
        {"NVMe0R01 " HOST, NULL, NULL, "not an identity"},
        {"", NULL, NULL, "not an identity"},
        {NULL, "nqn.a b", NULL, "host NQN has a blank"},
        {NULL, HOST, "NVMeTLSkey-1:01:", "PSK"},
    };
    FIXTURE;

    for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
        _cleanup_(run_done) Run r = {.detail = NULL};

        ASSERT_OK(put(&r, NULL, "nqn.x:a", KEY_ROLE_HOST, 1));
        ASSERT_OK(put(&r, cases[c].identity, SUBSYSTEM, KEY_ROLE_HOST, 1));
        r.keys[1].hostnqn = cases[c].hostnqn;
        if (cases[c].psk)
            r.keys[1].psk = cases[c].psk;
        ASSERT_EQ(import(&f, &r), -EINVAL);
        ASSERT_TRUE(r.detail && strstr(r.detail, cases[c].text));
        ASSERT_EQ(r.fault.index, 1);
        ASSERT_TRUE(!manager_store(f.m));
    }
}

TEST(too_many)
{
    _cleanup_(run_done) Run r = {.detail = NULL};
    ImportRequest q = {.n = IMPORT_KEYS_MAX + 1};
    FIXTURE;

    ASSERT_OK(put(&r, "NVMe0R01 " PAIR, NULL, KEY_ROLE_HOST, 1));
    q.keys = calloc(q.n, sizeof(*q.keys));
    for (size_t i = 0; i < q.n; i++)
        q.keys[i] = r.keys[0];
    ASSERT_EQ(manager_import(f.m, &q, &r.result, &r.fault, &r.detail), -E2BIG);
    ASSERT_EQ(r.fault.index, IMPORT_KEYS_MAX);
    free(q.keys);
}

/* A configured PSK replaces a derived key: the result is a configured key of the same version. */
static void rotate(KeyRole role, unsigned version, const char *identity)
{
    _cleanup_(run_done) Run r = {.detail = NULL};
    char old_id[STORE_ID_SIZE];
    ReconcileResult s;
    Key *new;
    FIXTURE;

    ASSERT_OK(put(&r, identity, NULL, role, 1));
    ASSERT_OK(import(&f, &r));
    strcpy(old_id, pair_of(&f, SUBSYSTEM)->id);
    new = fixture_rotate(&f, old_id, 9);
    ASSERT_TRUE(new);
    ASSERT_EQ(new->kind, KEY_CONFIGURED);
    ASSERT_EQ(new->versions, KEY_VERSION_BIT(version));
    ASSERT_TRUE(ring_has_key(new, version));
    ASSERT_EQ(key_table_find(manager_keys(f.m), old_id)->state, KEY_RETIRING);
    ASSERT_EQ(ring_size(), role == KEY_ROLE_HOST || version == 0 ? 1 : 2);
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.added + s.removed + s.failed, 0);
}

TEST(rotate_host)
{
    rotate(KEY_ROLE_HOST, 1, "NVMe1R01 " PAIR " " DIGEST_A);
}

TEST(rotate_host_version_0)
{
    rotate(KEY_ROLE_HOST, 0, "NVMe0R01 " PAIR);
}

TEST(rotate_target)
{
    rotate(KEY_ROLE_TARGET, 1, "NVMe1R01 " PAIR " " DIGEST_A);
}

TEST(rotate_target_version_0)
{
    rotate(KEY_ROLE_TARGET, 0, "NVMe0R01 " PAIR);
}
