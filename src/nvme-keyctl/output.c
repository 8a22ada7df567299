/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nvme-keyctl/cli.h"
#include "nvme-keyctl/output.h"

/* More than the length of any reply with a secret. */
#define ROOM_SIZE 4096
/* Of a terminal that does not know its width, such as a serial console. */
#define DEFAULT_COLUMNS 80

/* Static because standard output is: stdio gives no access to a buffer of its own. */
static char buffer[BUFSIZ];

int output_init(void)
{
    /* The wrong mode on purpose, as glibc does for setuid programs: reading and writing fail. */
    static const int modes[] = {
        [STDIN_FILENO] = O_WRONLY, [STDOUT_FILENO] = O_RDONLY, [STDERR_FILENO] = O_RDONLY};

    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd] | O_NOCTTY) < 0)
            return -errno;
    (void)setvbuf(stdout, buffer, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, sizeof(buffer));
    return 0;
}

unsigned output_columns(void)
{
    struct winsize size;

    if (!isatty(STDOUT_FILENO))
        return 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return DEFAULT_COLUMNS;
    return size.ws_col;
}

/* Checks a regular file for room, and a character device for /dev/full. */
static int check_room(void)
{
    struct stat st;
    off_t offset;

    if (fstat(STDOUT_FILENO, &st) < 0)
        return -errno;
    if (S_ISCHR(st.st_mode) && write(STDOUT_FILENO, "", 0) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return 0;
    offset =
        fcntl(STDOUT_FILENO, F_GETFL) & O_APPEND ? st.st_size : lseek(STDOUT_FILENO, 0, SEEK_CUR);
    if (offset >= 0 && fallocate(STDOUT_FILENO, FALLOC_FL_KEEP_SIZE, offset, ROOM_SIZE) < 0 &&
        (errno == ENOSPC || errno == EDQUOT || errno == EIO))
        return -errno;
    return 0;
}

static int check(void)
{
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
    int flags = fcntl(STDOUT_FILENO, F_GETFL);

    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    /* A pipe or a terminal without its other end. */
    if (poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLHUP))
        return -EPIPE;
    return check_room();
}

int output_check_secret(const char *what)
{
    int r = check();

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    return r < 0 ? cli_fail(EXIT_OTHER,
                            "cannot show the %s, so nothing was changed: standard output %s", what,
                            output_error_text(r))
                 : EXIT_OK;
}

int output_flush(void)
{
    int r = fflush(stdout) != 0 ? -errno : 0;

    explicit_bzero(buffer, sizeof(buffer));
    if (r < 0)
        return r;
    /* An earlier write has consumed errno. */
    return ferror(stdout) ? -EIO : 0;
}

const char *output_error_text(int error)
{
    switch (error) {
    case -EBADF:
        return "is closed";
    case -EPIPE:
        return "has lost its reader";
    case -ENOSPC:
        return "is full (No space left on device)";
    case -EDQUOT:
        return "is full (Disk quota exceeded)";
    case -EFBIG:
        return "has reached its size limit (File too large)";
    default:
        return "cannot be written (Input/output error)";
    }
}

int output_finish(int result, const char *look)
{
    int r = output_flush();

    if (fclose(stdout) != 0 && r == 0)
        r = -errno;
    if (r == 0 || result != EXIT_OK)
        return result;
    if (!look)
        return cli_fail(EXIT_OTHER, "standard output %s, so the output is incomplete",
                        output_error_text(r));
    return cli_fail(EXIT_OTHER, "standard output %s, but the change was made: see %s",
                    output_error_text(r), look);
}
