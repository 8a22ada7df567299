/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "basic/io.h"
#include "fleet/fleet.h"
#include "fleet/issue.h"
#include "test.h"
#include "tree.h"

#define SUBSYSTEM "nqn.2026-11.org.example:s"
/* FLEET_TEST_PAIRS=10000 measures. */
#define PAIRS 40
#define HOSTS 8

/* A place with an approved target and approved hosts. */
typedef struct World {
    char path[32];
    Place *place;
    EVP_PKEY *key;
    X509 *issuer;
    char target[MACHINE_FINGERPRINT_SIZE], hosts[HOSTS][MACHINE_FINGERPRINT_SIZE];
} World;

static size_t n_warnings;

static void count_warning(_unused_ const char *line)
{
    n_warnings++;
}

static void world_done(const World *w)
{
    place_freep(&(Place *){w->place});
    EVP_PKEY_free(w->key);
    X509_free(w->issuer);
    tree_remove(w->path);
}

static Fleet fleet_of(const World *w)
{
    return (Fleet){.place = w->place, .issuer = w->issuer, .key = w->key, .warn = count_warning};
}

static int put(const World *w, const char *key, const char *text)
{
    return w->place->type->change(w->place, (PlaceChange[]){{key, text, PLACE_ANY}}, 1);
}

/* Puts the certificate of a new machine. */
static int enrol(const World *w, const char *name, char ret[static MACHINE_FINGERPRINT_SIZE])
{
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
    _cleanup_(X509_freep) X509 *certificate = NULL;
    _cleanup_(freep) char *pem = NULL;
    char path[PLACE_KEY_SIZE];

    if (machine_key_new(&key) < 0 || machine_certificate(key, name, false, &certificate) < 0 ||
        machine_certificate_to_pem(certificate, &pem) < 0 || machine_fingerprint(key, ret) < 0)
        return -EIO;
    place_key(path, "machines/%s/certificate", ret);
    return put(w, path, pem);
}

static int approve_all(const World *w)
{
    _cleanup_(fleet_done) Fleet f = fleet_of(w);
    int r = fleet_load(&f);

    for (size_t i = 0; i < f.n_machines && r == 0; i++)
        r = fleet_approve(&f, i, i + 1);
    return r;
}

static bool world_make(World *w)
{
    strcpy(w->path, "/dev/shm/keyd-fleet.XXXXXX");
    n_warnings = 0;
    if (!mkdtemp(w->path) || place_open_directory(w->path, &w->place) < 0 ||
        machine_key_new(&w->key) < 0 || machine_certificate(w->key, NULL, true, &w->issuer) < 0 ||
        enrol(w, "nqn.2026-11.org.example:t", w->target) < 0)
        return false;
    for (size_t i = 0; i < HOSTS; i++)
        if (enrol(w, "nqn.2026-11.org.example:h", w->hosts[i]) < 0)
            return false;
    return approve_all(w) == 0;
}

#define WORLD                                                                                      \
    _cleanup_(world_done) World w = {.place = NULL};                                               \
    ASSERT_TRUE(world_make(&w))

static FleetPair new_pair(const World *w, size_t i)
{
    FleetPair p = {.subsysnqn = SUBSYSTEM, .hash = PSK_HASH_SHA256, .versions = 2};

    (void)snprintf(p.hostnqn, sizeof(p.hostnqn), "nqn.2026-11.org.example:h%zu", i);
    strcpy(p.host, w->hosts[i % HOSTS]);
    strcpy(p.target, w->target);
    (void)!fleet_pair_id(p.hostnqn, p.subsysnqn, p.id);
    return p;
}

static int issue_pairs(const World *w, size_t n)
{
    _cleanup_(fleet_done) Fleet f = fleet_of(w);
    int r = fleet_load(&f);

    for (size_t i = 0; i < n && r == 0; i++) {
        FleetPair p = new_pair(w, i);

        r = fleet_issue(&f, &p, PLACE_ABSENT, 1000 + i);
    }
    return r;
}

TEST(load)
{
    WORLD;
    _cleanup_(fleet_done) Fleet f = fleet_of(&w);

    ASSERT_OK(issue_pairs(&w, 2));
    ASSERT_OK(fleet_load(&f));
    ASSERT_EQ(f.n, 2);
    ASSERT_EQ(f.n_machines, HOSTS + 1);
    ASSERT_TRUE(f.machines[0].approved && !f.machines[0].revoked && f.machines[0].online);
    ASSERT_EQ(plan_state(&f.plan[0]), PLAN_WAITING_TARGET);
    ASSERT_TRUE(!f.plan[0].undelivered);
    ASSERT_STR(f.machines[f.entries[0].target].fingerprint, w.target);
    ASSERT_EQ(n_warnings, 0);
}

/* Two administrators: the second one has not seen what the first one did. */
TEST(one_of_two_changes)
{
    WORLD;
    _cleanup_(fleet_done) Fleet one = fleet_of(&w), two = fleet_of(&w);
    FleetPair again = new_pair(&w, 0);

    ASSERT_OK(issue_pairs(&w, 1));
    ASSERT_EQ(fleet_issue(&one, &again, PLACE_ABSENT, 5000), -ENOKEY);
    ASSERT_OK(fleet_load(&one));
    ASSERT_OK(fleet_load(&two));
    ASSERT_EQ(fleet_issue(&one, &again, PLACE_ABSENT, 5000), -ESTALE);
    ASSERT_OK(fleet_renew(&one, 0, false, 6000));
    ASSERT_EQ(fleet_renew(&two, 0, false, 7000), -ESTALE);
}

/* A clock that was put back does not make a generation that machines refuse. */
TEST(generation_rises)
{
    WORLD;
    _cleanup_(fleet_done) Fleet f = fleet_of(&w);

    ASSERT_OK(issue_pairs(&w, 1));
    ASSERT_OK(fleet_load(&f));
    ASSERT_OK(fleet_renew(&f, 0, false, 1));
    ASSERT_EQ(f.entries[0].pair.generation, 1001);
}

TEST(values_in_the_place_of_others)
{
    WORLD;
    _cleanup_(fleet_done) Fleet f = fleet_of(&w);
    _cleanup_(place_value_done) PlaceValue pair = {.size = 0}, approval = {.size = 0};
    FleetPair one = new_pair(&w, 0), two = new_pair(&w, 1);
    char key[PLACE_KEY_SIZE];

    ASSERT_OK(issue_pairs(&w, 2));
    place_key(key, "pairs/%s", one.id);
    ASSERT_OK(w.place->type->get(w.place, key, &pair));
    place_key(key, "pairs/%s", two.id);
    ASSERT_OK(put(&w, key, pair.data));
    place_key(key, "machines/%s/approved", w.hosts[0]);
    ASSERT_OK(w.place->type->get(w.place, key, &approval));
    place_key(key, "machines/%s/approved", w.hosts[1]);
    ASSERT_OK(put(&w, key, approval.data));
    ASSERT_OK(fleet_load(&f));
    ASSERT_EQ(f.n, 1);
    ASSERT_STR(f.entries[0].pair.id, one.id);
    ASSERT_TRUE(!f.machines[fleet_find_machine(&f, w.hosts[1])].approved);
    ASSERT_EQ(f.n_refused, 2);
    ASSERT_EQ(n_warnings, 2);
}

TEST(revoked_machine)
{
    WORLD;
    _cleanup_(fleet_done) Fleet f = fleet_of(&w), after = fleet_of(&w);
    FleetPair p = new_pair(&w, 0);

    ASSERT_OK(issue_pairs(&w, 1));
    ASSERT_OK(fleet_load(&f));
    ASSERT_OK(fleet_revoke(&f, fleet_find_machine(&f, w.hosts[0]), 9));
    ASSERT_EQ(fleet_renew(&f, 0, false, 2000), -ENOKEY);
    ASSERT_EQ(fleet_issue(&f, &p, PLACE_ANY, 2000), -ENOKEY);
    ASSERT_OK(fleet_load(&after));
    ASSERT_EQ(plan_state(&after.plan[0]), PLAN_FAILED);
    ASSERT_OK(fleet_renew(&after, 0, true, 2000));
    ASSERT_EQ(plan_state(&after.plan[0]), PLAN_WAITING_TARGET);
}

/* As in etcd, where presence is under a lease. */
TEST(presence)
{
    WORLD;
    PlaceType type = *w.place->type;
    _cleanup_(fleet_done) Fleet f = fleet_of(&w), after = fleet_of(&w);
    char key[PLACE_KEY_SIZE];

    type.has_presence = true;
    w.place->type = &type;
    ASSERT_OK(issue_pairs(&w, 1));
    ASSERT_OK(fleet_load(&f));
    ASSERT_TRUE(!f.machines[0].online);
    ASSERT_EQ(plan_state(&f.plan[0]), PLAN_OFFLINE);
    place_key(key, "machines/%s/presence", w.target);
    ASSERT_OK(put(&w, key, "{}"));
    ASSERT_OK(fleet_refresh(&f, fleet_find_machine(&f, w.target)));
    fleet_note_presence(&f, 0);
    ASSERT_EQ(plan_state(&f.plan[0]), PLAN_WAITING_TARGET);
    /* Its report has no effect on that. */
    place_key(key, "machines/%s/status", w.target);
    ASSERT_OK(put(&w, key,
                  "{\"format\":\"nvme-keyd status\",\"version\":1,\"pairs\":[{\"hostNQN\":"
                  "\"nqn.2026-11.org.example:h0\",\"subsystemNQN\":\"" SUBSYSTEM
                  "\",\"generation\":1000,\"state\":\"active\"}]}"));
    ASSERT_OK(fleet_load(&after));
    ASSERT_EQ(plan_state(&after.plan[0]), PLAN_OFFLINE);
    ASSERT_TRUE(!after.plan[0].target.offline && after.plan[0].host.offline);
}

static size_t pairs_wanted(void)
{
    const char *s = getenv("FLEET_TEST_PAIRS");

    return s ? strtoul(s, NULL, 10) : PAIRS;
}

TEST(many_pairs)
{
    WORLD;
    _cleanup_(fleet_done) Fleet f = fleet_of(&w);
    size_t n = pairs_wanted(), undelivered = 0;
    uint64_t began = now_monotonic(), issued;

    ASSERT_OK(issue_pairs(&w, n));
    issued = now_monotonic();
    ASSERT_OK(fleet_load(&f));
    printf("# %zu pairs: issued in %llu ms, loaded in %llu ms\n", n,
           (unsigned long long)(issued - began) / 1000,
           (unsigned long long)(now_monotonic() - issued) / 1000);
    ASSERT_EQ(f.n, n);
    for (size_t i = 0; i < n; i++) {
        undelivered += f.plan[i].undelivered;
        ASSERT_TRUE(i == 0 || strcmp(f.entries[i - 1].pair.id, f.entries[i].pair.id) < 0);
    }
    ASSERT_EQ(undelivered, 0);
}
