/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "basic/limits.h"
#include "nvme-keyd/tlshd/restart.h"
#include "test.h"

#define UNIT "tlshd.service"

/* A service manager that accepts one connection on its own socket, in the same event loop. */
typedef struct Fixture {
    char path[64], address[96];
    int listen_fd;
    bool accepts, answers;
    const char *refusal; /* name of an error, or NULL */
    sd_event *event;
    sd_event_source *incoming;
    sd_bus *server;
    char request[128]; /* as the service manager received it */
    UnitRestart *restart;
    unsigned n_done;
    int error;
} Fixture;

static void fixture_done(Fixture *f)
{
    unit_restart_free(f->restart);
    sd_bus_close_unref(f->server);
    sd_event_source_disable_unref(f->incoming);
    sd_event_unref(f->event);
    closep(&f->listen_fd);
    if (f->path[0])
        (void)unlink(f->path);
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    const char *unit, *mode;
    Fixture *f = userdata;

    (void)ret_error;
    if (!sd_bus_message_is_method_call(m, "org.freedesktop.systemd1.Manager", NULL) ||
        sd_bus_message_read(m, "ss", &unit, &mode) < 0)
        return 0;
    snprintf(f->request, sizeof(f->request), "%s %s %s %s", sd_bus_message_get_path(m),
             sd_bus_message_get_member(m), unit, mode);
    if (!f->answers)
        return 1;
    return f->refusal ? sd_bus_reply_method_errorf(m, f->refusal, "no")
                      : sd_bus_reply_method_return(m, "o", "/org/freedesktop/systemd1/job/1");
}

static int on_connect(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    Fixture *f = userdata;
    int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    sd_id128_t id;

    (void)source;
    (void)events;
    if (!f->accepts) {
        close(peer);
        return 0;
    }
    if (sd_bus_new(&f->server) < 0 || sd_bus_set_fd(f->server, peer, peer) < 0 ||
        sd_id128_randomize(&id) < 0 || sd_bus_set_server(f->server, 1, id) < 0 ||
        sd_bus_add_filter(f->server, NULL, on_message, f) < 0 || sd_bus_start(f->server) < 0 ||
        sd_bus_attach_event(f->server, f->event, 0) < 0)
        abort();
    return 0;
}

static bool fixture_new(Fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(f->path, sizeof(f->path), "/tmp/test-restart-%d", (int)getpid());
    snprintf(f->address, sizeof(f->address), "unix:path=%s", f->path);
    strcpy(address.sun_path, f->path);
    (void)unlink(f->path);
    f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    f->accepts = f->answers = true;
    return f->listen_fd >= 0 &&
           bind(f->listen_fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
           listen(f->listen_fd, 1) == 0 && sd_event_new(&f->event) >= 0 &&
           sd_event_add_io(f->event, &f->incoming, f->listen_fd, EPOLLIN, on_connect, f) >= 0;
}

#define FIXTURE                                                                                    \
    _cleanup_(fixture_done) Fixture f = {.listen_fd = -EBADF};                                     \
    ASSERT_TRUE(fixture_new(&f))

static void on_done(const char *unit, int error, void *userdata)
{
    Fixture *f = userdata;

    f->n_done += strcmp(unit, UNIT) == 0;
    f->error = error;
}

/* Runs the loop for a while, or until the result is there and nothing is left to do. */
static void run(Fixture *f)
{
    while (sd_event_run(f->event, f->n_done > 0 ? 0 : USEC_PER_SEC) > 0)
        ;
}

TEST(restart)
{
    FIXTURE;

    ASSERT_OK(unit_restart_new(f.event, f.address, UNIT, on_done, &f, &f.restart));
    /* No call has waited for it. */
    ASSERT_STR(f.request, "");
    ASSERT_EQ(f.n_done, 0);
    run(&f);
    ASSERT_STR(f.request, "/org/freedesktop/systemd1 RestartUnit " UNIT " replace");
    ASSERT_EQ(f.n_done, 1);
    ASSERT_OK(f.error);
}

TEST(refused)
{
    FIXTURE;

    f.refusal = "org.freedesktop.DBus.Error.AccessDenied";
    ASSERT_OK(unit_restart_new(f.event, f.address, UNIT, on_done, &f, &f.restart));
    run(&f);
    ASSERT_EQ(f.n_done, 1);
    ASSERT_EQ(f.error, -EACCES);
}

TEST(no_such_unit)
{
    FIXTURE;

    f.refusal = "org.freedesktop.systemd1.NoSuchUnit";
    ASSERT_OK(unit_restart_new(f.event, f.address, UNIT, on_done, &f, &f.restart));
    run(&f);
    ASSERT_EQ(f.n_done, 1);
    ASSERT_TRUE(f.error < 0);
}

TEST(hangs_up)
{
    FIXTURE;

    f.accepts = false;
    ASSERT_OK(unit_restart_new(f.event, f.address, UNIT, on_done, &f, &f.restart));
    run(&f);
    ASSERT_EQ(f.n_done, 1);
    ASSERT_TRUE(f.error < 0);
}

/* A caller that frees the restart before the answer is not called. */
TEST(freed)
{
    FIXTURE;

    f.answers = false;
    ASSERT_OK(unit_restart_new(f.event, f.address, UNIT, on_done, &f, &f.restart));
    run(&f);
    ASSERT_STR(f.request, "/org/freedesktop/systemd1 RestartUnit " UNIT " replace");
    f.restart = unit_restart_free(f.restart);
    run(&f);
    ASSERT_EQ(f.n_done, 0);
}

TEST(nobody)
{
    FIXTURE;

    ASSERT_OK(unlink(f.path));
    ASSERT_TRUE(unit_restart_new(f.event, f.address, UNIT, on_done, &f, &f.restart) < 0);
    ASSERT_TRUE(!f.restart);
}
