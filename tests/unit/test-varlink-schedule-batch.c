/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test.h"
#include "varlink-fixture.h"
#include "varlink/connection.h"
#include "varlink/limits.h"

/* Calls of batch methods that wait at the same time are flushed together, and nothing else sees a
 * batch that is being prepared. */

#define A 65521
#define B 65522

#define STAGE "{\"method\":\"org.example.test.Stage\"}"
#define STAGE_LATER "{\"method\":\"org.example.test.StageLater\"}"
#define REFUSED_STAGE "{\"method\":\"org.example.test.Stage\",\"parameters\":{\"refuse\":true}}"
#define REFUSED "{\"error\":\"org.example.test.Refused\",\"parameters\":{}}"

enum {
    N = VARLINK_BATCH_MAX,
    MANY = 3 * N + 4,
};

/* Sends without turning the loop. */
static void post(int fd, const char *text)
{
    if (send(fd, text, strlen(text) + 1, MSG_NOSIGNAL) != (ssize_t)strlen(text) + 1)
        abort();
}

static void post_all(const int *fds, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++)
        post(fds[i], text);
}

/* The next message to fd is this one, and no other follows. */
static bool gets(Fixture *f, int fd, const char *text)
{
    _cleanup_(varlink_buffer_donep) VarlinkBuffer in = VARLINK_BUFFER(VARLINK_MESSAGE_MAX);
    const char *got = next_text(f, fd, &in);

    return got && strcmp(got, text) == 0 && varlink_buffer_size(&in) == 0;
}

static bool all_get(Fixture *f, const int *fds, size_t n, const char *text)
{
    bool ok = true;

    for (size_t i = 0; i < n; i++)
        ok &= gets(f, fds[i], text);
    return ok;
}

/* Turns the loop until a batch was flushed. */
static bool pump_to_flush(Fixture *f, unsigned n)
{
    for (int i = 0; i < TURNS_MAX && f->flushes < n; i++)
        if (sd_event_run(f->event, 0) <= 0)
            break;
    return f->flushes == n;
}

/* Gives the connections their turns from the oldest to the newest, which the order of events does
 * not promise. */
static void schedule_in_order(const Fixture *f)
{
    VarlinkConnection *c = f->server->connections;

    while (c && c->next)
        c = c->next;
    for (; c; c = c->previous)
        varlink_schedule(c);
}

TEST(one_batch)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int fds[N];

    open_all(f, fds, N, 0);
    post_all(fds, N, STAGE);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->flushes, 1);
    ASSERT_EQ(f->staged_in_all, N);
    ASSERT_TRUE(all_get(f, fds, N, PONG));
    ASSERT_EQ(f->peeked, 0);
    close_all(fds, N);
}

/* A turn ends although more calls wait, so more urgent events come between two batches. */
TEST(bounded)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int fds[MANY];

    open_all(f, fds, MANY, 0);
    post_all(fds, MANY, STAGE);
    for (unsigned n = 1; n <= 4; n++) {
        ASSERT_TRUE(pump_to_flush(f, n));
        ASSERT_EQ(f->staged_in_all, n < 4 ? n * N : MANY);
    }
    ASSERT_TRUE(all_get(f, fds, MANY, PONG));
    ASSERT_EQ(f->flushes, 4);
    ASSERT_EQ(f->largest, N);
    close_all(fds, MANY);
}

/* A single call is flushed in its own turn, and its answer is sent in it. */
TEST(single)
{
    char c;
    FIXTURE;

    ASSERT_TRUE(pump(f));
    post(fd, STAGE);
    ASSERT_TRUE(pump_to_flush(f, 1));
    ASSERT_EQ(recv(fd, &c, 1, MSG_DONTWAIT), 1);
    ASSERT_EQ(f->staged_in_all, 1);
}

/* The second call of a connection waits for the answer to the first. */
TEST(one_of_each_connection)
{
    FIXTURE;

    post(fd, STAGE);
    post(fd, STAGE);
    ASSERT_STR(next_text(f, fd, &in), PONG);
    ASSERT_STR(next_text(f, fd, &in), PONG);
    ASSERT_EQ(f->flushes, 2);
    ASSERT_EQ(f->largest, 1);
}

/* Other methods, of any interface, their gates, and streams see no batch; they share the turn of
 * one. */
TEST(others_come_after)
{
    static const char *const others[] = {
        PING,
        "{\"method\":\"org.varlink.service.GetInfo\"}",
        "{\"method\":\"org.example.test.Stream\",\"parameters\":{\"n\":1},\"more\":true}",
        "{\"method\":\"org.example.test.Hold\"}",
        "{\"method\":\"org.example.test.Wait\"}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        _cleanup_(fixture_freep) Fixture *f = fixture_new();
        int fds[5];

        open_all(f, fds, 5, 0);
        post_all(fds, 2, STAGE);
        post(fds[2], others[i]);
        post_all(fds + 3, 2, STAGE);
        f->ready = true;
        schedule_in_order(f);
        ASSERT_TRUE(pump(f));
        ASSERT_TRUE(all_get(f, fds, 2, PONG) && all_get(f, fds + 3, 2, PONG));
        ASSERT_EQ(f->flushes, 2);
        ASSERT_EQ(f->staged_in_all, 4);
        ASSERT_EQ(f->peeked, 0);
        close_all(fds, 5);
        ASSERT_TRUE(pump(f));
        f->held = f->held ? varlink_held_call_end(f->held, -EIO) : NULL;
    }
}

/* A second interface with a batch method. */
static int stage_other(VarlinkCall *call, _unused_ json_object *parameters, void *userdata)
{
    Fixture *f = userdata;

    f->peeked += f->n_staged > 0;
    f->held = varlink_call_hold(call);
    return f->held ? 0 : -ENOMEM;
}

static void flush_other(void *userdata)
{
    Fixture *f = userdata;

    f->held = varlink_held_call_end(f->held, varlink_call_reply(f->held, NULL));
}

static const VarlinkMethod other_methods[] = {
    {"Stage", VARLINK_METHOD_BATCH, stage_other, NULL, NULL},
    {NULL, 0, NULL, NULL, NULL},
};
static const VarlinkInterface other_interface = {
    "org.example.other", "interface org.example.other\n", other_methods, flush_other, NULL,
};

/* A batch is one of one interface. */
TEST(other_interface)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int fds[3];

    ASSERT_OK(varlink_server_add_interface(f->server, &other_interface, f));
    open_all(f, fds, 3, 0);
    post(fds[0], STAGE);
    post(fds[1], "{\"method\":\"org.example.other.Stage\"}");
    post(fds[2], STAGE);
    schedule_in_order(f);
    ASSERT_TRUE(pump(f));
    ASSERT_TRUE(all_get(f, fds, 3, PONG));
    ASSERT_EQ(f->flushes, 2);
    ASSERT_EQ(f->largest, 1);
    ASSERT_EQ(f->peeked, 0);
    close_all(fds, 3);
}

/* A stream that goes on sees no batch either. */
TEST(stream_between)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int fds[3];

    open_all(f, fds, 3, 0);
    post(fds[0],
         "{\"method\":\"org.example.test.Stream\",\"parameters\":{\"n\":10},\"more\":true}");
    for (unsigned i = 0; i < TURNS_MAX && f->streamed < 2; i++)
        ASSERT_TRUE(sd_event_run(f->event, 0) > 0);
    post_all(fds + 1, 2, STAGE);
    varlink_unschedule(f->server->connections->next->next);
    varlink_schedule(f->server->connections);
    varlink_schedule(f->server->connections->next->next);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->streamed, 10);
    ASSERT_EQ(f->staged_in_all, 2);
    ASSERT_EQ(f->peeked, 0);
    close_all(fds, 3);
}

/* A call that is refused at once does not end the batch, and its answer does not wait. */
TEST(refused)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int fds[3];

    open_all(f, fds, 3, 0);
    post(fds[0], STAGE);
    post(fds[1], REFUSED_STAGE);
    post(fds[2], STAGE);
    schedule_in_order(f);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->flushes, 1);
    ASSERT_EQ(f->staged_in_all, 2);
    ASSERT_TRUE(gets(f, fds[0], PONG) && gets(f, fds[1], REFUSED) && gets(f, fds[2], PONG));
    post_all(fds, 3, REFUSED_STAGE);
    ASSERT_TRUE(all_get(f, fds, 3, REFUSED));
    ASSERT_EQ(f->flushes, 1);
    close_all(fds, 3);
}

/* A peer that has hung up loses its answer, and changes nothing for the others. */
TEST(lost)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int fds[3];

    open_all(f, fds, 3, 0);
    post_all(fds, 3, STAGE);
    close(fds[1]);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->flushes, 1);
    ASSERT_EQ(f->staged_in_all, 3);
    ASSERT_TRUE(gets(f, fds[0], PONG) && gets(f, fds[2], PONG));
    ASSERT_EQ(varlink_server_connections(f->server), 2);
    close(fds[0]);
    close(fds[2]);
}

/* Calls that a gate has let through together are batches, too, and each is a turn. */
TEST(resumed)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int fds[MANY];

    open_all(f, fds, MANY, 0);
    post_all(fds, MANY - 1, STAGE_LATER);
    post(fds[MANY - 1], "{\"method\":\"org.example.test.Wait\"}");
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->flushes, 0);
    f->ready = true;
    varlink_server_resume(f->server);
    for (unsigned n = 1; n <= 4; n++) {
        ASSERT_TRUE(pump_to_flush(f, n));
        ASSERT_EQ(f->staged_in_all, n < 4 ? n * N : MANY - 1);
        ASSERT_EQ(f->n_staged, 0);
    }
    ASSERT_TRUE(all_get(f, fds, MANY, PONG));
    ASSERT_EQ(f->flushes, 4);
    ASSERT_EQ(f->largest, N);
    ASSERT_EQ(f->echoed, 1);
    ASSERT_EQ(f->server->parked, 0);
    ASSERT_EQ(f->peeked, 0);
    close_all(fds, MANY);
}

/* Users take turns within a batch: the first one has the calls of both. */
TEST(fair_within)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int crowd[VARLINK_USER_CONNECTIONS_MAX], few[3];

    NEEDS_ROOT;
    varlink_server_set_authorize(f->server, NULL, NULL);
    open_all(f, crowd, VARLINK_USER_CONNECTIONS_MAX, A);
    open_all(f, few, 3, B);
    post_all(crowd, VARLINK_USER_CONNECTIONS_MAX, STAGE);
    post_all(few, 3, STAGE);
    ASSERT_TRUE(pump_to_flush(f, 1));
    ASSERT_EQ(f->pinged_by[B % USERS], 3);
    ASSERT_EQ(f->pinged_by[A % USERS], N - 3);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->staged_in_all, VARLINK_USER_CONNECTIONS_MAX + 3);
    close_all(crowd, VARLINK_USER_CONNECTIONS_MAX);
    close_all(few, 3);
}
