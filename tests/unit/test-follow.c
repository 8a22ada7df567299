/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keyd-fixture.h"
#include "nvme-keyd/manager/follow.h"
#include "probe-helper.h"
#include "probe/packet.h"
#include "sysfs-fixture.h"

/* Switching of a host: only when each target that can be reached accepts the key. The helper of
 * these tests answers by the port of the target: its ProbeAnswer and PORT. */
#define PORT 4420

static int answer_by_port(const ProbeRequest *q, _unused_ int fd, ProbeReply *ret)
{
    probe_reply_set(ret, (ProbeAnswer)(q->target.port - PORT), "as asked");
    return 0;
}

static void put_controller(const Sysfs *s, const char *name, const char *state, ProbeAnswer answer)
{
    char address[64];

    (void)snprintf(address, sizeof(address), "traddr=192.0.2.1,trsvcid=%d\n", PORT + (int)answer);
    sysfs_put(s, name, state, HOST, SUBSYSTEM, "00000007\n", NULL);
    sysfs_write(s, name, "address", address);
}

typedef struct Seen {
    Verdict verdict;
    size_t n_results;
    char detail[256];
    bool again, repeated;
    unsigned calls;
} Seen;

static void on_attempt(const AttemptResult *r, void *userdata)
{
    Seen *seen = userdata;

    *seen = (Seen){r->verdict, r->n_results, "", r->again, r->repeated, seen->calls + 1};
    (void)snprintf(seen->detail, sizeof(seen->detail), "%s", r->detail ? r->detail : "");
}

static bool run_until(const Fixture *f, const Seen *seen, unsigned calls)
{
    uint64_t end = now_monotonic() + 60 * USEC_PER_SEC;

    while (seen->calls < calls && now_monotonic() < end)
        if (sd_event_run(f->event, USEC_PER_SEC / 10) < 0)
            return false;
    return seen->calls >= calls;
}

/* A pending successor of an active key of a host. */
static Key *succeed(Fixture *f, Key **ret_old)
{
    _cleanup_(secret_freep) Secret *psk = fixture_psk(2);
    const Rotation q = {.key = {.hash = PSK_HASH_SHA256, .configured = psk}, .has_hash = true};
    _cleanup_(freep) char *detail = NULL, *warning = NULL;
    Key *k = NULL;

    *ret_old = fixture_add(f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    if (!*ret_old || manager_rotate(f->m, (*ret_old)->id, &q, &k, &warning, &detail) < 0)
        return NULL;
    return k;
}

#define ATTEMPT                                                                                    \
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();                                                   \
    _cleanup_(helper_stop) Helper helper = {.pid = 0};                                             \
    _cleanup_(freep) _unused_ char *detail = NULL;                                                 \
    _unused_ Seen seen = {.calls = 0};                                                             \
    Seen report = {.calls = 0};                                                                    \
    Key *old, *k;                                                                                  \
                                                                                                   \
    ASSERT_OK(helper_start(&helper, s.dir, answer_by_port));                                       \
    ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, s.dir, 1));                                            \
    FIXTURE;                                                                                       \
    follow_set_report(manager_follow(f.m), on_attempt, &report);                                   \
    k = succeed(&f, &old);                                                                         \
    ASSERT_TRUE(k && k->state == KEY_PENDING && old->state == KEY_ACTIVE)

TEST(judge)
{
    static const struct {
        ProbeAnswer answers[3];
        size_t n;
        Verdict verdict;
    } cases[] = {
        {{0}, 0, VERDICT_NO_PATH},
        {{PROBE_ACCEPTED}, 1, VERDICT_ACCEPTED},
        {{PROBE_OWN}, 1, VERDICT_ACCEPTED},
        {{PROBE_REFUSED}, 1, VERDICT_REFUSED},
        {{PROBE_NO_TLS}, 1, VERDICT_REFUSED},
        {{PROBE_UNREACHABLE}, 1, VERDICT_UNREACHABLE},
        {{PROBE_UNAVAILABLE}, 1, VERDICT_UNKNOWN},
        {{PROBE_ACCEPTED, PROBE_UNREACHABLE}, 2, VERDICT_ACCEPTED},
        {{PROBE_ACCEPTED, PROBE_REFUSED}, 2, VERDICT_REFUSED},
        {{PROBE_ACCEPTED, PROBE_ACCEPTED, PROBE_NO_TLS}, 3, VERDICT_REFUSED},
        {{PROBE_ACCEPTED, PROBE_UNAVAILABLE}, 2, VERDICT_UNKNOWN},
        {{PROBE_UNREACHABLE, PROBE_UNAVAILABLE}, 2, VERDICT_UNKNOWN},
        {{PROBE_UNAVAILABLE, PROBE_REFUSED}, 2, VERDICT_REFUSED},
        {{PROBE_UNREACHABLE, PROBE_UNREACHABLE, PROBE_OWN}, 3, VERDICT_ACCEPTED},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ProbeResult results[3] = {{.answer = PROBE_ACCEPTED}};

        for (size_t j = 0; j < cases[i].n; j++)
            results[j].answer = cases[i].answers[j];
        if (follow_judge(results, cases[i].n) != cases[i].verdict)
            TEST_FAIL("case %zu", i);
    }
}

TEST(accepted)
{
    ATTEMPT;

    put_controller(&s, "nvme0", "live", PROBE_ACCEPTED);
    put_controller(&s, "nvme1", "connecting", PROBE_UNREACHABLE);
    ASSERT_OK(follow_try(manager_follow(f.m), k->id, NULL, on_attempt, &seen, &detail));
    ASSERT_TRUE(follow_is_busy(manager_follow(f.m)));
    ASSERT_EQ(k->state, KEY_PENDING);
    ASSERT_TRUE(run_until(&f, &seen, 1));
    ASSERT_EQ(seen.verdict, VERDICT_ACCEPTED);
    ASSERT_EQ(seen.n_results, 2);
    ASSERT_STR(seen.detail, "");
    ASSERT_EQ(report.calls, 1);
    ASSERT_EQ(k->state, KEY_ACTIVE);
    ASSERT_TRUE(k->confirmed_usec > 0);
    ASSERT_EQ(old->state, KEY_RETIRING);
    ASSERT_TRUE(ring_has_key(k, 1));
    ASSERT_EQ(ring_size(), 1);
    ASSERT_TRUE(!follow_is_busy(manager_follow(f.m)));
}

/* Nothing consents to the switch. */
TEST(no_path)
{
    ATTEMPT;

    ASSERT_OK(follow_try(manager_follow(f.m), k->id, NULL, on_attempt, &seen, &detail));
    ASSERT_TRUE(run_until(&f, &seen, 1));
    ASSERT_EQ(seen.verdict, VERDICT_NO_PATH);
    ASSERT_TRUE(strstr(seen.detail, "no controller"));
    ASSERT_EQ(k->state, KEY_PENDING);
}

/* A host without a controller may ask a target by its address. */
TEST(an_address)
{
    ProbeTarget target = {.address = "192.0.2.1", .port = PORT + PROBE_REFUSED};
    ATTEMPT;

    ASSERT_OK(follow_try(manager_follow(f.m), k->id, &target, on_attempt, &seen, &detail));
    ASSERT_TRUE(run_until(&f, &seen, 1));
    ASSERT_EQ(seen.verdict, VERDICT_REFUSED);
    target.port = PORT + PROBE_ACCEPTED;
    ASSERT_OK(follow_try(manager_follow(f.m), k->id, &target, on_attempt, &seen, &detail));
    ASSERT_TRUE(run_until(&f, &seen, 2));
    ASSERT_EQ(k->state, KEY_ACTIVE);
    ASSERT_TRUE(k->confirmed_usec > 0);
}

/* A target on this machine has the same ring, so it cannot prove anything before the switch. */
TEST(own)
{
    ATTEMPT;

    k->role = old->role = KEY_ROLE_BOTH;
    put_controller(&s, "nvme0", "live", PROBE_OWN);
    ASSERT_OK(follow_try(manager_follow(f.m), k->id, NULL, on_attempt, &seen, &detail));
    ASSERT_TRUE(run_until(&f, &seen, 1));
    ASSERT_EQ(seen.verdict, VERDICT_ACCEPTED);
    ASSERT_EQ(k->state, KEY_ACTIVE);
    ASSERT_EQ(k->confirmed_usec, 0);
}

TEST(refused)
{
    ATTEMPT;

    put_controller(&s, "nvme0", "live", PROBE_ACCEPTED);
    put_controller(&s, "nvme1", "live", PROBE_REFUSED);
    ASSERT_OK(follow_try(manager_follow(f.m), k->id, NULL, on_attempt, &seen, &detail));
    ASSERT_TRUE(run_until(&f, &seen, 1));
    ASSERT_EQ(seen.verdict, VERDICT_REFUSED);
    ASSERT_TRUE(strstr(seen.detail, "does not accept it yet"));
    ASSERT_EQ(k->state, KEY_PENDING);
    ASSERT_EQ(old->state, KEY_ACTIVE);
    ASSERT_TRUE(ring_has_key(old, 1));
    ASSERT_EQ(ring_size(), 1);
    ASSERT_TRUE(!seen.again && !follow_is_busy(manager_follow(f.m)));
    ASSERT_OK(manager_activate(f.m, k->id, false, &detail));
    ASSERT_EQ(follow_try(manager_follow(f.m), k->id, NULL, on_attempt, &seen, &detail), -EBUSY);
    ASSERT_EQ(follow_try(manager_follow(f.m), "0123456789abcdef", NULL, on_attempt, &seen, &detail),
              -ENOENT);
    ASSERT_EQ(seen.calls, 1);
}

/* A key that follows its target is tried until the target has it, also by the next instance. */
TEST(follows)
{
    ReconcileResult result;
    char id[KEY_ID_SIZE];
    ATTEMPT;

    strcpy(id, k->id);
    put_controller(&s, "nvme0", "live", PROBE_REFUSED);
    ASSERT_OK(manager_set_following(f.m, k, true));
    follow_update(manager_follow(f.m));
    follow_update(manager_follow(f.m));
    ASSERT_TRUE(run_until(&f, &report, 2));
    ASSERT_TRUE(report.again && report.repeated);
    ASSERT_EQ(k->state, KEY_PENDING);

    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_OK(fixture_sync(&f, &result));
    report.calls = 0;
    follow_set_report(manager_follow(f.m), on_attempt, &report);
    follow_update(manager_follow(f.m));
    ASSERT_TRUE(follow_is_busy(manager_follow(f.m)));
    ASSERT_TRUE(run_until(&f, &report, 1));
    ASSERT_TRUE(!report.repeated && report.again);
    put_controller(&s, "nvme0", "live", PROBE_ACCEPTED);
    ASSERT_TRUE(run_until(&f, &report, 2));
    ASSERT_TRUE(!report.again);
    k = key_table_find(manager_keys(f.m), id);
    ASSERT_EQ(k->state, KEY_ACTIVE);
    ASSERT_TRUE(!k->follow && k->confirmed_usec > 0);
    ASSERT_TRUE(!follow_is_busy(manager_follow(f.m)));
}

/* Whatever ends the wait of a key ends its attempts. */
TEST(given_up)
{
    ATTEMPT;

    put_controller(&s, "nvme0", "live", PROBE_REFUSED);
    ASSERT_OK(manager_set_following(f.m, k, true));
    follow_update(manager_follow(f.m));
    ASSERT_TRUE(run_until(&f, &report, 1));
    ASSERT_TRUE(report.again);
    ASSERT_OK(fixture_remove(&f, k->id));
    follow_update(manager_follow(f.m));
    ASSERT_TRUE(!follow_is_busy(manager_follow(f.m)));
}

/* The caller of an attempt is answered even when the service stops. */
TEST(stopped)
{
    ATTEMPT;

    put_controller(&s, "nvme0", "live", PROBE_ACCEPTED);
    ASSERT_OK(follow_try(manager_follow(f.m), k->id, NULL, on_attempt, &seen, &detail));
    f.m = manager_free(f.m);
    ASSERT_EQ(seen.calls, 1);
    ASSERT_EQ(seen.verdict, VERDICT_UNKNOWN);
    ASSERT_TRUE(strstr(seen.detail, "stops"));
}

/* A person has decided about the key while its targets were asked. */
TEST(decided_meanwhile)
{
    ATTEMPT;

    put_controller(&s, "nvme0", "live", PROBE_ACCEPTED);
    ASSERT_OK(follow_try(manager_follow(f.m), k->id, NULL, on_attempt, &seen, &detail));
    /* The round begins. */
    ASSERT_TRUE(sd_event_run(f.event, USEC_PER_SEC) >= 0);
    ASSERT_OK(manager_retire(f.m, k->id, false, &detail));
    ASSERT_TRUE(run_until(&f, &seen, 1));
    ASSERT_TRUE(strstr(seen.detail, "changed meanwhile"));
    ASSERT_EQ(k->state, KEY_RETIRING);
    ASSERT_EQ(old->state, KEY_ACTIVE);
}

/* A plan ends the following, and so does dropping it. */
TEST(planned_instead)
{
    ATTEMPT;

    put_controller(&s, "nvme0", "live", PROBE_REFUSED);
    for (int i = 0; i < 2; i++) {
        ASSERT_OK(manager_set_following(f.m, k, true));
        follow_update(manager_follow(f.m));
        ASSERT_OK(manager_plan(f.m, k->id, i == 0 ? KEY_STEP_ACTIVATE : KEY_STEP_NONE,
                               i == 0 ? now_realtime() + 3600 * USEC_PER_SEC : 0, false, &detail));
        follow_update(manager_follow(f.m));
        ASSERT_TRUE(!k->follow && !follow_is_busy(manager_follow(f.m)));
    }
    ASSERT_OK(manager_activate(f.m, k->id, false, &detail));
    ASSERT_EQ(manager_plan(f.m, old->id, KEY_STEP_ACTIVATE, now_realtime() + USEC_PER_SEC, false,
                           &detail),
              -EBUSY);
}
