/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "basic/json.h"
#include "varlink/json-wire.h"
#include "varlink/limits.h"
#include "varlink/varlink.h"

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

static int echo(VarlinkCall *call, json_object *parameters, void *userdata)
{
    (void)userdata;
    return varlink_call_reply_sensitive(call, json_object_get(parameters));
}

static int count_down(VarlinkCall *call, void *state)
{
    uint64_t *n = state;

    return *n > 0 && (*n)-- ? varlink_call_notify(call, json_object_new_object())
                            : varlink_call_reply(call, NULL);
}

static int count(VarlinkCall *call, json_object *parameters, void *userdata)
{
    uint64_t *n = calloc(1, sizeof(*n));

    (void)userdata;
    CHECK(n);
    if (json_get_uint(parameters, "n", 1000, n) < 0) {
        free(n);
        return -EINVAL;
    }
    return varlink_call_stream(call, count_down, n, free);
}

static const VarlinkMethod methods[] = {
    {"Echo", VARLINK_METHOD_SENSITIVE, echo, NULL, NULL},
    {"Count", VARLINK_METHOD_MORE_REQUIRED, count, NULL, NULL},
    {NULL, 0, NULL, NULL, NULL},
};
static const VarlinkInterface interface = {"a.b", "interface a.b\n", methods, NULL, NULL};

/* Parsed JSON can be written, and parses to the same. */
static void check_json(const char *data, size_t size)
{
    VarlinkBuffer first = VARLINK_BUFFER(VARLINK_MESSAGE_MAX),
                  second = VARLINK_BUFFER(VARLINK_MESSAGE_MAX);
    json_object *o, *again;

    if (varlink_json_parse(data, size, &o) < 0)
        return;
    /* Numbers may overflow to infinity, which is refused. */
    if (varlink_json_append(&first, o) == 0) {
        CHECK(varlink_json_parse(first.data + first.start, varlink_buffer_size(&first), &again) ==
              0);
        CHECK(varlink_json_append(&second, again) == 0);
        CHECK(varlink_buffer_size(&first) == varlink_buffer_size(&second));
        CHECK(memcmp(first.data, second.data, varlink_buffer_size(&first)) == 0);
        varlink_json_erase_put(again);
    }
    varlink_json_erase_put(o);
    varlink_buffer_done(&first);
    varlink_buffer_done(&second);
}

static void check_messages(const char *data, size_t size)
{
    VarlinkCallMessage call;
    VarlinkReplyMessage reply;

    if (varlink_call_message_parse(data, size, &call) == 0) {
        CHECK(call.invalid || (call.method && call.parameters && !(call.more && call.oneway)));
        json_object_put(call.root);
    }
    if (varlink_reply_message_parse(data, size, &reply) == 0) {
        CHECK(reply.parameters && !(reply.error && reply.continues));
        json_object_put(reply.root);
    }
}

/* Feeds the buffer in pieces, and gives each message to the parsers. */
static void check_frames(const char *data, size_t size, size_t piece)
{
    VarlinkBuffer b = VARLINK_BUFFER(VARLINK_MESSAGE_MAX);
    const char *message;
    size_t length;

    for (size_t at = 0; at < size; at += piece) {
        if (varlink_buffer_append(&b, data + at, size - at < piece ? size - at : piece) < 0)
            break;
        while (varlink_buffer_next(&b, &message, &length) == 1) {
            check_json(message, length);
            check_messages(message, length);
            varlink_buffer_consume(&b, length + 1);
        }
    }
    varlink_buffer_done(&b);
}

/* Reads the messages of the service, which a client must be able to parse. */
static void drain(int fd, VarlinkBuffer *in)
{
    VarlinkReplyMessage reply;
    const char *message;
    size_t length;

    while (varlink_buffer_receive(in, fd) == 1)
        while (varlink_buffer_next(in, &message, &length) == 1) {
            CHECK(varlink_reply_message_parse(message, length, &reply) == 0);
            json_object_put(reply.root);
            varlink_buffer_consume(in, length + 1);
        }
}

static void turn(sd_event *event)
{
    int n = 0;

    while (sd_event_run(event, 0) > 0)
        CHECK(++n < 10000);
}

/* Sends data to a service in pieces, and hangs up. */
static void check_server(const char *data, size_t size, size_t piece)
{
    static const VarlinkServiceInfo info = {"v", "p", "1", "u"};
    VarlinkBuffer out = VARLINK_BUFFER(size), in = VARLINK_BUFFER(VARLINK_MESSAGE_MAX);
    VarlinkServer *s;
    sd_event *event;
    int fds[2];

    CHECK(sd_event_new(&event) >= 0 && varlink_server_new(event, &info, &s) >= 0 &&
          varlink_server_add_interface(s, &interface, NULL) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    CHECK(varlink_server_add_connection(s, fds[0]) == 0);

    for (size_t at = 0; at < size; at += piece) {
        int r;

        CHECK(varlink_buffer_append(&out, data + at, size - at < piece ? size - at : piece) == 0);
        do {
            r = varlink_buffer_send(&out, fds[1]);
            turn(event);
            drain(fds[1], &in);
        } while (r == -EAGAIN && varlink_server_connections(s) > 0);
        if (r < 0)
            break;
    }
    shutdown(fds[1], SHUT_WR);
    while (varlink_server_connections(s) > 0) {
        turn(event);
        drain(fds[1], &in);
    }

    close(fds[1]);
    varlink_buffer_done(&out);
    varlink_buffer_done(&in);
    varlink_server_free(s);
    sd_event_unref(event);
}

/* The first byte is the size of the pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;

    if (size < 2)
        return 0;
    check_json(text, size - 1);
    check_messages(text, size - 1);
    check_frames(text, size - 1, (size_t)data[0] + 1);
    /* Each piece takes some turns of the loop. */
    check_server(text, size - 1, CONST_MAX((size_t)data[0] + 1, (size - 1) / 16));
    return 0;
}
