/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/macro.h"
#include "test.h"
#include "varlink-fixture.h"
#include "varlink/json-wire.h"
#include "varlink/limits.h"
#include "varlink/varlink.h"

#define INVALID(name)                                                                              \
    "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"" name    \
    "\"}}"
#define DENIED "{\"error\":\"org.varlink.service.PermissionDenied\",\"parameters\":{}}"

TEST(service)
{
    FIXTURE;

    SEND(f, fd, "{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":null,\"unknown\":[1]}");
    ASSERT_STR(next_text(f, fd, &in),
               "{\"parameters\":{\"vendor\":\"Example\",\"product\":\"Test \\\"service\\\"\","
               "\"version\":\"1\\u000a\",\"url\":\"https://example.org/\","
               "\"interfaces\":[\"org.varlink.service\",\"org.example.test\"]}}");
    SEND(f, fd,
         "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
         "\"parameters\":{\"interface\":\"org.example.test\"}}");
    ASSERT_STR(next_text(f, fd, &in),
               "{\"parameters\":{\"description\":\"interface org.example.test\\u000a\"}}");
    SEND(f, fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\"}");
    ASSERT_STR(next_text(f, fd, &in), INVALID("interface"));
    SEND(f, fd,
         "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
         "\"parameters\":{\"interface\":\"org.example.tes\"}}");
    ASSERT_STR(next_text(f, fd, &in), "{\"error\":\"org.varlink.service.InterfaceNotFound\","
                                      "\"parameters\":{\"interface\":\"org.example.tes\"}}");
    SEND(f, fd, "{\"method\":\"org.example.tests.Ping\"}");
    ASSERT_STR(next_text(f, fd, &in), "{\"error\":\"org.varlink.service.InterfaceNotFound\","
                                      "\"parameters\":{\"interface\":\"org.example.tests\"}}");
    SEND(f, fd, "{\"method\":\"org.example.test.Pin\"}");
    ASSERT_STR(next_text(f, fd, &in), "{\"error\":\"org.varlink.service.MethodNotFound\","
                                      "\"parameters\":{\"method\":\"org.example.test.Pin\"}}");
    ASSERT_EQ(varlink_server_add_interface(f->server, &interface, f), -EEXIST);
}

/* An invalid member of an object is named in the error, and the connection stays. */
TEST(invalid_members)
{
    static const char *const cases[][2] = {
        {"{}", INVALID("method")},
        {"{\"method\":1}", INVALID("method")},
        {"{\"method\":\"Ping\"}", INVALID("method")},
        {"{\"method\":\"org.example.test.ping\"}", INVALID("method")},
        {"{\"method\":\"org.example.test.P\\u0000\"}", INVALID("method")},
        {"{\"method\":\"org.example.test.Ping\",\"parameters\":[]}", INVALID("parameters")},
        {"{\"method\":\"org.example.test.Ping\",\"more\":1}", INVALID("more")},
        {"{\"method\":\"org.example.test.Ping\",\"oneway\":\"\"}", INVALID("oneway")},
        {"{\"method\":\"org.example.test.Ping\",\"upgrade\":true}", INVALID("upgrade")},
        {"{\"method\":\"org.example.test.Ping\",\"upgrade\":false,\"more\":null}", PONG},
        {"{\"method\":\"org.example.test.Ping\",\"more\":true}", PONG},
        {"{\"method\":\"org.example.test.Stream\",\"parameters\":{\"n\":1}}",
         "{\"error\":\"org.varlink.service.ExpectedMore\",\"parameters\":{}}"},
    };
    FIXTURE;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        send_text(f, fd, cases[i][0], strlen(cases[i][0]) + 1);
        ASSERT_STR(next_text(f, fd, &in), cases[i][1]);
    }
    ASSERT_EQ(varlink_server_connections(f->server), 1);
}

/* The server answers, closes, and handles no later message. */
TEST(no_object)
{
    static const char *const garbage[] = {"", "x", "[]", "1", "{\"method\"", "\x80\xff", "{}{}"};

    for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
        FIXTURE;

        send_text(f, fd, garbage[i], strlen(garbage[i]) + 1);
        SEND(f, fd, PING);
        ASSERT_STR(next_text(f, fd, &in), INVALID(""));
        ASSERT_TRUE(is_closed(f, fd));
        ASSERT_EQ(f->pinged, 0);
        ASSERT_EQ(varlink_server_connections(f->server), 0);
    }
}

/* A NUL inside an object ends the message there. */
TEST(embedded_nul)
{
    FIXTURE;

    SEND(f, fd, PING "\0{\"method\":\"org.example\0.test.Ping\"}");
    ASSERT_STR(next_text(f, fd, &in), PONG);
    ASSERT_STR(next_text(f, fd, &in), INVALID(""));
    ASSERT_TRUE(is_closed(f, fd));
}

TEST(oneway)
{
    FIXTURE;

    SEND(f, fd, "{\"method\":\"org.example.test.Ping\",\"oneway\":true}");
    SEND(f, fd, "{\"method\":\"org.example.test.None\",\"oneway\":true}");
    SEND(f, fd, "{\"method\":\"bad\",\"oneway\":true}");
    SEND(f, fd,
         "{\"method\":\"org.example.test.Fail\",\"parameters\":{\"errno\":5},\"oneway\":true}");
    SEND(f, fd, "{\"method\":\"org.example.test.Echo\",\"parameters\":{\"a\":1}}");
    ASSERT_STR(next_text(f, fd, &in), "{\"parameters\":{\"a\":1}}");
    ASSERT_EQ(f->pinged, 1);
    SEND(f, fd, "{\"method\":\"org.example.test.Ping\",\"oneway\":true,\"more\":true}");
    ASSERT_TRUE(is_closed(f, fd));
    ASSERT_EQ(f->pinged, 1);
}

TEST(answers)
{
    FIXTURE;

    SEND(f, fd, "{\"method\":\"org.example.test.Twice\"}");
    ASSERT_STR(next_text(f, fd, &in), PONG);
    ASSERT_EQ(f->twice, -EPROTO);
    SEND(f, fd, "{\"method\":\"org.example.test.Fail\",\"parameters\":{\"errno\":2}}");
    ASSERT_STR(
        next_text(f, fd, &in),
        "{\"error\":\"io.systemd.System\",\"parameters\":{\"origin\":\"linux\",\"errno\":2}}");
    SEND(f, fd, "{\"method\":\"org.example.test.Fail\",\"parameters\":{\"errno\":22}}");
    ASSERT_STR(next_text(f, fd, &in), INVALID(""));
    SEND(f, fd, "{\"method\":\"org.example.test.Fail\",\"parameters\":{\"errno\":1}}");
    ASSERT_STR(next_text(f, fd, &in), DENIED);
    /* The method returned 0 without a reply. */
    SEND(f, fd, "{\"method\":\"org.example.test.Fail\",\"parameters\":{}}");
    ASSERT_STR(next_text(f, fd, &in), "{\"error\":\"io.systemd.System\","
                                      "\"parameters\":{\"origin\":\"linux\",\"errno\":71}}");
    SEND(f, fd, PING);
    ASSERT_STR(next_text(f, fd, &in), PONG);
}

TEST(fragments)
{
    static const char call[] =
        "{\"method\":\"org.example.test.Echo\",\"parameters\":{\"text\":\"\u00e4 \\u20ac\"}}";
    FIXTURE;

    for (size_t i = 0; i < sizeof(call); i++) {
        ASSERT_EQ(f->echoed, 0);
        send_text(f, fd, call + i, 1);
    }
    ASSERT_STR(next_text(f, fd, &in), "{\"parameters\":{\"text\":\"\u00e4 \u20ac\"}}");
}

/* More calls than one turn handles, received at once. */
TEST(turns)
{
    FIXTURE;
    char text[100 * sizeof(PING)];

    for (size_t i = 0; i < 100; i++)
        memcpy(text + i * sizeof(PING), PING, sizeof(PING));
    ASSERT_EQ(send(fd, text, sizeof(text), 0), sizeof(text));
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->pinged, 100);
    ASSERT_STR(next_text(f, fd, &in), PONG);
}

TEST(pipelining)
{
    FIXTURE;
    char text[80000];
    size_t size = 0;

    for (int i = 0; i < 1000; i++)
        size += (size_t)snprintf(text + size, sizeof(text) - size,
                                 "{\"method\":\"org.example.test.Echo\",\"parameters\":{\"i\":%d}}",
                                 i) +
                1;
    ASSERT_EQ(send(fd, text, size, 0), (long long)size);
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof(text), "{\"parameters\":{\"i\":%d}}", i);
        ASSERT_STR(next_text(f, fd, &in), text);
    }
    ASSERT_EQ(f->echoed, 1000);
    ASSERT_EQ(f->noticed, 1001);
    closep(&fd);
    fd = -EBADF;
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(varlink_server_connections(f->server), 0);
    ASSERT_EQ(f->noticed, 1002);
}

/* A call after a stream waits until the stream is read, although it was received. A peer that has
 * stopped sending still gets its answers. */
TEST(slow_reader)
{
    FIXTURE;
    char text[100];

    SEND(f, fd,
         "{\"method\":\"org.example.test.Stream\","
         "\"parameters\":{\"n\":10000,\"size\":20},\"more\":true}\0" PING);
    ASSERT_OK(shutdown(fd, SHUT_WR));
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->pinged, 0);
    for (int i = 1; i <= 10000; i++) {
        snprintf(text, sizeof(text),
                 "{\"parameters\":{\"i\":%d,\"text\":\"tttttttttttttttttttt\"}%s}", i,
                 i < 10000 ? ",\"continues\":true" : "");
        ASSERT_STR(next_text(f, fd, &in), text);
    }
    ASSERT_STR(next_text(f, fd, &in), PONG);
    ASSERT_TRUE(is_closed(f, fd));
    ASSERT_EQ(varlink_server_connections(f->server), 0);
}

#define WATCH "{\"method\":\"org.example.test.Watch\",\"more\":true}"
#define SEEN "{\"parameters\":{},\"continues\":true}"

/* A paused stream costs no turns, continues when woken, and ends when its peer hangs up. */
TEST(paused_stream)
{
    FIXTURE;
    int other = client_socket(f);

    SEND(f, fd, WATCH "\0" PING);
    SEND(f, other, WATCH);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->streams, 2);
    f->announced = 2;
    ASSERT_TRUE(pump(f));
    ASSERT_TRUE(next_text(f, fd, &in) == NULL);
    varlink_server_wake(f->server);
    ASSERT_STR(next_text(f, fd, &in), SEEN);
    ASSERT_STR(next_text(f, fd, &in), SEEN);
    ASSERT_TRUE(next_text(f, fd, &in) == NULL);
    ASSERT_EQ(f->pinged, 0);

    close(other);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->streams, 1);
    ASSERT_OK(shutdown(fd, SHUT_WR));
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->streams, 1);
    f->announced = 3;
    varlink_server_wake(f->server);
    ASSERT_STR(next_text(f, fd, &in), SEEN);
    ASSERT_OK(shutdown(fd, SHUT_RDWR));
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->streams, 0);
    ASSERT_EQ(varlink_server_connections(f->server), 0);
}

/* VARLINK_OUTPUT_MAX: a peer that does not read is dropped, and the method gets an error. */
TEST(no_reader)
{
    FIXTURE;

    SEND(f, fd,
         "{\"method\":\"org.example.test.Burst\",\"parameters\":{\"n\":2000,\"size\":60000},"
         "\"more\":true}");
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->last_stream, -ENOBUFS);
    ASSERT_EQ(varlink_server_connections(f->server), 0);
}

TEST(peer_vanishes)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();

    for (int i = 0; i < 3; i++) {
        int fd = client_socket(f);

        SEND(f, fd,
             "{\"method\":\"org.example.test.Stream\",\"parameters\":{\"n\":20000},\"more\":true}");
        ASSERT_TRUE(pump(f));
        ASSERT_EQ(varlink_server_connections(f->server), 1);
        if (i == 1)
            ASSERT_OK(shutdown(fd, SHUT_RD));
        if (i == 2)
            ASSERT_OK(shutdown(fd, SHUT_RDWR));
        if (i > 0)
            ASSERT_TRUE(pump(f));
        close(fd);
        ASSERT_TRUE(pump(f));
        ASSERT_EQ(varlink_server_connections(f->server), 0);
    }

    /* In the middle of a message. */
    int fd = client_socket(f);
    send_text(f, fd, "{\"method\"", 9);
    close(fd);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(varlink_server_connections(f->server), 0);
}

TEST(message_size)
{
    size_t max = geteuid() == 0 ? VARLINK_MESSAGE_MAX : VARLINK_OTHERS_MESSAGE_MAX;
    _cleanup_(freep) char *text = malloc(max + 2);
    FIXTURE;

    memset(text, ' ', max + 2);
    memcpy(text, PING, strlen(PING));
    text[max] = '\0';
    send_text(f, fd, text, max + 1);
    ASSERT_STR(next_text(f, fd, &in), PONG);

    /* One byte more is refused, although the message has no end yet. */
    text[max] = ' ';
    send_text(f, fd, text, max + 1);
    ASSERT_TRUE(is_closed(f, fd));
    ASSERT_EQ(f->pinged, 1);
}

TEST(refused_peer)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    VarlinkBuffer in = VARLINK_BUFFER(VARLINK_MESSAGE_MAX);
    int fd;

    f->authorized = -EACCES;
    fd = client_socket(f);
    for (int i = 0; i < 3; i++) {
        SEND(f, fd, PING);
        ASSERT_STR(next_text(f, fd, &in), DENIED);
        /* The authorization is checked once. */
        f->authorized = 0;
    }
    SEND(f, fd, "{\"method\":\"org.varlink.service.GetInfo\"}");
    ASSERT_STR(next_text(f, fd, &in), DENIED);
    ASSERT_EQ(f->refused, 4);
    ASSERT_TRUE(strstr(f->last_refused, " org.varlink.service.GetInfo"));
    /* The error does not repeat the peer's text. */
    SEND(f, fd, "{\"method\":\"org.example.test.Whatever\"}");
    ASSERT_STR(next_text(f, fd, &in), DENIED);
    ASSERT_TRUE(strstr(f->last_refused, " (unknown)"));
    SEND(f, fd, "{\"method\":1}");
    ASSERT_STR(next_text(f, fd, &in), DENIED);
    ASSERT_TRUE(strstr(f->last_refused, " (unknown)"));
    ASSERT_EQ(f->pinged, 0);
    close(fd);
    varlink_buffer_done(&in);
}

TEST(root_method)
{
    FIXTURE;
    int user = user_socket(f, 65534);

    varlink_server_set_authorize(f->server, NULL, NULL);
    SEND(f, user, "{\"method\":\"org.example.test.Admin\"}");
    ASSERT_STR(next_text(f, user, &in), DENIED);
    ASSERT_EQ(f->pinged, 0);
    ASSERT_EQ(f->refused, 1);
    ASSERT_TRUE(strstr(f->last_refused, " org.example.test.Admin"));
    SEND(f, user, PING);
    ASSERT_STR(next_text(f, user, &in), PONG);
    SEND(f, fd, "{\"method\":\"org.example.test.Admin\"}");
    ASSERT_STR(next_text(f, fd, &in), geteuid() == 0 ? PONG : DENIED);
    close(user);
}

/* Without file descriptors the listener pauses instead of spinning, and then continues. */
TEST(accept_pause)
{
    struct rlimit old, none;
    FIXTURE;

    ASSERT_OK(getrlimit(RLIMIT_NOFILE, &old));
    none = (struct rlimit){3, old.rlim_max};
    ASSERT_OK(setrlimit(RLIMIT_NOFILE, &none));
    ASSERT_TRUE(pump(f));
    ASSERT_OK(setrlimit(RLIMIT_NOFILE, &old));
    ASSERT_EQ(varlink_server_connections(f->server), 0);
    ASSERT_EQ(sd_event_run(f->event, 5 * USEC_PER_SEC), 1);
    SEND(f, fd, PING);
    ASSERT_STR(next_text(f, fd, &in), PONG);
}

#define WAIT "{\"method\":\"org.example.test.Wait\",\"parameters\":{\"a\":\"b\"}}"

/* A call at a closed gate waits, and so do the ones after it; other connections go on. */
TEST(later)
{
    FIXTURE;
    _cleanup_(varlink_buffer_donep) VarlinkBuffer other = VARLINK_BUFFER(VARLINK_MESSAGE_MAX);
    _cleanup_(closep) int second = client_socket(f);

    SEND(f, fd, WAIT "\0" PING);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->waited, 1);
    ASSERT_EQ(f->pinged, 0);
    SEND(f, fd, PING);
    SEND(f, second, PING);
    ASSERT_STR(next_text(f, second, &other), PONG);
    ASSERT_EQ(f->pinged, 1);

    varlink_server_resume(f->server);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(f->waited, 2);
    f->ready = true;
    varlink_server_resume(f->server);
    ASSERT_STR(next_text(f, fd, &in), "{\"parameters\":{\"a\":\"b\"}}");
    ASSERT_STR(next_text(f, fd, &in), PONG);
    ASSERT_STR(next_text(f, fd, &in), PONG);
    ASSERT_EQ(f->waited, 3);
    ASSERT_EQ(f->echoed, 1);
    ASSERT_EQ(f->pinged, 3);
}

/* If its peer hangs up at the gate, the call is not made. */
TEST(later_is_too_late)
{
    FIXTURE;
    int second = client_socket(f);

    SEND(f, second, WAIT);
    ASSERT_TRUE(pump(f));
    close(second);
    ASSERT_TRUE(pump(f));
    f->ready = true;
    varlink_server_resume(f->server);
    ASSERT_EQ(f->waited, 1);
    ASSERT_EQ(f->echoed, 0);
    SEND(f, fd, PING);
    ASSERT_STR(next_text(f, fd, &in), PONG);
    ASSERT_EQ(varlink_server_connections(f->server), 1);

    /* A peer that only stops sending still gets its answer. */
    f->ready = false;
    SEND(f, fd, WAIT);
    ASSERT_OK(shutdown(fd, SHUT_WR));
    ASSERT_TRUE(pump(f));
    f->ready = true;
    varlink_server_resume(f->server);
    ASSERT_STR(next_text(f, fd, &in), "{\"parameters\":{\"a\":\"b\"}}");
}

#define HOLD "{\"method\":\"org.example.test.Hold\"}"

/* A held call delays its own connection, and no other. */
TEST(held)
{
    FIXTURE;
    _cleanup_(varlink_buffer_donep) VarlinkBuffer other = VARLINK_BUFFER(VARLINK_MESSAGE_MAX);
    _cleanup_(closep) int second = client_socket(f);

    SEND(f, fd, HOLD "\0" PING);
    SEND(f, second, PING);
    ASSERT_STR(next_text(f, second, &other), PONG);
    ASSERT_TRUE(f->held && f->pinged == 1);
    /* Gates do not affect a held call. */
    varlink_server_resume(f->server);
    ASSERT_TRUE(pump(f) && f->pinged == 1);
    ASSERT_TRUE(!varlink_held_call_is_lost(f->held));
    ASSERT_OK(varlink_call_reply(f->held, NULL));
    f->held = varlink_held_call_end(f->held, 0);
    ASSERT_STR(next_text(f, fd, &in), PONG);
    ASSERT_STR(next_text(f, fd, &in), PONG);

    SEND(f, fd, HOLD);
    ASSERT_TRUE(pump(f) && f->held);
    f->held = varlink_held_call_end(f->held, -EPERM);
    ASSERT_STR(next_text(f, fd, &in),
               "{\"error\":\"org.varlink.service.PermissionDenied\",\"parameters\":{}}");
    /* Its peer hangs up before the answer. */
    SEND(f, fd, HOLD);
    ASSERT_TRUE(pump(f) && f->held);
    f->held = varlink_held_call_end(f->held, 0);
    ASSERT_STR(next_text(f, fd, &in),
               "{\"error\":\"io.systemd.System\",\"parameters\":{\"origin\":\"linux\","
               "\"errno\":71}}");
}

/* If the peer hangs up or the server ends, a held call stays valid, and its answer is dropped. */
TEST(held_is_lost)
{
    FIXTURE;
    int second = client_socket(f);

    SEND(f, second, HOLD "\0" PING);
    ASSERT_TRUE(pump(f) && f->held);
    close(second);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(varlink_server_connections(f->server), 1);
    ASSERT_TRUE(varlink_held_call_is_lost(f->held));
    ASSERT_EQ(varlink_call_reply(f->held, NULL), -ECONNRESET);
    ASSERT_EQ(varlink_call_peer(f->held)->uid, geteuid());
    f->held = varlink_held_call_end(f->held, 0);
    ASSERT_EQ(f->pinged, 0);

    SEND(f, fd, HOLD);
    ASSERT_TRUE(pump(f) && f->held);
    f->server = varlink_server_free(f->server);
    ASSERT_TRUE(varlink_held_call_is_lost(f->held));
    f->held = varlink_held_call_end(f->held, 0);
}
