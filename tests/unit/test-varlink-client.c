/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "test.h"
#include "varlink-fixture.h"
#include "varlink/client.h"
#include "varlink/varlink.h"

#define TIMEOUT (60 * USEC_PER_SEC)

/* The client blocks, so it runs in a child, which exits with the line of the first failure. */
#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            return __LINE__ % 250 + 1;                                                             \
    } while (0)

typedef int (*ClientFn)(VarlinkClient *c);

static int run_client(Fixture *f, ClientFn fn)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        VarlinkClient *c;
        int r = varlink_client_connect(f->path, NULL, TIMEOUT, &c) < 0 ? 255 : fn(c);

        if (r == 0)
            varlink_client_free(c);
        _exit(r);
    }
    while (waitpid(pid, &status, WNOHANG) == 0)
        if (sd_event_run(f->event, 1000) < 0)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int call_methods(VarlinkClient *c)
{
    json_object *in = json_object_new_object(), *out = NULL;
    uint64_t number = 0;
    const char *text;
    char *error;

    CHECK(json_add_uint(in, "number", 17) == 0);
    CHECK(varlink_client_call(c, "org.example.test.Echo", in, TIMEOUT, &out, &error) == 0);
    CHECK(!error && json_get_uint(out, "number", 100, &number) == 1 && number == 17);
    json_object_put(out);

    CHECK(varlink_client_call(c, "org.example.test.None", NULL, TIMEOUT, &out, &error) == 0);
    CHECK(error && strcmp(error, "org.varlink.service.MethodNotFound") == 0);
    CHECK(json_get_string(out, "method", &text) == 1 && strcmp(text, "org.example.test.None") == 0);
    json_object_put(out);
    free(error);

    /* Both are refused before anything is sent. */
    CHECK(varlink_client_call(c, "org.example.test.Ping", json_object_new_int(1), TIMEOUT, &out,
                              &error) == -EINVAL);
    in = json_object_new_object();
    CHECK(json_add_take(in, "a",
                        json_object_new_string_len(calloc(1, VARLINK_MESSAGE_MAX),
                                                   VARLINK_MESSAGE_MAX)) == 0);
    CHECK(varlink_client_call(c, "org.example.test.Ping", in, TIMEOUT, &out, &error) == -EMSGSIZE);
    CHECK(varlink_client_call(c, "org.example.test.Ping", NULL, 0, &out, &error) == 0 && !error);
    json_object_put(out);
    return 0;
}

TEST(call)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();

    ASSERT_EQ(run_client(f, call_methods), 0);
    ASSERT_EQ(f->pinged, 1);
}

static int count_reply(json_object *parameters, void *userdata)
{
    uint64_t *next = userdata, i;

    if (json_get_uint(parameters, "i", UINT32_MAX, &i) != 1 || i != *next)
        return -EBADMSG;
    *next += 1;
    return i == 70000 ? -ECANCELED : 0;
}

static int stream_parameters(json_object **ret, uint64_t n, uint64_t size)
{
    *ret = json_object_new_object();
    return json_add_uint(*ret, "n", n) < 0 ? -1 : json_add_uint(*ret, "size", size);
}

static int call_stream(VarlinkClient *c)
{
    json_object *in, *out;
    uint64_t next = 1;
    char *error;

    CHECK(stream_parameters(&in, 10000, 100) == 0);
    CHECK(varlink_client_call_more(c, "org.example.test.Stream", in, TIMEOUT, count_reply, &next,
                                   &out, &error) == 0);
    CHECK(!error && !out && next == 10001);

    CHECK(varlink_client_call_more(c, "org.example.test.Stream", NULL, TIMEOUT, count_reply, &next,
                                   &out, &error) == 0);
    CHECK(error && strcmp(error, "org.varlink.service.InvalidParameter") == 0 && out);
    json_object_put(out);
    free(error);

    /* An error of on_reply ends the call, and the connection as well. */
    next = 1;
    CHECK(stream_parameters(&in, 80000, 1) == 0);
    CHECK(varlink_client_call_more(c, "org.example.test.Stream", in, TIMEOUT, count_reply, &next,
                                   &out, &error) == -ECANCELED);
    CHECK(next == 70001);
    CHECK(varlink_client_call(c, "org.example.test.Ping", NULL, TIMEOUT, &out, &error) ==
          -ENOTCONN);
    return 0;
}

TEST(more)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();

    ASSERT_EQ(run_client(f, call_stream), 0);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(varlink_server_connections(f->server), 0);
}

/* Calls a service that sends size bytes of text, and then closes if told to. */
static int call_fake(const void *text, size_t size, bool closes, uint64_t timeout_usec)
{
    _cleanup_(varlink_client_freep) VarlinkClient *c = NULL;
    _cleanup_(freep) char *error = NULL;
    json_object *out = NULL;
    int fds[2], r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ||
        io_write_all(fds[1], text, size) < 0 || varlink_client_new(fds[0], &c) < 0)
        return -EIO;
    if (closes)
        shutdown(fds[1], SHUT_RDWR);
    r = varlink_client_call(c, "a.b.C", NULL, timeout_usec, &out, &error);
    json_object_put(out);
    close(fds[1]);
    return r;
}

TEST(bad_service)
{
    ASSERT_OK(call_fake("{}", 3, true, 0));
    ASSERT_OK(call_fake("{\"error\":\"a.b.C\"}", 18, false, 0));
    ASSERT_EQ(call_fake("{}", 2, true, 0), -ECONNRESET);
    ASSERT_EQ(call_fake("", 0, true, TIMEOUT), -ECONNRESET);
    ASSERT_EQ(call_fake("{}", 2, false, 20000), -ETIMEDOUT);
    ASSERT_EQ(call_fake("x", 2, false, 0), -EBADMSG);
    ASSERT_EQ(call_fake("", 1, false, 0), -EBADMSG);
    ASSERT_EQ(call_fake("{\"continues\":true}", 19, false, 0), -EBADMSG);
    ASSERT_EQ(call_fake("{\"parameters\":3}", 17, false, 0), -EBADMSG);
}

TEST(reply_size)
{
    _cleanup_(freep) char *text = malloc(VARLINK_MESSAGE_MAX + 2);
    pid_t pid;

    /* The socket has no room for that much at once, so the child writes. */
    for (size_t extra = 0; extra <= 1; extra++) {
        _cleanup_(varlink_client_freep) VarlinkClient *c = NULL;
        _cleanup_(freep) char *error = NULL;
        json_object *out = NULL;
        int fds[2];

        memset(text, ' ', VARLINK_MESSAGE_MAX + 1);
        text[0] = '{';
        text[VARLINK_MESSAGE_MAX - 1 + extra] = '}';
        text[VARLINK_MESSAGE_MAX + extra] = '\0';
        ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
        pid = fork();
        if (pid == 0)
            _exit(io_write_all(fds[1], text, VARLINK_MESSAGE_MAX + 1 + extra) < 0);
        close(fds[1]);
        ASSERT_OK(varlink_client_new(fds[0], &c));
        ASSERT_EQ(varlink_client_call(c, "a.b.C", NULL, TIMEOUT, &out, &error),
                  extra ? -EBADMSG : 0);
        json_object_put(out);
        ASSERT_EQ(waitpid(pid, NULL, 0), pid);
    }
}

TEST(connect)
{
    VarlinkClient *c;
    char path[200];

    ASSERT_EQ(varlink_client_connect("/nonexistent/socket", NULL, TIMEOUT, &c), -ENOENT);
    memset(path, 'x', sizeof(path));
    path[199] = '\0';
    ASSERT_EQ(varlink_client_connect(path, NULL, TIMEOUT, &c), -ENAMETOOLONG);
}

/* From the middle of the secret text, because the allocator overwrites the first bytes of a free
 * block, which would hide the rest. */
#define PART_START 16
#define PART_LENGTH 24

static size_t count_secret(const char *data, size_t size)
{
    const char *end = data + size;
    char part[PART_LENGTH];
    size_t found = 0;

    for (size_t i = 0; i < PART_LENGTH; i++)
        part[i] = secret_char(PART_START + i);
    while ((data = memmem(data, (size_t)(end - data), part, PART_LENGTH))) {
        found++;
        data++;
    }
    explicit_bzero(part, sizeof(part));
    return found;
}

static size_t count_in_range(int memory, uint64_t begin, uint64_t end)
{
    char block[65536];
    size_t found = 0;

    /* Blocks overlap, so that a copy across two blocks is found. */
    for (uint64_t at = begin; at < end; at += sizeof(block) - PART_LENGTH + 1) {
        size_t want = end - at < sizeof(block) ? (size_t)(end - at) : sizeof(block);
        ssize_t n = pread(memory, block, want, (off_t)at);

        if (n > 0)
            found += count_secret(block, (size_t)n);
    }
    explicit_bzero(block, sizeof(block));
    return found;
}

/* Counts the copies of the secret text in all writable memory of this process but its stack. */
static size_t count_in_memory(void)
{
    _cleanup_(closep) int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    FILE *maps = fopen("/proc/self/maps", "re");
    uint64_t begin, end;
    char line[512], mode[8];
    size_t found = 0;

    if (memory < 0 || !maps)
        abort();
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &begin, &end, mode) != 3 ||
            strncmp(mode, "rw", 2) != 0 || strstr(line, "[stack]"))
            continue;
        /* The shadow memory of a sanitizer has no text. */
        if (end - begin <= (uint64_t)1 << 30)
            found += count_in_range(memory, begin, end);
    }
    fclose(maps);
    return found;
}

/* A message with the secret between two texts, in one piece or split by an escape. */
static size_t secret_message(char *ret, size_t size, const char *before, const char *after,
                             bool cut)
{
    char secret[SECRET_LENGTH + 1] = "";
    int n;

    secret_text(secret);
    n = snprintf(ret, size, "%s%.*s%s%s%s", before, cut ? SECRET_LENGTH / 2 : SECRET_LENGTH, secret,
                 cut ? "\\u0020" : "", cut ? secret + SECRET_LENGTH / 2 : "", after);
    explicit_bzero(secret, sizeof(secret));
    return (size_t)n;
}

TEST(parser_wipes)
{
    /* json-c's block for text is small with the first and large with the second. */
    static const size_t padding[] = {0, 2000};

    for (size_t i = 0; i < 4; i++) {
        json_object *o;
        char text[3000];
        size_t size = secret_message(text, sizeof(text), "{\"a\":\"", "\"}", i & 1);

        memset(text + size, ' ', padding[i / 2]);
        ASSERT_OK(varlink_json_parse(text, size + padding[i / 2], &o));
        explicit_bzero(text, sizeof(text));
        ASSERT_EQ(count_in_memory(), 1);
        varlink_json_erase_put(o);
        ASSERT_EQ(count_in_memory(), 0);
    }
}

/* So are the values before the place where a text turns out to be malformed. */
TEST(parser_wipes_malformed)
{
    static const char *const afters[] = {"\"",
                                         "\"]",
                                         "\"} x",
                                         "\",",
                                         "\",\"b\":}",
                                         "\",\"b\":{\"c\":[nul]}}",
                                         "\",\"b\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}"};
    static const char *const befores[] = {"{\"a\":\"", "{\"a\":[{},{\"b\":[\"", "[[\"", "\""};

    for (size_t i = 0; i < ARRAY_SIZE(befores) * ARRAY_SIZE(afters); i++) {
        json_object *o = NULL;
        char text[300];
        size_t size = secret_message(text, sizeof(text), befores[i / ARRAY_SIZE(afters)],
                                     afters[i % ARRAY_SIZE(afters)], false);

        ASSERT_EQ(varlink_json_parse(text, size, &o), -EBADMSG);
        explicit_bzero(text, sizeof(text));
        ASSERT_EQ(count_in_memory(), 0);
    }
}

static void send_secret(int fd)
{
    char text[300];
    size_t size = secret_message(
        text, sizeof(text), "{\"method\":\"org.example.test.Exchange\",\"parameters\":{\"psk\":\"",
        "\"}}", false);

    if (send(fd, text, size + 1, 0) != (ssize_t)size + 1)
        abort();
    explicit_bzero(text, sizeof(text));
}

static bool receive_secret(int fd)
{
    char text[300];
    ssize_t n = recv(fd, text, sizeof(text), 0);
    size_t found = n > 0 ? count_secret(text, (size_t)n) : 0;

    explicit_bzero(text, sizeof(text));
    return found == 1;
}

/* The count must find a copy that is there. */
TEST(search_works)
{
    char *copy = malloc(SECRET_LENGTH);

    ASSERT_EQ(count_in_memory(), 0);
    secret_text(copy);
    ASSERT_EQ(count_in_memory(), 1);
    explicit_bzero(copy, SECRET_LENGTH);
    free(copy);
    ASSERT_EQ(count_in_memory(), 0);
}

TEST(server_wipes)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    _cleanup_(closep) int fd = client_socket(f);

    for (int i = 0; i < 3; i++) {
        send_secret(fd);
        ASSERT_TRUE(pump(f));
        ASSERT_TRUE(receive_secret(fd));
        ASSERT_EQ(count_in_memory(), 0);
    }
    /* A call of an unknown method, and the first half of a message. */
    static const char before[] = "{\"method\":\"a.b.C\",\"parameters\":{\"psk\":\"",
                      after[] = "\"}}";
    char secret[SECRET_LENGTH];
    secret_text(secret);
    ASSERT_EQ(send(fd, before, sizeof(before) - 1, 0), (long long)sizeof(before) - 1);
    ASSERT_EQ(send(fd, secret, sizeof(secret), 0), SECRET_LENGTH);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(count_in_memory(), 1);
    ASSERT_EQ(send(fd, after, sizeof(after), 0), sizeof(after));
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(count_in_memory(), 0);
    ASSERT_EQ(send(fd, secret, sizeof(secret), 0), SECRET_LENGTH);
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(count_in_memory(), 1);
    closep(&fd);
    fd = -EBADF;
    ASSERT_TRUE(pump(f));
    ASSERT_EQ(varlink_server_connections(f->server), 0);
    ASSERT_EQ(count_in_memory(), 0);
}

static json_object *secret_parameters(void)
{
    json_object *o = json_object_new_object();
    char text[SECRET_LENGTH];

    secret_text(text);
    if (json_add_take(o, "psk", json_object_new_string_len(text, SECRET_LENGTH)) < 0)
        abort();
    explicit_bzero(text, sizeof(text));
    return o;
}

static int exchange_secret(VarlinkClient *c)
{
    json_object *out;
    char *error;

    CHECK(varlink_client_call(c, "a.b.C", secret_parameters(), TIMEOUT, &out, &error) == 0);
    CHECK(error && count_in_memory() == 0);
    json_object_put(out);
    free(error);

    CHECK(varlink_client_call(c, "org.example.test.Exchange", secret_parameters(), TIMEOUT, &out,
                              &error) == 0);
    CHECK(!error && count_in_memory() == 1);
    varlink_json_erase_put(out);
    CHECK(count_in_memory() == 0);
    return 0;
}

TEST(client_wipes)
{
    _cleanup_(fixture_freep) Fixture *f = fixture_new();
    _cleanup_(varlink_client_freep) VarlinkClient *c = NULL;
    json_object *out;
    char *error;
    int fds[2];

    ASSERT_EQ(run_client(f, exchange_secret), 0);

    ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    ASSERT_OK(varlink_client_new(fds[0], &c));
    close(fds[1]);
    ASSERT_EQ(varlink_client_call(c, "a.b.C", secret_parameters(), 0, &out, &error), -ECONNRESET);
    ASSERT_EQ(count_in_memory(), 0);
    ASSERT_EQ(varlink_client_call(c, "a.b.C", secret_parameters(), 0, &out, &error), -ENOTCONN);
    ASSERT_EQ(count_in_memory(), 0);
}
