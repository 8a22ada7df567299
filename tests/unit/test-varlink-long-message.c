/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "basic/limits.h"
#include "test.h"
#include "varlink-fixture.h"
#include "varlink/connection.h"
#include "varlink/limits.h"

/* Messages of root that are longer than others may be. */

#define LONG_SIZE ((size_t)1024 * 1024)

/* Root may send long messages, but all its connections together hold one of them. */
TEST(long_messages)
{
    _cleanup_(varlink_buffer_donep) VarlinkBuffer in = VARLINK_BUFFER(VARLINK_MESSAGE_MAX);
    _cleanup_(freep) char *text = malloc(LONG_SIZE + 1);
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    size_t left[3];
    int fds[4];

    NEEDS_ROOT;
    memset(text, ' ', LONG_SIZE);
    memcpy(text, "{\"method\":\"org.example.test.Wait\"}", 34);
    text[LONG_SIZE] = '\0';
    open_all(f, fds, 4, 0);
    /* The first one is there but for its end, so there is no room for the others. */
    ASSERT_EQ(push(f, fds[0], text, LONG_SIZE), 0);
    for (int i = 1; i < 3; i++) {
        left[i] = push(f, fds[i], text, LONG_SIZE + 1);
        ASSERT_TRUE(left[i] > 0);
    }
    for (VarlinkConnection *c = f->server->connections; c; c = c->next)
        ASSERT_TRUE(c == f->server->sends_long ||
                    c->input.capacity <= 2 * VARLINK_SHORT_MESSAGE_MAX);
    send_pings(fds[3], 1);
    ASSERT_STR(next_text(f, fds[3], &in), PONG);
    close(fds[1]);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(varlink_server_connections(f->server), 3);

    /* While its gate is closed it stays where it is. */
    ASSERT_EQ(push(f, fds[0], "", 1), 0);
    ASSERT_EQ(f->waited, 1);
    ASSERT_EQ(f->server->parked, 0);
    f->ready = true;
    varlink_server_resume(f->server);
    ASSERT_STR(next_text(f, fds[0], &in), PONG);
    ASSERT_EQ(push(f, fds[2], text + LONG_SIZE + 1 - left[2], left[2]), 0);
    ASSERT_STR(next_text(f, fds[2], &in), PONG);
    ASSERT_TRUE(!f->server->sends_long);

    /* So does a message that never ends, until its peer hangs up. */
    ASSERT_EQ(push(f, fds[0], text, LONG_SIZE), 0);
    left[2] = push(f, fds[2], text, LONG_SIZE + 1);
    ASSERT_TRUE(left[2] > 0);
    close(fds[0]);
    ASSERT_EQ(push(f, fds[2], text + LONG_SIZE + 1 - left[2], left[2]), 0);
    ASSERT_STR(next_text(f, fds[2], &in), PONG);
    close_all(fds + 2, 2);
}

/* Makes a call of LONG_SIZE bytes, without its end. */
static char *long_text(const char *call)
{
    size_t length = strlen(call);
    char *text = malloc(LONG_SIZE + 1);

    memset(text, ' ', LONG_SIZE);
    memcpy(text, call, length);
    text[LONG_SIZE] = '\0';
    return text;
}

/* A peer that hangs up while it waits to send a long message does not keep the next one waiting,
 * even if its turn comes in the same round of the loop. */
TEST(long_message_handed_on)
{
    _cleanup_(varlink_buffer_donep) VarlinkBuffer in = VARLINK_BUFFER(VARLINK_MESSAGE_MAX);
    _cleanup_(freep) char *text = long_text(PING);
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    size_t left;
    int fds[3];

    NEEDS_ROOT;
    open_all(f, fds, 3, 0);
    ASSERT_EQ(push(f, fds[0], text, LONG_SIZE), 0);
    ASSERT_TRUE(push(f, fds[1], text, LONG_SIZE + 1) > 0);
    left = push(f, fds[2], text, LONG_SIZE + 1);
    ASSERT_TRUE(left > 0);
    ASSERT_EQ(send(fds[0], "", 1, 0), 1);
    close(fds[1]);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(push(f, fds[2], text + LONG_SIZE + 1 - left, left), 0);
    ASSERT_STR(next_text(f, fds[2], &in), PONG);
    ASSERT_TRUE(!f->server->sends_long);
    close(fds[0]);
    close(fds[2]);
}

/* Waits for longer than a peer may stop in a long message. Returns how many lines are logged. */
static size_t stall(Fixture *f)
{
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), ends[2];
    char text[4096];
    size_t lines = 0;
    ssize_t n;

    wait_usec(2 * f->server->long_stall_usec);
    if (saved < 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0 || dup2(ends[1], STDERR_FILENO) < 0 ||
        !pump(f))
        abort();
    n = read(ends[0], text, sizeof(text));
    for (ssize_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    (void)dup2(saved, STDERR_FILENO);
    close_all((int[]){saved, ends[0], ends[1]}, 3);
    return lines;
}

/* A peer that stops in the middle of a long message is closed, but only once another one waits to
 * send one, and not while its own call waits. */
TEST(long_message_stalls)
{
    _cleanup_(varlink_buffer_donep) VarlinkBuffer in = VARLINK_BUFFER(VARLINK_MESSAGE_MAX);
    _cleanup_(freep) char *text = long_text("{\"method\":\"org.example.test.Wait\"}");
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    size_t left;
    int fds[3];

    NEEDS_ROOT;
    f->server->long_stall_usec = USEC_PER_SEC / 20;
    open_all(f, fds, 3, 0);
    ASSERT_EQ(push(f, fds[0], text, LONG_SIZE), 0);
    ASSERT_EQ(stall(f), 0);
    ASSERT_TRUE(!is_closed(f, fds[0]));
    left = push(f, fds[1], text, LONG_SIZE + 1);
    ASSERT_TRUE(left > 0);
    ASSERT_EQ(stall(f), 1);
    ASSERT_TRUE(is_closed(f, fds[0]));
    ASSERT_TRUE(!is_closed(f, fds[1]));

    /* The next one has its full time, and waits at its gate for as long as that is closed. */
    ASSERT_EQ(push(f, fds[1], text + LONG_SIZE + 1 - left, left), 0);
    left = push(f, fds[2], text, LONG_SIZE + 1);
    ASSERT_TRUE(left > 0);
    ASSERT_EQ(stall(f), 0);
    ASSERT_TRUE(!is_closed(f, fds[1]));
    f->ready = true;
    varlink_server_resume(f->server);
    ASSERT_STR(next_text(f, fds[1], &in), PONG);
    ASSERT_EQ(push(f, fds[2], text + LONG_SIZE + 1 - left, left), 0);
    ASSERT_STR(next_text(f, fds[2], &in), PONG);
    close_all(fds, 3);
}

/* A short call after a long one waits in locked memory, as any other. */
TEST(short_after_long)
{
    static const char call[] = "{\"method\":\"org.example.test.Wait\"}";
    _cleanup_(varlink_buffer_donep) VarlinkBuffer in = VARLINK_BUFFER(VARLINK_MESSAGE_MAX);
    _cleanup_(freep) char *text = long_text(PING);
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    int fd;

    NEEDS_ROOT;
    open_all(f, &fd, 1, 0);
    ASSERT_EQ(push(f, fd, text, LONG_SIZE), 0);
    ASSERT_TRUE(f->server->sends_long);
    /* Both ends arrive at once. */
    memcpy(text + 1, call, sizeof(call));
    text[0] = '\0';
    ASSERT_EQ(send(fd, text, 1 + sizeof(call), 0), 1 + sizeof(call));
    ASSERT_STR(next_text(f, fd, &in), PONG);
    ASSERT_EQ(f->server->parked, secret_footprint(sizeof(call) - 1));
    ASSERT_TRUE(!f->server->sends_long);
    f->ready = true;
    varlink_server_resume(f->server);
    ASSERT_STR(next_text(f, fd, &in), PONG);
    close(fd);
}

/* A tree takes more memory than its text. */
TEST(too_many_values)
{
    static const char start[] = "{\"method\":\"org.example.test.Ping\",\"parameters\":{\"a\":[{}";
    const size_t n = VARLINK_JSON_VALUES_MAX / 9 - 10;
    _cleanup_(freep) char *text = malloc(sizeof(start) + 3 * (n + 20) + 10);
    _cleanup_(fixture_freep) Fixture *f = fixture_new();

    NEEDS_ROOT;
    for (size_t extra = 0; extra <= 20; extra += 20) {
        _cleanup_(closep) int fd = client_socket(f);
        char *end = stpcpy(text, start);

        for (size_t i = 0; i < n + extra; i++)
            end = stpcpy(end, ",{}");
        end = stpcpy(end, "]}}");
        ASSERT_EQ(push(f, fd, text, (size_t)(end - text) + 1), 0);
        ASSERT_TRUE(f->pinged_by[0] == 1);
    }
}
