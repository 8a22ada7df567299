/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <pthread.h>

#include "basic/limits.h"
#include "basic/names.h"
#include "nvme-keyd/upcall/limits.h"
#include "test.h"

/* The shim links no library, so this test includes its file. Its socket is in the directory of a
 * test, and the test sets its time limit. */
static uint64_t time_given_usec;
#undef NAMES_REQUEST_SOCKET
#define NAMES_REQUEST_SOCKET "request"
#undef UPCALL_DEADLINE_USEC
#define UPCALL_DEADLINE_USEC time_given_usec
#include "request-key-shim/ask.c"

#define USEC_PER_MSEC ((uint64_t)1000)
#define ENOUGH_USEC (60 * USEC_PER_SEC)

/* The reaction of the server to one connection. */
typedef struct Action {
    size_t reply_size; /* 0 for none */
    unsigned wait_msec;
    bool stay; /* keep the connection open without a reply */
} Action;

typedef struct Daemon {
    char directory[32];
    int listen_fd;
    pthread_t thread;
    const Action *actions; /* ends with one that is all zero */
    UpcallReply reply[2];  /* the second one follows the valid size */
    UpcallRequest request;
    size_t request_size;
    unsigned asked;
} Daemon;

static void *serve(void *userdata)
{
    int peers[4] = {-1, -1, -1, -1};
    Daemon *d = userdata;

    for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
        const Action *a = &d->actions[i];
        int fd = accept(d->listen_fd, NULL, NULL);

        if (fd < 0)
            break;
        d->asked++;
        d->request_size = (size_t)recv(fd, &d->request, sizeof(d->request), MSG_TRUNC);
        (void)usleep(a->wait_msec * (unsigned)USEC_PER_MSEC);
        if (a->reply_size > 0)
            (void)send(fd, d->reply, a->reply_size, MSG_NOSIGNAL);
        if (a->stay)
            peers[i] = fd;
        else
            close(fd);
    }
    for (size_t i = 0; i < ARRAY_SIZE(peers); i++)
        if (peers[i] >= 0)
            close(peers[i]);
    return NULL;
}

static void daemon_end(Daemon *d)
{
    if (d->listen_fd >= 0) {
        shutdown(d->listen_fd, SHUT_RDWR);
        pthread_join(d->thread, NULL);
        close(d->listen_fd);
    }
    (void)unlink(NAMES_REQUEST_SOCKET);
    if (chdir("/") < 0)
        abort();
    (void)rmdir(d->directory);
}

static bool enter_directory(Daemon *d)
{
    time_given_usec = ENOUGH_USEC;
    *d = (Daemon){.directory = "/tmp/test-shim-ask.XXXXXX",
                  .listen_fd = -1,
                  .reply[0] = {.magic = UPCALL_MAGIC, .size = 3, .payload = "abc"}};
    return mkdtemp(d->directory) && chdir(d->directory) == 0;
}

static bool daemon_start(Daemon *d, const Action *actions)
{
    const struct sockaddr_un address = {AF_UNIX, NAMES_REQUEST_SOCKET};

    if (!enter_directory(d))
        return false;
    d->actions = actions;
    d->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    return bind(d->listen_fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
           listen(d->listen_fd, 4) == 0 && pthread_create(&d->thread, NULL, serve, d) == 0;
}

#define DAEMON(...)                                                                                \
    const Action actions[5] = {__VA_ARGS__};                                                       \
    _cleanup_(daemon_end) Daemon d;                                                                \
    if (!daemon_start(&d, actions))                                                                \
    TEST_FAIL("no daemon")

static const ShimArguments pair = {1, 0, "user", "nvme-tls-psk:a b", ""};
static UpcallReply reply;

static int ask(const ShimArguments *a, uint64_t *ret_msec)
{
    uint64_t begin = now_usec();
    int r;

    memset(&reply, 0xaa, sizeof(reply));
    r = ask_daemon(a, &reply);
    *ret_msec = (now_usec() - begin) / USEC_PER_MSEC;
    return r;
}

TEST(answer)
{
    uint64_t msec;
    DAEMON({.reply_size = sizeof(UpcallReply)});

    ASSERT_OK(ask(&pair, &msec));
    ASSERT_EQ(reply.size, 3);
    ASSERT_MEM(reply.payload, "abc", 3);
    ASSERT_EQ(d.asked, 1);
    ASSERT_EQ(d.request_size, offsetof(UpcallRequest, text) + strlen(pair.description));
    ASSERT_EQ(d.request.magic, UPCALL_MAGIC);
    ASSERT_STR(d.request.type, "user");
    ASSERT_MEM(d.request.text, pair.description, strlen(pair.description));
}

TEST(callout)
{
    const ShimArguments a = {1, 0, "psk", "b", "version=1 x"};
    uint64_t msec;
    DAEMON({.reply_size = sizeof(UpcallReply)});

    ASSERT_OK(ask(&a, &msec));
    ASSERT_EQ(d.request_size, offsetof(UpcallRequest, text) + sizeof("b\0version=1 x") - 1);
    ASSERT_MEM(d.request.text, "b\0version=1 x", sizeof("b\0version=1 x") - 1);
}

TEST(longest)
{
    char type[UPCALL_TYPE_MAX + 1], description[KEY_DESCRIPTION_MAX + 1];
    char callout[UPCALL_CALLOUT_MAX + 1];
    const ShimArguments a = {1, 0, type, description, callout};
    uint64_t msec;
    DAEMON({.reply_size = sizeof(UpcallReply)});

    memset(type, 't', sizeof(type));
    memset(description, 'd', sizeof(description));
    memset(callout, 'c', sizeof(callout));
    type[sizeof(type) - 1] = description[sizeof(description) - 1] = callout[sizeof(callout) - 1] =
        '\0';
    ASSERT_OK(ask(&a, &msec));
    ASSERT_STR(d.request.type, type);
    ASSERT_EQ(d.request_size,
              offsetof(UpcallRequest, text) + strlen(description) + 1 + strlen(callout));
    ASSERT_STR(d.request.text, description);
    ASSERT_MEM(d.request.text + sizeof(description), callout, strlen(callout));
}

TEST(bad_sizes)
{
    static const size_t sizes[] = {
        1, 15, 16, sizeof(UpcallReply) - 1, sizeof(UpcallReply) + 1, 2 * sizeof(UpcallReply)};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint64_t msec;
        int r;
        DAEMON({.reply_size = sizes[i]});

        r = ask(&pair, &msec);
        if (r != -EBADMSG || d.asked > 1)
            TEST_FAIL("%zu bytes: %d, asked %u times", sizes[i], r, d.asked);
    }
}

TEST(bad_replies)
{
    static const UpcallReply replies[] = {
        {.magic = 0},
        {.magic = UPCALL_MAGIC + 1},
        {.magic = UPCALL_MAGIC, .size = UPCALL_PAYLOAD_MAX + 1},
        {.magic = UPCALL_MAGIC, .size = UINT32_MAX},
        {.magic = UPCALL_MAGIC, .error = 4095},
        {.magic = UPCALL_MAGIC, .error = UINT32_MAX},
    };

    for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
        uint64_t msec;
        DAEMON({.reply_size = sizeof(UpcallReply)});

        d.reply[0] = replies[i];
        if (ask(&pair, &msec) != -EBADMSG)
            TEST_FAIL("reply %zu is taken", i);
    }
}

/* The daemon died with the request, and its socket still belongs to the service manager. */
TEST(asked_again)
{
    uint64_t msec;
    DAEMON({.wait_msec = 0}, {.reply_size = sizeof(UpcallReply)});

    ASSERT_OK(ask(&pair, &msec));
    ASSERT_EQ(d.asked, 2);
    ASSERT_EQ(reply.size, 3);
}

TEST(asked_twice_only)
{
    uint64_t msec;
    DAEMON({.wait_msec = 0}, {.wait_msec = 0}, {.reply_size = sizeof(UpcallReply)});

    ASSERT_EQ(ask(&pair, &msec), -ECONNRESET);
    ASSERT_EQ(d.asked, 2);
}

/* True if it ended at the deadline, with the delay of a slow machine. */
static bool in_time(uint64_t msec, uint64_t slack_msec)
{
    uint64_t all = time_given_usec / USEC_PER_MSEC;

    if (msec >= all - 20 && msec < all + slack_msec)
        return true;
    printf("# %llu ms\n", (unsigned long long)msec);
    return false;
}

TEST(no_answer)
{
    uint64_t msec;
    DAEMON({.stay = true});

    time_given_usec = USEC_PER_SEC / 2;
    ASSERT_EQ(ask(&pair, &msec), -ETIMEDOUT);
    ASSERT_TRUE(in_time(msec, 30000));
}

/* Both tries share one time limit. */
TEST(no_answer_again)
{
    uint64_t msec;
    DAEMON({.wait_msec = 3000}, {.stay = true});

    time_given_usec = 4 * USEC_PER_SEC;
    ASSERT_EQ(ask(&pair, &msec), -ETIMEDOUT);
    ASSERT_TRUE(in_time(msec, 2900));
}

TEST(late)
{
    uint64_t msec;
    DAEMON({.wait_msec = 400, .reply_size = sizeof(UpcallReply)});

    ASSERT_OK(ask(&pair, &msec));
}

TEST(queue_full)
{
    const struct sockaddr_un address = {AF_UNIX, NAMES_REQUEST_SOCKET};
    _cleanup_(closep) int waiting = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    _cleanup_(daemon_end) Daemon d;
    uint64_t msec;

    ASSERT_TRUE(enter_directory(&d));
    ASSERT_OK(bind(fd, (const struct sockaddr *)&address, sizeof(address)));
    ASSERT_OK(listen(fd, 0));
    ASSERT_OK(connect(waiting, (const struct sockaddr *)&address, sizeof(address)));
    time_given_usec = USEC_PER_SEC / 2;
    ASSERT_EQ(ask(&pair, &msec), -ETIMEDOUT);
    ASSERT_TRUE(in_time(msec, 30000));
}

TEST(nobody)
{
    const struct sockaddr_un address = {AF_UNIX, NAMES_REQUEST_SOCKET};
    _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    _cleanup_(daemon_end) Daemon d;
    uint64_t msec;
    int next = dup(fd);

    close(next);
    ASSERT_TRUE(enter_directory(&d));
    ASSERT_EQ(ask(&pair, &msec), -ENOENT);
    ASSERT_OK(bind(fd, (const struct sockaddr *)&address, sizeof(address)));
    ASSERT_EQ(ask(&pair, &msec), -ECONNREFUSED);
    /* All descriptors were closed. */
    ASSERT_EQ(dup(fd), next);
    close(next);
}
