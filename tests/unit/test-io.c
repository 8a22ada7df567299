/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "test.h"
#include "tree.h"

/* A directory for one test. All tests together use these names only. */
static const char *const names[] = {"file", "other", "link", "dangling", "fifo", "socket"};

typedef struct Place {
    char path[32];
    int fd;
} Place;

static void place_done(const Place *p)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        (void)unlinkat(p->fd, names[i], 0);
    (void)unlinkat(p->fd, "dir", AT_REMOVEDIR);
    closep(&p->fd);
    /* One test mounts a file system here. */
    (void)umount2(p->path, MNT_DETACH);
    (void)rmdir(p->path);
}

static Place place_new(void)
{
    Place p = {"/tmp/test-io.XXXXXX", -EBADF};

    if (mkdtemp(p.path))
        p.fd = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return p;
}

static bool exists(const Place *p, const char *name)
{
    struct stat st;

    return fstatat(p->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool holds(const Place *p, const char *name, const char *expected)
{
    _cleanup_(freep) char *data = NULL;
    char path[64];
    size_t size;

    (void)snprintf(path, sizeof(path), "%s/%s", p->path, name);
    return tree_read(path, &data, &size) == 0 && size == strlen(expected) &&
           strcmp(data, expected) == 0;
}

/* Returns the error for a file that must be refused, and 1 if the line was touched. */
static int read_refused(const Place *p, const char *name)
{
    char path[64], line[9] = "same";
    int r;

    (void)snprintf(path, sizeof(path), "%s/%s", p->path, name);
    r = io_read_line(path, line, sizeof(line));
    return strcmp(line, "same") == 0 ? r : 1;
}

TEST(read_refuses_other_than_files)
{
    _cleanup_(place_done) Place p = place_new();
    _cleanup_(closep) int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    ASSERT_OK(io_write_file_at(p.fd, "file", "x", 1));
    ASSERT_OK(symlinkat("file", p.fd, "link"));
    ASSERT_OK(symlinkat("nowhere", p.fd, "dangling"));
    ASSERT_OK(mkfifoat(p.fd, "fifo", 0600));
    ASSERT_OK(mkdirat(p.fd, "dir", 0700));
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", p.path);
    ASSERT_OK(bind(sock, (const struct sockaddr *)&address, sizeof(address)));

    ASSERT_EQ(read_refused(&p, "link"), 1);
    ASSERT_EQ(read_refused(&p, "dangling"), -ENOENT);
    ASSERT_EQ(read_refused(&p, "fifo"), -EINVAL);
    ASSERT_EQ(read_refused(&p, "dir"), -EINVAL);
    ASSERT_EQ(read_refused(&p, "socket"), -ENXIO);
    ASSERT_EQ(read_refused(&p, "../../dev/null"), -EINVAL);
    ASSERT_EQ(read_refused(&p, "other"), -ENOENT);
    ASSERT_EQ(read_refused(&p, "file/other"), -ENOTDIR);
}

/* Runs io_read_line() on a file of this content, with room for 8 characters. */
static int read_line(const Place *p, const char *content, size_t size, char ret[static 9])
{
    char path[64];

    if (io_write_file_at(p->fd, "file", content, size) < 0)
        return -EIO;
    (void)snprintf(path, sizeof(path), "%s/file", p->path);
    return io_read_line(path, ret, 9);
}

TEST(read_first_line)
{
    static const char *const same[] = {"abc",        "abc\n",      "abc\r\n", " \tabc \t\n",
                                       "abc\nxyz\n", "abc\n\nxyz", "abc\t"};
    _cleanup_(place_done) Place p = place_new();
    char line[9], large[4097];

    for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
        ASSERT_OK(read_line(&p, same[i], strlen(same[i]), line));
        ASSERT_STR(line, "abc");
    }
    ASSERT_OK(read_line(&p, "12345678\n", 9, line));
    ASSERT_STR(line, "12345678");

    strcpy(line, "same");
    ASSERT_EQ(read_line(&p, "123456789\n", 10, line), -ENOBUFS);
    ASSERT_EQ(read_line(&p, "", 0, line), -ENODATA);
    ASSERT_EQ(read_line(&p, " \t\n", 3, line), -ENODATA);
    ASSERT_EQ(read_line(&p, "\nabc\n", 5, line), -ENODATA);
    memset(large, 'x', sizeof(large));
    ASSERT_EQ(read_line(&p, large, sizeof(large), line), -EFBIG);
    ASSERT_EQ(io_read_line("/nonexistent", line, sizeof(line)), -ENOENT);
    ASSERT_STR(line, "same");
}

/* A blank inside the line stays, so a caller who expects a name finds out that it is none. */
TEST(read_line_with_blanks_inside)
{
    _cleanup_(place_done) Place p = place_new();
    char line[9] = "";

    ASSERT_OK(read_line(&p, " ab cd \n", 8, line));
    ASSERT_STR(line, "ab cd");
}

TEST(write_is_private)
{
    _cleanup_(place_done) Place p = place_new();
    mode_t old = umask(0);
    struct stat st;

    ASSERT_OK(io_write_file_at(p.fd, "file", "secret", 6));
    umask(old);
    ASSERT_OK(fstatat(p.fd, "file", &st, AT_SYMLINK_NOFOLLOW));
    ASSERT_EQ(st.st_mode, S_IFREG | 0600);
    ASSERT_TRUE(holds(&p, "file", "secret"));
    ASSERT_OK(io_sync_dir(p.fd));
    ASSERT_EQ(io_sync_dir(-1), -EBADF);
}

TEST(write_replaces)
{
    _cleanup_(place_done) Place p = place_new();
    _cleanup_(closep) int old = -EBADF;
    char text[8] = "";

    ASSERT_OK(io_write_file_at(p.fd, "file", "longer text", 11));
    old = openat(p.fd, "file", O_RDONLY | O_CLOEXEC);
    ASSERT_OK(fchmodat(p.fd, "file", 0644, 0));
    ASSERT_OK(io_write_file_at(p.fd, "file", "new", 3));
    ASSERT_TRUE(holds(&p, "file", "new"));
    ASSERT_EQ(pread(old, text, 6, 0), 6);
    ASSERT_STR(text, "longer");

    /* A symbolic link is replaced, and its target left alone. */
    ASSERT_OK(symlinkat("file", p.fd, "link"));
    ASSERT_OK(io_write_file_at(p.fd, "link", "own", 3));
    ASSERT_TRUE(holds(&p, "link", "own") && holds(&p, "file", "new"));
    ASSERT_OK(symlinkat("other", p.fd, "dangling"));
    ASSERT_OK(io_write_file_at(p.fd, "dangling", "own", 3));
    ASSERT_TRUE(holds(&p, "dangling", "own") && !exists(&p, "other"));
}

TEST(write_errors)
{
    _cleanup_(place_done) Place p = place_new();

    ASSERT_OK(mkdirat(p.fd, "dir", 0700));
    ASSERT_EQ(io_write_file_at(p.fd, "dir", "x", 1), -EISDIR);
    ASSERT_TRUE(exists(&p, "dir"));
    ASSERT_EQ(io_write_file_at(p.fd, "missing/file", "x", 1), -ENOENT);
    ASSERT_EQ(io_write_file_at(-1, "file", "x", 1), -EBADF);
}

TEST(write_without_space)
{
    _cleanup_(place_done) Place p = place_new();
    _cleanup_(freep) char *data = calloc(1, 65536);
    static const char options[] = "size=16k,mode=0700";

    ASSERT_TRUE(data);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", p.path, "tmpfs", 0, options) < 0)
        TEST_SKIP("needs the right to mount");
    close(p.fd);
    p.fd = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    ASSERT_EQ(io_write_file_at(p.fd, "file", data, 65536), -ENOSPC);
    ASSERT_TRUE(!exists(&p, "file"));
    /* The failed write has freed its space. */
    ASSERT_OK(io_write_file_at(p.fd, "other", data, 12000));
    ASSERT_EQ(io_write_file_at(p.fd, "file", data, 8000), -ENOSPC);
    ASSERT_TRUE(!exists(&p, "file") && exists(&p, "other"));
}

static void on_alarm(int signal)
{
    (void)signal;
}

/* Interrupts system calls each millisecond, without SA_RESTART. */
static void interrupt_often(bool on)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval timer = {{0, on ? 1000 : 0}, {0, on ? 1000 : 0}};

    (void)sigaction(SIGALRM, &action, NULL);
    (void)setitimer(ITIMER_REAL, &timer, NULL);
}

TEST(wait)
{
    uint64_t start = now_monotonic();
    int ends[2], r;

    ASSERT_OK(pipe2(ends, O_CLOEXEC));
    ASSERT_OK(io_wait(ends[1], POLLOUT, 0));
    ASSERT_OK(io_wait(ends[1], POLLOUT, start + 60 * USEC_PER_SEC));
    ASSERT_EQ(io_wait(ends[1], POLLOUT, 1), -ETIMEDOUT);
    ASSERT_EQ(io_wait(ends[0], POLLIN, start + 20000), -ETIMEDOUT);
    ASSERT_TRUE(now_monotonic() >= start + 20000);

    start = now_monotonic();
    interrupt_often(true);
    r = io_wait(ends[0], POLLIN, start + 50000);
    interrupt_often(false);
    ASSERT_EQ(r, -ETIMEDOUT);
    ASSERT_TRUE(now_monotonic() >= start + 50000 && now_monotonic() < start + 60 * USEC_PER_SEC);

    ASSERT_EQ(write(ends[1], "x", 1), 1);
    ASSERT_OK(io_wait(ends[0], POLLIN, 0));
    ASSERT_OK(io_wait(ends[0], POLLIN, now_monotonic() + 3600 * USEC_PER_SEC));
    close(ends[1]);
    close(ends[0]);
}

/* Reads slowly to the end, and exits with 0 if it read size bytes of i % 251. */
static _Noreturn void read_slowly(int fd, size_t size)
{
    uint8_t buffer[5000];
    size_t have = 0;
    ssize_t n;

    while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
        for (ssize_t i = 0; i < n; i++, have++)
            if (buffer[i] != have % 251)
                _exit(1);
        (void)poll(NULL, 0, 2);
    }
    _exit(have != size);
}

TEST(write_all_in_parts)
{
    enum {
        SIZE = 300000
    };
    _cleanup_(freep) uint8_t *data = malloc(SIZE);
    int ends[2], status, r;
    pid_t child;

    ASSERT_TRUE(data);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i % 251);
    ASSERT_OK(pipe2(ends, O_CLOEXEC));
    fflush(stdout);
    child = fork();
    if (child == 0) {
        close(ends[1]);
        read_slowly(ends[0], SIZE);
    }
    close(ends[0]);
    interrupt_often(true);
    r = io_write_all(ends[1], data, SIZE);
    interrupt_often(false);
    close(ends[1]);
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_OK(r);
    ASSERT_OK(status);
}

TEST(write_all_errors)
{
    int ends[2];

    ASSERT_TRUE(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    ASSERT_OK(pipe2(ends, O_CLOEXEC));
    close(ends[0]);
    ASSERT_EQ(io_write_all(ends[1], "x", 1), -EPIPE);
    ASSERT_OK(io_write_all(ends[1], "", 0));
    close(ends[1]);
    ASSERT_EQ(io_write_all(ends[1], "x", 1), -EBADF);
}

TEST(clocks)
{
    uint64_t monotonic = now_monotonic(), seconds = (uint64_t)time(NULL);

    (void)poll(NULL, 0, 3);
    ASSERT_TRUE(now_monotonic() >= monotonic + 3000);
    ASSERT_TRUE(now_monotonic() < monotonic + 60 * USEC_PER_SEC);
    ASSERT_TRUE(now_realtime() / USEC_PER_SEC - seconds < 60);
}

/* A part, then the rest up to the end. */
TEST(read_up_to)
{
    char data[8];
    size_t n = 9;
    int pipe_fds[2];

    ASSERT_OK(pipe(pipe_fds));
    ASSERT_OK(io_write_all(pipe_fds[1], "abcdef", 6));
    ASSERT_OK(io_read_up_to(pipe_fds[0], data, 4, &n));
    ASSERT_TRUE(n == 4 && memcmp(data, "abcd", 4) == 0);
    close(pipe_fds[1]);
    ASSERT_OK(io_read_up_to(pipe_fds[0], data, sizeof(data), &n));
    ASSERT_TRUE(n == 2 && memcmp(data, "ef", 2) == 0);
    ASSERT_OK(io_read_up_to(pipe_fds[0], data, sizeof(data), &n));
    ASSERT_EQ(n, 0);
    close(pipe_fds[0]);
    ASSERT_EQ(io_read_up_to(pipe_fds[0], data, sizeof(data), &n), -EBADF);
}
