/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/macro.h"
#include "test.h"
#include "varlink-fixture.h"
#include "varlink/connection.h"
#include "varlink/json-wire.h"
#include "varlink/limits.h"
#include "varlink/varlink.h"

/* Which connections are accepted, which one is next, and how much a peer may cost. */

/* Two users other than root; A has many connections. */
#define A 65521
#define B 65522
#define C 65523

static bool pinged(const Fixture *f, uid_t uid, unsigned n)
{
    return f->pinged_by[uid % USERS] == n;
}

/* Turns the loop until the user has had this number of answers. */
static bool pump_until(Fixture *f, uid_t uid, unsigned n)
{
    for (int i = 0; i < TURNS_MAX && !pinged(f, uid, n); i++)
        if (sd_event_run(f->event, 0) <= 0)
            break;
    return pinged(f, uid, n);
}

enum {
    CROWD = 60,
    CALLS = 20,
};

/* Another user has a turn after each call of one with many connections. */
TEST(fair_turns)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int crowd[CROWD], one;

    NEEDS_ROOT;
    varlink_server_set_authorize(f->server, NULL, NULL);
    open_all(f, crowd, CROWD, A);
    open_all(f, &one, 1, B);
    for (int i = 0; i < CROWD; i++)
        send_pings(crowd[i], CALLS);
    send_pings(one, CALLS);
    ASSERT_TRUE(pump_until(f, B, CALLS));
    ASSERT_TRUE(f->pinged_by[A % USERS] > 0);
    /* Each connection of A may have a turn before B is found to be ready. */
    ASSERT_TRUE(f->pinged_by[A % USERS] <= CROWD + CALLS + 1);
    ASSERT_TRUE(pump(f));
    ASSERT_TRUE(pinged(f, A, CROWD * CALLS));
    close_all(crowd, CROWD);
    close(one);
}

/* The same for a user who connects while the others are served. */
TEST(fair_to_newcomers)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int crowd[CROWD], one;
    unsigned before;

    NEEDS_ROOT;
    varlink_server_set_authorize(f->server, NULL, NULL);
    open_all(f, crowd, CROWD, A);
    for (int i = 0; i < CROWD; i++)
        send_pings(crowd[i], CALLS);
    ASSERT_TRUE(pump_until(f, A, 2 * CROWD));
    before = f->pinged_by[A % USERS];
    one = user_socket(f, B);
    send_pings(one, CALLS);
    ASSERT_TRUE(pump_until(f, B, CALLS));
    /* One turn for each call, one until it is accepted, and one until it is found to be ready. */
    ASSERT_TRUE(f->pinged_by[A % USERS] - before <= CALLS + 4);
    close_all(crowd, CROWD);
    close(one);
}

/* Returns -1 if the backlog is full. */
static int try_connect(const Fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    strcpy(address.sun_path, f->path);
    return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? TAKE_FD(fd) : -1;
}

/* Connects and hangs up as this user until the backlog is full. Returns how often. */
static unsigned churn(const Fixture *f, uid_t uid)
{
    unsigned n = 0;
    int fd;

    if (seteuid(uid) < 0)
        abort();
    for (; (fd = try_connect(f)) >= 0; n++)
        close(fd);
    if (seteuid(0) < 0)
        abort();
    return n;
}

/* Turns the loop with a full backlog until the user has had this number of answers, or until limit
 * connections were accepted. Returns the number of those. */
static unsigned pump_in_churn(Fixture *f, uid_t uid, unsigned answers, unsigned limit)
{
    unsigned n = 0;

    while (!pinged(f, uid, answers) && n <= limit && sd_event_run(f->event, 0) > 0)
        n += churn(f, A);
    return n;
}

/* A user who only connects takes turns with the others, and root waits for one of those turns at
 * most after each batch. */
TEST(fair_to_those_within)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    const unsigned limit = (2 * CALLS + 4) * VARLINK_ACCEPT_BATCH;
    unsigned backlog, before;
    int one, root;

    NEEDS_ROOT;
    varlink_server_set_authorize(f->server, NULL, NULL);
    open_all(f, &one, 1, B);
    send_pings(one, 4 * CALLS);
    backlog = churn(f, A);
    ASSERT_TRUE(backlog > 2 * VARLINK_ACCEPT_BATCH);
    /* A batch, A's turn, a batch, B's turn. */
    ASSERT_TRUE(pump_in_churn(f, B, CALLS, limit) <= limit);

    while ((root = try_connect(f)) < 0)
        ASSERT_TRUE(sd_event_run(f->event, 0) > 0);
    send_pings(root, 1);
    before = f->pinged_by[B % USERS];
    (void)pump_in_churn(f, 0, 1, 2 * backlog);
    ASSERT_TRUE(pinged(f, 0, 1));
    ASSERT_TRUE(f->pinged_by[B % USERS] - before <= backlog / VARLINK_ACCEPT_BATCH + 2);
    close(one);
    close(root);
}

/* Root's calls come first, also on a new connection. */
TEST(root_first)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int crowd[CROWD], root;

    NEEDS_ROOT;
    open_all(f, crowd, CROWD, A);
    for (int i = 0; i < CROWD; i++)
        send_pings(crowd[i], CALLS);
    root = client_socket(f);
    send_pings(root, CALLS);
    ASSERT_TRUE(pump_until(f, 0, CALLS));
    ASSERT_EQ(f->pinged_by[A % USERS], 0);
    ASSERT_TRUE(pump(f));
    close_all(crowd, CROWD);
    close(root);
}

/* An event source with an urgent priority waits for one turn at most, of root or of another
 * user. */
static int on_urgent(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    Fixture *f = userdata;

    (void)fd;
    (void)events;
    f->ready = true;
    return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

TEST(urgent_first)
{
    _cleanup_(sd_event_source_unrefp) sd_event_source *urgent = NULL;
    int crowd[CROWD], fds[2];
    FIXTURE;

    ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    ASSERT_TRUE(sd_event_add_io(f->event, &urgent, fds[0], EPOLLIN, on_urgent, f) >= 0);
    open_all(f, crowd, CROWD, A);
    send_pings(fd, CALLS);
    for (int i = 0; i < CROWD; i++)
        send_pings(crowd[i], CALLS);
    ASSERT_TRUE(sd_event_run(f->event, 0) > 0);
    ASSERT_EQ(send(fds[1], "x", 1, 0), 1);
    f->pinged = 0;
    while (!f->ready)
        ASSERT_TRUE(sd_event_run(f->event, 0) > 0);
    ASSERT_TRUE(f->pinged <= 1);
    close_all(crowd, CROWD);
    close(fds[0]);
    close(fds[1]);
}

/* Users other than root share a number of connections; root has its own. */
TEST(connection_limits)
{
    enum {
        USER = VARLINK_USER_CONNECTIONS_MAX,
        OTHERS = VARLINK_OTHERS_CONNECTIONS_MAX,
        ROOT = VARLINK_CONNECTIONS_MAX,
    };
    int fds[OTHERS + ROOT + 10], n = 0;
    _cleanup_(fixture_freep) Fixture *f = fixture_new();

    while (n < USER + 5)
        fds[n++] = user_socket(f, A);
    ASSERT_TRUE(pump(f));
    if (geteuid() == 0) {
        ASSERT_EQ(varlink_server_connections(f->server), USER);
        ASSERT_TRUE(is_closed(f, fds[USER]));
        ASSERT_TRUE(!is_closed(f, fds[0]));
        ASSERT_EQ(f->refused, 5);
        ASSERT_STR(f->last_refused, "65521 -");
        while (n < OTHERS + 5)
            fds[n++] = user_socket(f, B);
        fds[n++] = user_socket(f, C);
        ASSERT_TRUE(is_closed(f, fds[n - 1]));
        ASSERT_EQ(varlink_server_connections(f->server), OTHERS);
        while (n < OTHERS + ROOT + 7)
            fds[n++] = client_socket(f);
        ASSERT_TRUE(pump(f));
        ASSERT_EQ(varlink_server_connections(f->server), OTHERS + ROOT);
        ASSERT_TRUE(is_closed(f, fds[n - 1]));
    }
    close_all(fds, (size_t)n);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(varlink_server_connections(f->server), 0);
}

/* When there is no room, the user with most connections loses the one that was idle longest. */
TEST(idle_gives_way)
{
    enum {
        HALF = VARLINK_OTHERS_CONNECTIONS_MAX / 2
    };
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int a[HALF], b[HALF - 1], c[2];

    NEEDS_ROOT;
    varlink_server_set_authorize(f->server, NULL, NULL);
    open_all(f, b, HALF - 1, B);
    open_all(f, a, HALF, A);
    open_all(f, c, 1, C);
    wait_usec(VARLINK_SCARCE_IDLE_USEC + VARLINK_SCARCE_IDLE_USEC / 4);
    /* The first one is no longer idle. */
    send_pings(a[0], 1);
    ASSERT_TRUE(pump(f));
    open_all(f, c + 1, 1, C);
    ASSERT_TRUE(!is_closed(f, a[0]));
    ASSERT_TRUE(is_closed(f, a[1]));
    for (int i = 0; i < HALF - 1; i++)
        ASSERT_TRUE(!is_closed(f, b[i]));
    ASSERT_TRUE(!is_closed(f, c[0]));
    ASSERT_TRUE(!is_closed(f, c[1]));
    close_all(a, HALF);
    close_all(b, HALF - 1);
    close_all(c, 2);
}

#define WATCH "{\"method\":\"org.example.test.Watch\",\"more\":true}"

/* Connections that only wait for events stay, except where a new one needs their room. */
TEST(watchers_give_way)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int fds[VARLINK_USER_CONNECTIONS_MAX], more;

    NEEDS_ROOT;
    f->server->others_idle_usec = USEC_PER_SEC / 20;
    varlink_server_set_authorize(f->server, NULL, NULL);
    open_all(f, fds, VARLINK_USER_CONNECTIONS_MAX, A);
    for (int i = 0; i < VARLINK_USER_CONNECTIONS_MAX; i++)
        SEND(f, fds[i], WATCH);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->streams, VARLINK_USER_CONNECTIONS_MAX);
    wait_usec(VARLINK_SCARCE_IDLE_USEC + VARLINK_SCARCE_IDLE_USEC / 4);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->streams, VARLINK_USER_CONNECTIONS_MAX);
    open_all(f, &more, 1, A);
    ASSERT_TRUE(!is_closed(f, more));
    ASSERT_EQ(f->streams, VARLINK_USER_CONNECTIONS_MAX - 1);
    close_all(fds, VARLINK_USER_CONNECTIONS_MAX);
    close_all(&more, 1);
}

/* After a long time an idle connection is closed in any case, except root's, and except one whose
 * call waits for the store. */
TEST(idle_ends)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int waiting, idle, root;

    NEEDS_ROOT;
    f->server->others_idle_usec = USEC_PER_SEC / 20;
    varlink_server_set_authorize(f->server, NULL, NULL);
    root = client_socket(f);
    waiting = user_socket(f, A);
    idle = user_socket(f, A);
    SEND(f, waiting, "{\"method\":\"org.example.test.Wait\"}");
    for (int i = 0; i < 100 && !is_closed(f, idle); i++)
        wait_usec(USEC_PER_SEC / 20);
    ASSERT_TRUE(is_closed(f, idle));
    ASSERT_TRUE(!is_closed(f, waiting));
    ASSERT_TRUE(!is_closed(f, root));
    close(idle);
    close(waiting);
    close(root);
}

#define STREAM                                                                                     \
    "{\"method\":\"org.example.test.Stream\",\"parameters\":{\"n\":1000000,\"size\":1000},"        \
    "\"more\":true}"

/* A peer that does not read costs the buffers of its socket and little more, whichever user it
 * is. */
TEST(stream_pauses)
{
    const uid_t users[] = {0, A};

    for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
        _cleanup_(fixture_freep) Fixture *f = fixture_new();
        int fd = user_socket(f, users[i]);
        unsigned paused;

        varlink_server_set_authorize(f->server, NULL, NULL);
        SEND(f, fd, STREAM "\0" PING);
        ASSERT_TRUE(pump(f));
        paused = f->streamed;
        ASSERT_TRUE(paused > 10 && paused < 1000);
        ASSERT_TRUE(varlink_buffer_size(&f->server->connections->output) <=
                    VARLINK_OUTPUT_PAUSE + 2000);
        ASSERT_EQ(f->pinged, 0);
        ASSERT_EQ(f->streams, 1);
        close(fd);
        ASSERT_TRUE(pump(f));
        ASSERT_EQ(varlink_server_connections(f->server), 0);
        ASSERT_EQ(f->streams, 0);
    }
}

/* Each reply of a stream says whether another one follows, and no call overtakes it. */
TEST(stream_ends)
{
    char text[100];
    FIXTURE;

    SEND(f, fd,
         "{\"method\":\"org.example.test.Stream\",\"parameters\":{\"n\":3},\"more\":true}\0" PING);
    for (int i = 1; i <= 3; i++) {
        snprintf(text, sizeof(text), "{\"parameters\":{\"i\":%d,\"text\":\"\"}%s}", i,
                 i < 3 ? ",\"continues\":true" : "");
        ASSERT_STR(next_text(f, fd, &in), text);
        ASSERT_TRUE(i == 3 || f->pinged == 0 || f->streams == 0);
    }
    ASSERT_STR(next_text(f, fd, &in), PONG);
    ASSERT_EQ(f->streams, 0);
    ASSERT_EQ(f->streamed, 3);
}

/* Users other than root have short messages, so an unfinished one costs little. */
TEST(message_of_others)
{
    _cleanup_(varlink_buffer_donep) VarlinkBuffer in = VARLINK_BUFFER(VARLINK_MESSAGE_MAX);
    char text[VARLINK_OTHERS_MESSAGE_MAX + 2];
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int fd;

    NEEDS_ROOT;
    fd = user_socket(f, A);
    memset(text, ' ', sizeof(text));
    memcpy(text, PING, strlen(PING));
    text[sizeof(text) - 2] = '\0';
    varlink_server_set_authorize(f->server, NULL, NULL);
    send_text(f, fd, text, sizeof(text) - 1);
    ASSERT_STR(next_text(f, fd, &in), PONG);
    text[sizeof(text) - 2] = ' ';
    send_text(f, fd, text, sizeof(text));
    ASSERT_TRUE(is_closed(f, fd));
    close(fd);
}

enum {
    SHORT_WAIT_SIZE = 520, /* takes twice as much locked memory */
    SHORT_FIT = 128,
};

static void send_wait(Fixture *f, int fd, size_t size)
{
    _cleanup_(freep) char *text = malloc(size + 1);

    memset(text, ' ', size);
    memcpy(text, "{\"method\":\"org.example.test.Wait\"}", 34);
    text[size] = '\0';
    send_text(f, fd, text, size + 1);
}

/* Waiting calls with a secret leave some of the locked memory to others, whatever their size. */
TEST(parked_calls)
{
    static const struct {
        size_t size, fit;
    } cases[] = {{60000, 2}, {VARLINK_SHORT_MESSAGE_MAX, 1}, {SHORT_WAIT_SIZE, SHORT_FIT}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(varlink_buffer_donep) VarlinkBuffer in = VARLINK_BUFFER(VARLINK_MESSAGE_MAX);
        _cleanup_(fixture_freep) Fixture *f = fixture_new();
        size_t fit = cases[i].fit, used = CRYPTO_secure_used();
        int fds[SHORT_FIT + 1];

        NEEDS_ROOT;
        open_all(f, fds, fit + 1, 0);
        for (size_t n = 0; n < fit; n++)
            send_wait(f, fds[n], cases[i].size);
        ASSERT_EQ(f->server->parked, VARLINK_PARKED_MAX);
        ASSERT_EQ(CRYPTO_secure_used() - used, VARLINK_PARKED_MAX);
        send_wait(f, fds[fit], cases[i].size);
        ASSERT_STR(next_text(f, fds[fit], &in), FULL);
        f->ready = true;
        varlink_server_resume(f->server);
        ASSERT_TRUE(pump(f));
        ASSERT_EQ(f->server->parked, 0);
        ASSERT_EQ(CRYPTO_secure_used(), used);
        ASSERT_EQ(f->echoed, fit);
        close_all(fds, fit + 1);
    }
}

/* A call that is turned away costs its peer nothing else, and it may try again. */
TEST(turned_away)
{
    _cleanup_(varlink_buffer_donep) VarlinkBuffer in = VARLINK_BUFFER(VARLINK_MESSAGE_MAX),
                                                  first = VARLINK_BUFFER(VARLINK_MESSAGE_MAX);
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int fds[SHORT_FIT + 1], last;

    NEEDS_ROOT;
    open_all(f, fds, SHORT_FIT + 1, 0);
    last = fds[SHORT_FIT];
    for (size_t n = 0; n < SHORT_FIT; n++)
        send_wait(f, fds[n], SHORT_WAIT_SIZE);
    send_wait(f, last, SHORT_WAIT_SIZE);
    ASSERT_STR(next_text(f, last, &in), FULL);
    send_wait(f, last, SHORT_WAIT_SIZE);
    ASSERT_STR(next_text(f, last, &in), STILL_FULL);
    SEND(f, last, "{\"method\":\"org.example.test.Wait\",\"oneway\":true}\0" PING);
    ASSERT_STR(next_text(f, last, &in), PONG);
    /* The gate is asked again, and is still closed. */
    varlink_server_resume(f->server);
    ASSERT_TRUE(pump(f));
    send_wait(f, last, SHORT_WAIT_SIZE);
    ASSERT_STR(next_text(f, last, &in), FULL);
    /* A peer that hangs up makes room. */
    close(fds[1]);
    send_wait(f, last, SHORT_WAIT_SIZE);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->echoed, 0);
    f->ready = true;
    varlink_server_resume(f->server);
    ASSERT_STR(next_text(f, last, &in), PONG);
    ASSERT_STR(next_text(f, fds[0], &first), PONG);
    ASSERT_EQ(f->echoed, SHORT_FIT);
    fds[1] = last;
    close_all(fds, SHORT_FIT);
}
