/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "varlink/client.h"
#include "varlink/json-wire.h"
#include "varlink/message.h"

struct VarlinkClient {
    int fd;
    VarlinkBuffer output, input;
    VarlinkPatience patience; /* slow_usec is 0 once on_slow was called */
    uint64_t slow_at;         /* CLOCK_MONOTONIC, when to call on_slow; 0: never */
};

static void disconnect(VarlinkClient *c)
{
    closep(&c->fd);
    c->fd = -EBADF;
    varlink_buffer_done(&c->output);
    varlink_buffer_done(&c->input);
}

VarlinkClient *varlink_client_free(VarlinkClient *c)
{
    if (c)
        disconnect(c);
    free(c);
    return NULL;
}

int varlink_client_new(int fd, VarlinkClient **ret)
{
    _cleanup_(closep) int owned = fd;
    VarlinkClient *c = malloc(sizeof(*c));

    if (!c)
        return -ENOMEM;
    c->fd = TAKE_FD(owned);
    c->patience = (VarlinkPatience){.slow_usec = 0};
    c->slow_at = 0;
    c->output = VARLINK_BUFFER(VARLINK_MESSAGE_MAX + 1); /* with its NUL */
    c->input = VARLINK_BUFFER(VARLINK_MESSAGE_MAX);
    *ret = c;
    return 0;
}

static uint64_t deadline_after(uint64_t timeout_usec)
{
    return timeout_usec > 0 ? now_monotonic() + timeout_usec : 0;
}

/* connect(2) waits for room in the backlog, which poll(2) does not report. timeout_usec: 0 for no
 * limit. */
static int connect_within(int fd, const struct sockaddr_un *address, uint64_t timeout_usec)
{
    struct timeval timeout = {.tv_sec = (time_t)(timeout_usec / USEC_PER_SEC),
                              .tv_usec = (suseconds_t)(timeout_usec % USEC_PER_SEC)};

    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
        return -errno;
    while (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
        if (errno != EINTR)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
    return 0;
}

static int connect_patiently(int fd, const struct sockaddr_un *address, VarlinkPatience *patience,
                             uint64_t timeout_usec)
{
    uint64_t slow_usec = patience->slow_usec;
    bool reports = slow_usec > 0 && (timeout_usec == 0 || slow_usec < timeout_usec);
    int r = connect_within(fd, address, reports ? slow_usec : timeout_usec);

    if (r != -ETIMEDOUT || !reports)
        return r;
    patience->slow_usec = 0;
    patience->on_slow(patience->userdata);
    return connect_within(fd, address, timeout_usec > 0 ? timeout_usec - slow_usec : 0);
}

int varlink_client_connect(const char *path, const VarlinkPatience *patience, uint64_t timeout_usec,
                           VarlinkClient **ret)
{
    static const VarlinkPatience none = {.slow_usec = 0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    VarlinkPatience left = patience ? *patience : none;
    _cleanup_(closep) int fd = -EBADF;
    size_t length = strlen(path);
    int r;

    if (length >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length);

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    r = connect_patiently(fd, &address, &left, timeout_usec);
    if (r < 0)
        return r;
    r = varlink_client_new(TAKE_FD(fd), ret);
    if (r == 0)
        (*ret)->patience = left;
    return r;
}

/* Waits as io_wait() does, and calls on_slow when that takes long. */
static int wait_patiently(VarlinkClient *c, short events, uint64_t deadline)
{
    int r;

    if (c->slow_at > 0 && (deadline == 0 || c->slow_at < deadline)) {
        r = io_wait(c->fd, events, c->slow_at);
        if (r != -ETIMEDOUT)
            return r;
        c->slow_at = c->patience.slow_usec = 0;
        c->patience.on_slow(c->patience.userdata);
    }
    return io_wait(c->fd, events, deadline);
}

static int send_call(VarlinkClient *c, uint64_t deadline)
{
    int r;

    while ((r = varlink_buffer_send(&c->output, c->fd)) == -EAGAIN) {
        r = wait_patiently(c, POLLOUT, deadline);
        if (r < 0)
            return r;
    }
    /* A service that hung up may have sent the reason before. */
    return r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

static int receive_some(VarlinkClient *c, uint64_t deadline)
{
    int r = varlink_buffer_receive(&c->input, c->fd);

    if (r == -EAGAIN)
        return wait_patiently(c, POLLIN, deadline);
    return r == 0 ? -ECONNRESET : r;
}

/* Waits for one message and parses it. */
static int receive_reply(VarlinkClient *c, uint64_t deadline, VarlinkReplyMessage *ret)
{
    const char *data;
    size_t size;
    int r;

    while ((r = varlink_buffer_next(&c->input, &data, &size)) == 0) {
        r = receive_some(c, deadline);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return -EBADMSG;

    r = varlink_reply_message_parse(data, size, ret);
    varlink_buffer_consume(&c->input, size + 1);
    return r;
}

/* Queues the call; takes parameters. */
static int queue_call(VarlinkClient *c, const char *method, json_object *parameters, bool more)
{
    _cleanup_(varlink_json_erase_putp) json_object *p = parameters;
    int r;

    if (c->fd < 0)
        return -ENOTCONN;
    c->slow_at = deadline_after(c->patience.slow_usec);
    r = varlink_message_append_call(&c->output, method, p, more);
    return r == -ENOBUFS ? -EMSGSIZE : r;
}

/* Copies error and parameters of the last reply; the copy of the error may fail. */
static int take_reply(const VarlinkReplyMessage *m, json_object **ret_parameters, char **ret_error)
{
    char *error = m->error ? strdup(m->error) : NULL;

    if (m->error && !error)
        return -ENOMEM;
    *ret_parameters = json_object_get(m->parameters);
    *ret_error = error;
    return 0;
}

static int exchange(VarlinkClient *c, uint64_t timeout_usec, json_object **ret_parameters,
                    char **ret_error)
{
    uint64_t deadline = deadline_after(timeout_usec);
    VarlinkReplyMessage m = {.continues = false};
    int r = send_call(c, deadline);

    if (r == 0)
        r = receive_reply(c, deadline, &m);
    if (r < 0)
        return r;

    r = m.continues ? -EBADMSG : take_reply(&m, ret_parameters, ret_error);
    if (r < 0)
        varlink_json_erase(m.root);
    json_object_put(m.root);
    return r;
}

/* Closes a connection after a failed call: the next reply could belong to any call. */
static int end_exchange(VarlinkClient *c, int r)
{
    if (r != 0)
        disconnect(c);
    return r;
}

int varlink_client_call(VarlinkClient *c, const char *method, json_object *parameters,
                        uint64_t timeout_usec, json_object **ret_parameters, char **ret_error)
{
    int r = queue_call(c, method, parameters, false);

    if (r < 0)
        return r;
    return end_exchange(c, exchange(c, timeout_usec, ret_parameters, ret_error));
}

static int handle_reply(const VarlinkReplyMessage *m, VarlinkReplyFn on_reply, void *userdata,
                        json_object **ret_parameters, char **ret_error)
{
    int r;

    if (m->error)
        return take_reply(m, ret_parameters, ret_error);
    r = on_reply(m->parameters, userdata);
    varlink_json_erase(m->root);
    return r;
}

static int exchange_more(VarlinkClient *c, uint64_t timeout_usec, VarlinkReplyFn on_reply,
                         void *userdata, json_object **ret_parameters, char **ret_error)
{
    int r = send_call(c, deadline_after(timeout_usec));
    bool more = true;

    while (r == 0 && more) {
        VarlinkReplyMessage m = {.continues = false};

        r = receive_reply(c, deadline_after(timeout_usec), &m);
        if (r < 0)
            return r;
        more = m.continues;
        r = handle_reply(&m, on_reply, userdata, ret_parameters, ret_error);
        json_object_put(m.root);
    }
    return r;
}

int varlink_client_call_more(VarlinkClient *c, const char *method, json_object *parameters,
                             uint64_t timeout_usec, VarlinkReplyFn on_reply, void *userdata,
                             json_object **ret_parameters, char **ret_error)
{
    json_object *error_parameters = NULL;
    char *error = NULL;
    int r = queue_call(c, method, parameters, true);

    if (r < 0)
        return r;
    r = end_exchange(c,
                     exchange_more(c, timeout_usec, on_reply, userdata, &error_parameters, &error));
    if (r != 0)
        return r;

    *ret_parameters = error_parameters;
    *ret_error = error;
    return 0;
}
