/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "basic/json.h"
#include "basic/limits.h"
#include "varlink-fixture.h"

char secret_char(size_t i)
{
    return (char)('0' + ((uint32_t)(i + 1) * 2654435761U >> 16) % 43);
}

void secret_text(char ret[static SECRET_LENGTH])
{
    for (size_t i = 0; i < SECRET_LENGTH; i++)
        ret[i] = secret_char(i);
}

static int echo(VarlinkCall *call, json_object *parameters, void *userdata)
{
    Fixture *f = userdata;

    f->peeked += f->n_staged > 0;
    f->echoed++;
    return varlink_call_reply(call, json_object_get(parameters));
}

static int ping(VarlinkCall *call, json_object *parameters, void *userdata)
{
    Fixture *f = userdata;

    (void)parameters;
    f->peeked += f->n_staged > 0;
    f->pinged++;
    f->pinged_by[varlink_call_peer(call)->uid % USERS]++;
    return varlink_call_reply(call, NULL);
}

/* {n, size}: n replies, each with a text of that size. */
typedef struct Counter {
    Fixture *fixture;
    uint64_t i, n, size;
} Counter;

static json_object *counter_text(const Counter *c)
{
    static char text[60000];
    json_object *o = json_object_new_object();

    memset(text, 't', sizeof(text));
    if (json_add_uint(o, "i", c->i) < 0 ||
        json_add_take(o, "text", json_object_new_string_len(text, (int)c->size)) < 0)
        abort();
    return o;
}

static int read_counter(VarlinkCall *call, json_object *parameters, Counter *c)
{
    if (json_get_uint(parameters, "n", UINT32_MAX, &c->n) <= 0)
        return varlink_call_invalid_parameter(call, "n");
    if (json_get_uint(parameters, "size", 60000, &c->size) < 0)
        return varlink_call_invalid_parameter(call, "size");
    return 1;
}

/* Replies whether the peer reads or not. */
static int burst(VarlinkCall *call, json_object *parameters, void *userdata)
{
    Counter c = {.fixture = userdata};
    int r = read_counter(call, parameters, &c);

    if (r <= 0)
        return r;
    while (++c.i <= c.n) {
        r = c.i < c.n ? varlink_call_notify(call, counter_text(&c))
                      : varlink_call_reply(call, counter_text(&c));
        c.fixture->last_stream = r;
        if (r < 0)
            return r;
    }
    return 0;
}

static int count_on(VarlinkCall *call, void *state)
{
    Counter *c = state;

    c->fixture->peeked += c->fixture->n_staged > 0;
    c->fixture->streamed++;
    c->i++;
    return c->i < c->n ? varlink_call_notify(call, counter_text(c))
                       : varlink_call_reply(call, counter_text(c));
}

static void destroy_counter(void *state)
{
    Counter *c = state;

    c->fixture->streams--;
    free(c);
}

typedef struct Watch {
    Fixture *fixture;
    unsigned sent;
} Watch;

static int watch_on(VarlinkCall *call, void *state)
{
    Watch *w = state;

    if (w->sent == w->fixture->announced) {
        varlink_call_pause(call);
        return 0;
    }
    w->sent++;
    return varlink_call_notify(call, NULL);
}

static void destroy_watch(void *state)
{
    Watch *w = state;

    w->fixture->streams--;
    free(w);
}

/* A stream without an end, which waits for fixture->announced to rise. */
static int watch(VarlinkCall *call, _unused_ json_object *parameters, void *userdata)
{
    Watch *w = calloc(1, sizeof(*w));

    if (!w)
        return -ENOMEM;
    w->fixture = userdata;
    w->fixture->streams++;
    return varlink_call_stream(call, watch_on, w, destroy_watch);
}

static int stream(VarlinkCall *call, json_object *parameters, void *userdata)
{
    Counter *c = calloc(1, sizeof(*c));
    int r;

    c->fixture = userdata;
    r = read_counter(call, parameters, c);
    if (r <= 0) {
        free(c);
        return r;
    }
    c->fixture->streams++;
    return varlink_call_stream(call, count_on, c, destroy_counter);
}

static int fail(VarlinkCall *call, json_object *parameters, void *userdata)
{
    uint64_t error = 0;

    (void)call;
    (void)userdata;
    return json_get_uint(parameters, "errno", 4095, &error) < 0 ? -EINVAL : -(int)error;
}

/* The gate of StageLater. */
static bool is_ready(_unused_ const VarlinkCall *call, _unused_ json_object *parameters,
                     void *userdata)
{
    Fixture *f = userdata;

    f->waited++;
    return f->ready;
}

/* The same for a method that must not see a batch. */
static bool is_ready_alone(_unused_ const VarlinkCall *call, _unused_ json_object *parameters,
                           void *userdata)
{
    Fixture *f = userdata;

    f->peeked += f->n_staged > 0;
    return is_ready(call, parameters, userdata);
}

/* Leaves the answer to flush(), or refuses at once. */
static int stage(VarlinkCall *call, json_object *parameters, void *userdata)
{
    Fixture *f = userdata;
    VarlinkCall *held = varlink_call_hold(call);
    bool refuse = false;

    if (!held || f->n_staged == STAGED_MAX || json_get_bool(parameters, "refuse", &refuse) < 0)
        abort();
    if (refuse) {
        varlink_held_call_end(held, varlink_call_error(held, "org.example.test.Refused", NULL));
        return 0;
    }
    f->staged[f->n_staged++] = held;
    f->pinged_by[varlink_call_peer(held)->uid % USERS]++;
    return 0;
}

static void flush(void *userdata)
{
    Fixture *f = userdata;

    f->flushes++;
    f->staged_in_all += f->n_staged;
    f->largest = CONST_MAX(f->largest, f->n_staged);
    for (unsigned i = 0; i < f->n_staged; i++)
        varlink_held_call_end(f->staged[i], varlink_call_reply(f->staged[i], NULL));
    f->n_staged = 0;
}

/* Leaves the answer to the test. */
static int hold(VarlinkCall *call, _unused_ json_object *parameters, void *userdata)
{
    Fixture *f = userdata;

    f->held = varlink_call_hold(call);
    return f->held ? 0 : -ENOMEM;
}

static int twice(VarlinkCall *call, json_object *parameters, void *userdata)
{
    Fixture *f = userdata;
    int r = varlink_call_reply(call, NULL);

    (void)parameters;
    f->twice = varlink_call_error(call, "org.example.test.Late", NULL);
    return r;
}

/* Takes a secret and replies with one. */
static int exchange(VarlinkCall *call, json_object *parameters, void *userdata)
{
    json_object *o = json_object_new_object();
    const char *in;
    char out[SECRET_LENGTH];

    (void)userdata;
    if (json_get_string(parameters, "psk", &in) <= 0 || strlen(in) != SECRET_LENGTH) {
        json_object_put(o);
        return varlink_call_invalid_parameter(call, "psk");
    }
    secret_text(out);
    if (json_add_take(o, "psk", json_object_new_string_len(out, SECRET_LENGTH)) < 0)
        return -ENOMEM;
    explicit_bzero(out, sizeof(out));
    return varlink_call_reply_sensitive(call, o);
}

static const VarlinkMethod methods[] = {
    {"Echo", 0, echo, NULL, NULL},
    {"Ping", 0, ping, NULL, NULL},
    {"Stream", VARLINK_METHOD_MORE_REQUIRED, stream, NULL, NULL},
    {"Watch", VARLINK_METHOD_MORE_REQUIRED, watch, NULL, NULL},
    {"Burst", VARLINK_METHOD_MORE_REQUIRED, burst, NULL, NULL},
    {"Fail", 0, fail, NULL, NULL},
    {"Twice", 0, twice, NULL, NULL},
    {"Wait", VARLINK_METHOD_SENSITIVE, echo, NULL, is_ready_alone},
    {"Hold", 0, hold, NULL, NULL},
    {"Stage", VARLINK_METHOD_BATCH, stage, NULL, NULL},
    {"StageLater", VARLINK_METHOD_BATCH | VARLINK_METHOD_SENSITIVE, stage, NULL, is_ready},
    {"Admin", VARLINK_METHOD_ROOT, ping, NULL, NULL},
    {"Exchange", VARLINK_METHOD_SENSITIVE, exchange, NULL, NULL},
    {NULL, 0, NULL, NULL, NULL},
};

static int turn_away(VarlinkCall *call, bool first)
{
    return varlink_call_error(call, first ? "org.example.test.Full" : "org.example.test.StillFull",
                              NULL);
}

const VarlinkInterface interface = {"org.example.test", "interface org.example.test\n", methods,
                                    flush, turn_away};

static void on_idle(VarlinkServer *s, void *userdata)
{
    Fixture *f = userdata;

    (void)s;
    f->peeked += f->n_staged > 0;
    f->noticed++;
}

static void on_refused(const struct ucred *peer, const char *method, void *userdata)
{
    Fixture *f = userdata;

    f->refused++;
    snprintf(f->last_refused, sizeof(f->last_refused), "%u %s", (unsigned)peer->uid,
             method ? method : "-");
}

static int authorize(int fd, const struct ucred *peer, void *userdata)
{
    Fixture *f = userdata;

    return fd >= 0 && peer->uid == geteuid() ? f->authorized : -EACCES;
}

static int fixture_listen(Fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(f->dir, "/tmp/test-varlink-XXXXXX");
    if (fd < 0 || !mkdtemp(f->dir) || chmod(f->dir, 0755) < 0)
        return -errno;
    snprintf(f->path, sizeof(f->path), "%s/socket", f->dir);
    strcpy(address.sun_path, f->path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(f->path, 0666) < 0 ||
        listen(fd, 1024) < 0)
        return -errno;
    return varlink_server_listen(f->server, fd);
}

Fixture *fixture_new(void)
{
    static const VarlinkServiceInfo info = {"Example", "Test \"service\"", "1\n",
                                            "https://example.org/"};
    Fixture *f = calloc(1, sizeof(*f));

    if (sd_event_new(&f->event) < 0 || varlink_server_new(f->event, &info, &f->server) < 0 ||
        varlink_server_add_interface(f->server, &interface, f) < 0 || fixture_listen(f) < 0)
        abort();
    varlink_server_set_idle_hook(f->server, on_idle, f);
    varlink_server_set_authorize(f->server, authorize, f);
    varlink_server_set_refused_hook(f->server, on_refused, f);
    return f;
}

void fixture_freep(Fixture **f)
{
    varlink_server_free((*f)->server);
    sd_event_unref((*f)->event);
    unlink((*f)->path);
    rmdir((*f)->dir);
    free(*f);
}

int client_socket(const Fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    strcpy(address.sun_path, f->path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        abort();
    return fd;
}

int user_socket(const Fixture *f, uid_t uid)
{
    bool root = geteuid() == 0;
    int fd;

    if (root && seteuid(uid) < 0)
        abort();
    fd = client_socket(f);
    if (root && seteuid(0) < 0)
        abort();
    return fd;
}

bool pump(Fixture *f)
{
    for (int i = 0; i < TURNS_MAX; i++)
        if (sd_event_run(f->event, 0) <= 0)
            return true;
    return false;
}

void send_text(Fixture *f, int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, text, size, MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN)
            return;
        pump(f);
        text += n < 0 ? 0 : n;
        size -= n < 0 ? 0 : (size_t)n;
    }
}

void send_pings(int fd, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (send(fd, PING, sizeof(PING), MSG_NOSIGNAL) != sizeof(PING))
            abort();
}

void open_all(Fixture *f, int *fds, size_t n, uid_t uid)
{
    for (size_t i = 0; i < n; i++)
        fds[i] = user_socket(f, uid);
    if (!pump(f))
        abort();
}

void close_all(int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
}

void wait_usec(uint64_t usec)
{
    struct timespec t = {(time_t)(usec / USEC_PER_SEC), (long)(usec % USEC_PER_SEC) * 1000};

    (void)nanosleep(&t, NULL);
}

size_t push(Fixture *f, int fd, const char *text, size_t size)
{
    ssize_t n;

    while (pump(f) && size > 0 && (n = send(fd, text, size, MSG_NOSIGNAL)) > 0) {
        text += n;
        size -= (size_t)n;
    }
    return size;
}

const char *next_text(Fixture *f, int fd, VarlinkBuffer *b)
{
    static char text[100000];
    const char *data;
    size_t size;
    int r;

    while ((r = varlink_buffer_next(b, &data, &size)) == 0) {
        if (!pump(f) || varlink_buffer_receive(b, fd) <= 0)
            return NULL;
    }
    if (r < 0 || size >= sizeof(text))
        return NULL;
    memcpy(text, data, size + 1);
    varlink_buffer_consume(b, size + 1);
    return text;
}

bool is_closed(Fixture *f, int fd)
{
    char c;
    ssize_t n = pump(f) ? recv(fd, &c, 1, MSG_DONTWAIT) : 1;

    return n == 0 || (n < 0 && errno != EAGAIN);
}

void varlink_buffer_donep(VarlinkBuffer *b)
{
    varlink_buffer_done(b);
}
