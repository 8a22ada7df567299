/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/io.h"
#include "nvme-keyd/probe/limits.h"
#include "nvme-keyd/probe/prober.h"
#include "test.h"
#include "tls-peer.h"
#include "tree.h"

/* The helper is this program: it takes the connections of the prober. */
typedef struct Bench {
    char dir[64];
    char path[80];
    int listener;
    sd_event *event;
    Prober *prober;
    uint8_t psk[PSK_SIZE_MAX];
    ProbeTarget target;
    /* of the handlers */
    size_t n_answers;
    ProbeAnswer answer;
    char detail[PROBE_DETAIL_MAX + 1];
} Bench;

static void bench_done(Bench *b)
{
    prober_free(b->prober);
    closep(&b->listener);
    sd_event_unref(b->event);
    if (b->dir[0])
        tree_remove(b->dir);
}

static int bench_listen(Bench *b)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    strcpy(a.sun_path, b->path);
    b->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (b->listener < 0 || bind(b->listener, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        listen(b->listener, 64) < 0)
        return -errno;
    return 0;
}

static int bench_new(Bench *b)
{
    const char *what;

    strcpy(b->dir, "/tmp/keyd-prober.XXXXXX");
    if (!mkdtemp(b->dir))
        return -errno;
    (void)snprintf(b->path, sizeof(b->path), "%s/probe", b->dir);
    peer_psk(1, b->psk, sizeof(b->psk));
    if (sd_event_new(&b->event) < 0 || prober_new(b->event, b->path, &b->prober) < 0)
        return -ENOMEM;
    return probe_target_set("::1", 4420, NULL, NULL, &b->target, &what);
}

#define BENCH                                                                                      \
    _cleanup_(bench_done) Bench b = {.listener = -EBADF};                                          \
                                                                                                   \
    ASSERT_OK(bench_new(&b))

static void on_answer(ProbeAnswer answer, const char *detail, void *userdata)
{
    Bench *b = userdata;

    b->n_answers++;
    b->answer = answer;
    strcpy(b->detail, detail);
}

static int start(Bench *b, Probe **ret)
{
    return probe_start(b->prober, &b->target, PEER_IDENTITY_1, b->psk, 32, false, on_answer, b,
                       ret);
}

/* Runs the loop until there are so many answers, and no longer than a minute. */
static bool run_until(Bench *b, size_t n_answers)
{
    uint64_t end = now_monotonic() + 60 * USEC_PER_SEC;

    while (b->n_answers < n_answers && now_monotonic() < end)
        if (sd_event_run(b->event, USEC_PER_SEC / 10) < 0)
            return false;
    return b->n_answers >= n_answers;
}

/* Lets the loop do what it can do at once. */
static void run_now(const Bench *b)
{
    while (sd_event_run(b->event, 0) > 0)
        ;
}

/* Takes a connection and its request. Returns its socket, or -1 if there is none. */
static int take_request(const Bench *b)
{
    int fd = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    ProbeRequest q;
    PskHash hash;

    if (fd < 0 || recv(fd, &q, sizeof(q), 0) != sizeof(q) ||
        probe_request_check(&q, sizeof(q), &hash) < 0 || memcmp(q.psk, b->psk, 32) != 0 ||
        strcmp(q.identity, PEER_IDENTITY_1) != 0 || strcmp(q.target.address, "::1") != 0) {
        closep(&fd);
        return -1;
    }
    return fd;
}

static void reply(int fd, ProbeAnswer answer, const char *detail)
{
    ProbeReply r;

    probe_reply_set(&r, answer, detail);
    (void)!write(fd, &r, sizeof(r));
}

TEST(an_answer)
{
    _cleanup_(probe_freep) Probe *probe = NULL;
    int fd;

    BENCH;
    ASSERT_OK(bench_listen(&b));
    ASSERT_OK(start(&b, &probe));
    ASSERT_EQ(b.n_answers, 0);
    run_now(&b);
    fd = take_request(&b);
    ASSERT_TRUE(fd >= 0);
    reply(fd, PROBE_ACCEPTED, "fine");
    run_now(&b);
    /* The service manager counts the helper until it ends. */
    ASSERT_EQ(b.n_answers, 0);
    close(fd);
    ASSERT_TRUE(run_until(&b, 1));
    ASSERT_EQ(b.answer, PROBE_ACCEPTED);
    ASSERT_STR(b.detail, "fine");
}

TEST(no_helper)
{
    _cleanup_(probe_freep) Probe *probe = NULL;

    BENCH;
    ASSERT_OK(start(&b, &probe));
    ASSERT_EQ(b.n_answers, 0);
    ASSERT_TRUE(run_until(&b, 1));
    ASSERT_EQ(b.answer, PROBE_UNAVAILABLE);
    ASSERT_TRUE(strstr(b.detail, "nvme-keyd-probe.socket"));
}

TEST(helper_ends_without_an_answer)
{
    _cleanup_(probe_freep) Probe *probe = NULL;
    int fd;

    BENCH;
    ASSERT_OK(bench_listen(&b));
    ASSERT_OK(start(&b, &probe));
    run_now(&b);
    fd = take_request(&b);
    ASSERT_TRUE(fd >= 0);
    close(fd);
    ASSERT_TRUE(run_until(&b, 1));
    ASSERT_EQ(b.answer, PROBE_UNAVAILABLE);
    ASSERT_TRUE(strstr(b.detail, "ended without an answer"));
}

TEST(malformed_answers)
{
    for (int i = 0; i < 2; i++) {
        _cleanup_(probe_freep) Probe *probe = NULL;
        int fd;

        BENCH;
        ASSERT_OK(bench_listen(&b));
        ASSERT_OK(start(&b, &probe));
        run_now(&b);
        fd = take_request(&b);
        ASSERT_TRUE(fd >= 0);
        if (i == 0)
            (void)!write(fd, "what", 4);
        else {
            reply(fd, PROBE_ACCEPTED, "one");
            reply(fd, PROBE_ACCEPTED, "and another");
        }
        ASSERT_TRUE(run_until(&b, 1));
        close(fd);
        ASSERT_EQ(b.answer, PROBE_UNAVAILABLE);
        ASSERT_TRUE(strstr(b.detail, "another form"));
    }
}

TEST(a_few_at_a_time)
{
    Probe *probes[PROBES_AT_ONCE + 3];
    int fds[PROBES_AT_ONCE];

    BENCH;
    ASSERT_OK(bench_listen(&b));
    ASSERT_OK(fcntl(b.listener, F_SETFL, O_NONBLOCK));
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
        ASSERT_OK(start(&b, &probes[i]));
    run_now(&b);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        ASSERT_TRUE((fds[i] = take_request(&b)) >= 0);
    ASSERT_EQ(take_request(&b), -1);

    /* One that is cancelled makes room as one that is over does. */
    probes[0] = probe_free(probes[0]);
    run_now(&b);
    close(fds[0]);
    ASSERT_TRUE((fds[0] = take_request(&b)) >= 0);
    ASSERT_EQ(take_request(&b), -1);
    close(fds[1]);
    ASSERT_TRUE(run_until(&b, 1));
    run_now(&b);
    ASSERT_TRUE((fds[1] = take_request(&b)) >= 0);

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
    /* The last one has a place now. */
    ASSERT_TRUE(run_until(&b, ARRAY_SIZE(fds) + 1));
    run_now(&b);
    ASSERT_TRUE((fds[0] = take_request(&b)) >= 0);
    close(fds[0]);
    ASSERT_TRUE(run_until(&b, ARRAY_SIZE(probes) - 1));
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
        probe_free(probes[i]);
}

TEST(cancelled)
{
    Probe *running, *waiting[PROBES_AT_ONCE];
    char byte;
    int fd;

    BENCH;
    ASSERT_OK(bench_listen(&b));
    ASSERT_OK(start(&b, &running));
    for (size_t i = 0; i < ARRAY_SIZE(waiting); i++)
        ASSERT_OK(start(&b, &waiting[i]));
    run_now(&b);
    fd = take_request(&b);
    ASSERT_TRUE(fd >= 0);
    probe_free(running);
    for (size_t i = 0; i < ARRAY_SIZE(waiting); i++)
        probe_free(waiting[i]);
    run_now(&b);
    ASSERT_EQ(b.n_answers, 0);
    ASSERT_EQ(read(fd, &byte, 1), 0);
    close(fd);
}

TEST(end_of_the_prober)
{
    Probe *probes[PROBES_AT_ONCE + 1];

    BENCH;
    ASSERT_OK(bench_listen(&b));
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
        ASSERT_OK(start(&b, &probes[i]));
    run_now(&b);
    b.prober = prober_free(b.prober);
    ASSERT_EQ(b.n_answers, ARRAY_SIZE(probes));
    ASSERT_EQ(b.answer, PROBE_UNAVAILABLE);
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
        probe_free(probes[i]);
}

TEST(limits)
{
    Probe *probes[PROBES_MAX], *one;

    BENCH;
    for (size_t i = 0; i < PROBES_MAX; i++)
        ASSERT_OK(start(&b, &probes[i]));
    ASSERT_EQ(start(&b, &one), -ENOBUFS);
    for (size_t i = 0; i < PROBES_MAX; i++)
        probe_free(probes[i]);
    ASSERT_EQ(
        probe_start(b.prober, &b.target, "no identity", b.psk, 32, false, on_answer, &b, &one),
        -EINVAL);
    b.target.port = 0;
    ASSERT_EQ(start(&b, &one), -EINVAL);
}
