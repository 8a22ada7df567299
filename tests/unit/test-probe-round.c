/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keyd-fixture.h"
#include "nvme-keyd/manager/probe-round.h"
#include "probe-helper.h"
#include "probe/look.h"
#include "sysfs-fixture.h"
#include "tls-peer.h"

#define OTHER_SUBSYSTEM "nqn.2026-11.org.example:other"

static int answer_by_tls(const ProbeRequest *q, int fd, ProbeReply *ret)
{
    PskHash hash;
    int r = probe_request_check(q, sizeof(*q), &hash);

    return r < 0 ? r : look_at_target(q, hash, fd, ret);
}

typedef struct Seen {
    ProbeResult results[4];
    size_t n;
    unsigned calls;
} Seen;

static void on_done(const ProbeResult *results, size_t n, void *userdata)
{
    Seen *seen = userdata;

    seen->calls++;
    seen->n = n;
    memcpy(seen->results, results, CONST_MIN(n, ARRAY_SIZE(seen->results)) * sizeof(*results));
}

static bool run(const Fixture *f, const Seen *seen)
{
    uint64_t end = now_monotonic() + 60 * USEC_PER_SEC;

    while (seen->calls == 0 && now_monotonic() < end)
        if (sd_event_run(f->event, USEC_PER_SEC / 10) < 0)
            return false;
    return seen->calls == 1;
}

#define ROUND                                                                                      \
    _cleanup_(sysfs_done) Sysfs s = sysfs_new();                                                   \
    _cleanup_(helper_stop) Helper helper = {.pid = 0};                                             \
    _cleanup_(probe_round_freep) ProbeRound *r = NULL;                                             \
    _cleanup_(freep) char *detail = NULL;                                                          \
    Seen seen = {.n = 0};                                                                          \
                                                                                                   \
    ASSERT_OK(helper_start(&helper, s.dir, answer_by_tls));                                        \
    ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, s.dir, 1));                                            \
    FIXTURE

/* The identity and TLS PSK of a key, for a peer that has it. */
static bool give(const Key *k, unsigned version, Peer *p, uint8_t *psk)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    const uint8_t *bytes;

    if (key_unseal(k, &payload) < 0 || key_payload_tls_psk(payload, version, &bytes, &p->size) < 0)
        return false;
    memcpy(psk, bytes, p->size);
    p->psk = psk;
    p->identity = k->identities[version];
    p->hash = k->hash;
    return true;
}

static ProbeTarget at(const Peer *p)
{
    ProbeTarget t;
    const char *what;

    if (probe_target_set("127.0.0.1", p->port, NULL, NULL, &t, &what) < 0)
        abort();
    return t;
}

static void put_controller(const Sysfs *s, const char *name, const char *subsysnqn,
                           const char *state, unsigned port)
{
    char address[64];

    (void)snprintf(address, sizeof(address), "traddr=127.0.0.1,trsvcid=%u,src_addr=127.0.0.1\n",
                   port);
    sysfs_put(s, name, state, HOST, subsysnqn, "00000007\n", NULL);
    sysfs_write(s, name, "address", address);
}

TEST(an_address)
{
    _cleanup_(peer_stop) Peer p = {.mode = PEER_TLS};
    uint8_t psk[PSK_SIZE_MAX];
    ProbeTarget target;
    Key *k;
    ROUND;

    /* Of its two identities the higher one is offered. */
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k && k->identities[0] && give(k, 1, &p, psk));
    cannot = peer_start(&p);
    if (cannot)
        TEST_SKIP(cannot);
    target = at(&p);
    ASSERT_OK(probe_round_start(f.m, k->id, &target, on_done, &seen, &r, &detail));
    ASSERT_EQ(seen.calls, 0);
    ASSERT_TRUE(run(&f, &seen));
    ASSERT_EQ(seen.n, 1);
    ASSERT_EQ(seen.results[0].answer, PROBE_ACCEPTED);
    ASSERT_STR(seen.results[0].controller, "");
    ASSERT_TRUE(strncmp(seen.results[0].address, "127.0.0.1:", 10) == 0);
    ASSERT_EQ(peer_result(&p), 'c');
}

static int answer_of(const Seen *seen, const char *controller)
{
    for (size_t i = 0; i < seen->n; i++)
        if (strcmp(seen->results[i].controller, controller) == 0)
            return (int)seen->results[i].answer;
    return -1;
}

TEST(controllers)
{
    _cleanup_(peer_stop) Peer p = {.mode = PEER_TLS}, closed = {.mode = PEER_CLOSES};
    uint8_t psk[PSK_SIZE_MAX];
    Key *k;
    ROUND;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k && give(k, 1, &p, psk));
    closed.psk = psk;
    cannot = peer_start(&p);
    if (!cannot)
        cannot = peer_start(&closed);
    if (cannot)
        TEST_SKIP(cannot);
    peer_stop(&closed);
    closed.pid = 0;
    put_controller(&s, "nvme0", SUBSYSTEM, "live", p.port);
    put_controller(&s, "nvme1", SUBSYSTEM, "live", closed.port);
    put_controller(&s, "nvme2", SUBSYSTEM, "connecting", closed.port);
    put_controller(&s, "nvme3", OTHER_SUBSYSTEM, "live", 1);
    ASSERT_OK(probe_round_start(f.m, k->id, NULL, on_done, &seen, &r, &detail));
    /* It does not need the key any more. */
    ASSERT_OK(manager_remove(f.m, k->id, true, &detail));
    ASSERT_TRUE(run(&f, &seen));
    ASSERT_EQ(seen.n, 3);
    ASSERT_EQ(answer_of(&seen, "nvme0"), PROBE_ACCEPTED);
    ASSERT_EQ(answer_of(&seen, "nvme1"), PROBE_UNREACHABLE);
    ASSERT_EQ(answer_of(&seen, "nvme2"), PROBE_UNREACHABLE);
}

/* Asks a target at an address of this machine, and removes the key again. */
static bool ask_own(Fixture *f, KeyRole role, ProbeRound **r, Seen *seen)
{
    _cleanup_(freep) char *detail = NULL;
    const Key *k = fixture_add(f, SUBSYSTEM, role, 1);
    bool done;

    seen->calls = 0;
    done =
        k && probe_round_start(f->m, k->id, NULL, on_done, seen, r, &detail) == 0 && run(f, seen);
    *r = probe_round_free(*r);
    return done && manager_remove(f->m, k->id, true, &detail) == 0;
}

static void ports_done(const Sysfs *s)
{
    (void)unsetenv(NAMES_ENV_TARGET_PORTS);
    sysfs_done(s);
}

/* A refusal there is consent only of the kernel's target, which has the ring. */
TEST(own_target)
{
    _cleanup_(ports_done) Sysfs ports = sysfs_new();
    uint8_t psk[PSK_SIZE_MAX] = {0};
    _cleanup_(peer_stop) Peer p = {.mode = PEER_LIKE_TLSHD, .psk = psk};
    char port[16];
    ROUND;

    (void)detail;
    cannot = peer_start(&p);
    if (cannot)
        TEST_SKIP(cannot);
    ASSERT_OK(setenv(NAMES_ENV_TARGET_PORTS, ports.dir, 1));
    put_controller(&s, "nvme0", SUBSYSTEM, "live", p.port);
    ASSERT_TRUE(ask_own(&f, KEY_ROLE_HOST, &r, &seen));
    ASSERT_EQ(seen.results[0].answer, PROBE_REFUSED);
    ASSERT_TRUE(strstr(seen.results[0].detail, "but not its kernel's target, the target closed"));
    ASSERT_TRUE(ask_own(&f, KEY_ROLE_BOTH, &r, &seen));
    ASSERT_EQ(seen.results[0].answer, PROBE_OWN);

    (void)snprintf(port, sizeof(port), "%u\n", p.port);
    sysfs_mkdir(&ports, "", "1");
    sysfs_write(&ports, "1", "addr_trtype", "tcp\n");
    sysfs_write(&ports, "1", "addr_tsas", "tls1.3\n");
    sysfs_write(&ports, "1", "addr_traddr", "127.0.0.1\n");
    sysfs_write(&ports, "1", "addr_trsvcid", port);
    sysfs_mkdir(&ports, "1", "subsystems");
    sysfs_mkdir(&ports, "1", "subsystems/nqn.x:s");
    ASSERT_TRUE(ask_own(&f, KEY_ROLE_HOST, &r, &seen));
    ASSERT_EQ(seen.results[0].answer, PROBE_OWN);
    ASSERT_TRUE(strstr(seen.results[0].detail, "the target of this machine, the target closed"));
}

static int answer_by_hash(const ProbeRequest *q, _unused_ int fd, ProbeReply *ret)
{
    probe_reply_set(ret, q->as_sha256 ? PROBE_REFUSED : PROBE_ACCEPTED, "");
    return 0;
}

static void program_done(const Sysfs *s)
{
    (void)unsetenv(NAMES_ENV_TLSHD_PROGRAM);
    sysfs_done(s);
}

/* A PSK of SHA-384 is offered as tlshd of this host would. */
TEST(as_tlshd_does)
{
    static const char *const programs[] = {"gnutls_psk_allocate_client_credentials",
                                           "gnutls_psk_allocate_client_credentials2"};
    _cleanup_(program_done) Sysfs program = sysfs_new();
    _cleanup_(secret_freep) Secret *psk = secret_new(48);
    const KeyRequest q = {.hostnqn = HOST,
                          .subsysnqn = SUBSYSTEM,
                          .role = KEY_ROLE_HOST,
                          .versions = KEY_VERSION_BIT(1),
                          .hash = PSK_HASH_SHA384,
                          .configured = psk};
    char path[64];
    Key *k;
    ROUND;

    helper_stop(&helper);
    ASSERT_OK(helper_start(&helper, program.dir, answer_by_hash));
    ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, s.dir, 1));
    (void)snprintf(path, sizeof(path), "%s/bin/tlshd", program.dir);
    ASSERT_OK(setenv(NAMES_ENV_TLSHD_PROGRAM, path, 1));
    ASSERT_TRUE(psk);
    memset(psk->data, 7, psk->size);
    sysfs_mkdir(&program, "", "bin");
    put_controller(&s, "nvme0", SUBSYSTEM, "live", 4420);
    ASSERT_OK(fixture_restart(&f) ? 0 : -EIO);
    ASSERT_OK(fixture_try(&f, &q, &k, &detail));
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

        ASSERT_TRUE(write(fd, programs[i], strlen(programs[i]) + 1) > 0);
        close(fd);
        seen.calls = 0;
        ASSERT_OK(probe_round_start(f.m, k->id, NULL, on_done, &seen, &r, &detail));
        ASSERT_TRUE(run(&f, &seen));
        r = probe_round_free(r);
        ASSERT_EQ(seen.results[0].answer, i == 0 ? PROBE_REFUSED : PROBE_ACCEPTED);
    }
}

TEST(nothing_to_ask)
{
    Key *k;
    ROUND;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    ASSERT_EQ(probe_round_start(f.m, "0123456789abcdef", NULL, on_done, &seen, &r, &detail),
              -ENOENT);
    ASSERT_EQ(probe_round_start(f.m, k->id, NULL, on_done, &seen, &r, &detail), -ENODEV);
    ASSERT_TRUE(strstr(detail, "no controller of this host"));
    /* The stand-in is no keyring that a controller would use. */
    ASSERT_OK(unsetenv(NAMES_ENV_CONTROLLERS));
    ASSERT_EQ(probe_round_start(f.m, k->id, NULL, on_done, &seen, &r, &detail), -ENODEV);
    ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, s.dir, 1));
    put_controller(&s, "nvme0", SUBSYSTEM, "live", 4420);
    sysfs_write(&s, "nvme0", "address", "0000:01:00.0\n");
    ASSERT_EQ(probe_round_start(f.m, k->id, NULL, on_done, &seen, &r, &detail), -EHOSTUNREACH);
    ASSERT_TRUE(strstr(detail, "nvme0 has an unknown form"));
    k->state = KEY_REVOKED;
    ASSERT_EQ(probe_round_start(f.m, k->id, NULL, on_done, &seen, &r, &detail), -EBUSY);
    ASSERT_TRUE(strstr(detail, "is revoked"));
    ASSERT_TRUE(!r);
    ASSERT_EQ(seen.calls, 0);
}

TEST(ended_early)
{
    _cleanup_(peer_stop) Peer p = {.mode = PEER_SILENT};
    uint8_t psk[PSK_SIZE_MAX];
    ProbeTarget target;
    Key *k;
    ROUND;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k && give(k, 1, &p, psk));
    cannot = peer_start(&p);
    if (cannot)
        TEST_SKIP(cannot);
    target = at(&p);
    ASSERT_OK(probe_round_start(f.m, k->id, &target, on_done, &seen, &r, &detail));
    r = probe_round_free(r);
    ASSERT_OK(probe_round_start(f.m, k->id, &target, on_done, &seen, &r, &detail));
    ASSERT_TRUE(sd_event_run(f.event, USEC_PER_SEC) >= 0);
    ASSERT_EQ(seen.calls, 0);
    f.m = manager_free(f.m);
    ASSERT_EQ(seen.calls, 1);
    ASSERT_EQ(seen.results[0].answer, PROBE_UNAVAILABLE);
}
