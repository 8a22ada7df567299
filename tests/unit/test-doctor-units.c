/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "basic/limits.h"
#include "basic/macro.h"
#include "nvme-keyctl/doctor/units.h"
#include "test.h"

/* A service manager in a process of its own, which serves one connection. */
typedef struct Server {
    char path[64], address[96];
    int listen_fd;
    pid_t pid;
} Server;

/* tlshd.service is disabled, and a socket has no result. */
static const char *value_of(const char *path, const char *interface, const char *property)
{
    bool is_tlshd = strstr(path, "/tlshd_2eservice"), is_socket = strstr(path, "_2esocket");

    if (strcmp(property, "LoadState") == 0)
        return strstr(path, "keysd") ? "not-found" : "loaded";
    if (strcmp(property, "ActiveState") == 0)
        return "active";
    if (strcmp(property, "UnitFileState") == 0)
        return is_tlshd ? "disabled" : "enabled";
    if (is_socket || !strstr(interface, ".Service"))
        return NULL;
    return strcmp(property, "Result") == 0 ? "success" : "shared";
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    const char *interface, *property, *value;

    (void)userdata;
    (void)ret_error;
    if (!sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", "Get") ||
        sd_bus_message_read(m, "ss", &interface, &property) < 0)
        return 0;
    value = value_of(sd_bus_message_get_path(m), interface, property);
    return value ? sd_bus_reply_method_return(m, "v", "s", value)
                 : sd_bus_reply_method_errorf(m, SD_BUS_ERROR_UNKNOWN_INTERFACE, "no");
}

static void serve(int listen_fd)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    sd_bus *bus = NULL;
    sd_id128_t id;
    int r = 0;

    if (fd < 0 || sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, fd, fd) < 0 ||
        sd_id128_randomize(&id) < 0 || sd_bus_set_server(bus, 1, id) < 0 ||
        sd_bus_add_filter(bus, NULL, on_message, NULL) < 0 || sd_bus_start(bus) < 0)
        _exit(EXIT_FAILURE);
    while (r >= 0)
        if ((r = sd_bus_process(bus, NULL)) == 0)
            r = sd_bus_wait(bus, UINT64_MAX);
    _exit(EXIT_SUCCESS);
}

static void server_done(const Server *s)
{
    if (s->pid > 0) {
        (void)kill(s->pid, SIGKILL);
        (void)waitpid(s->pid, NULL, 0);
    }
    closep(&s->listen_fd);
    (void)unlink(s->path);
}

static Server server_new(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    Server s = {.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};

    snprintf(s.path, sizeof(s.path), "/tmp/test-units-%d", (int)getpid());
    snprintf(s.address, sizeof(s.address), "unix:path=%s", s.path);
    strcpy(address.sun_path, s.path);
    (void)unlink(s.path);
    if (bind(s.listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(s.listen_fd, 1) < 0 || (s.pid = fork()) < 0)
        abort();
    if (s.pid == 0)
        serve(s.listen_fd);
    return s;
}

static const DoctorUnit *find(const Doctor *d, const char *name)
{
    for (size_t i = 0; i < d->n_units; i++)
        if (strcmp(d->units[i].name, name) == 0)
            return &d->units[i];
    abort();
}

TEST(states)
{
    _cleanup_(server_done) Server s = server_new();
    Doctor d = {.units = NULL};

    ASSERT_OK(units_read(&d, s.address));
    ASSERT_OK(d.units_error);
    ASSERT_STR(find(&d, "tlshd.service")->file, "disabled");
    ASSERT_STR(find(&d, "tlshd.service")->keyring_mode, "shared");
    ASSERT_STR(find(&d, "nvme-keyd-preload.service")->result, "success");
    ASSERT_STR(find(&d, "nvme-keyd.socket")->file, "enabled");
    ASSERT_STR(find(&d, "nvme-keyd.socket")->result, "");
    ASSERT_STR(find(&d, "nvme-keysd.service")->load, "not-found");
    free(d.units);
}

TEST(nobody_answers)
{
    Doctor d = {.units = NULL};

    ASSERT_OK(units_read(&d, "unix:path=/nowhere/systemd"));
    ASSERT_EQ(d.units_error, -ENOENT);
    ASSERT_TRUE(d.units);
    free(d.units);
}
