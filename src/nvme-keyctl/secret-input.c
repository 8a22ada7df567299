/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>

#include "credstore/seal/recovery-key.h"
#include "nvme-keyctl/cli.h"

/* Room for white space around a secret, and to detect one that is too long. */
#define INPUT_MAX 4096
/* Shorter than any key, longer than a mention of the format in a comment. */
#define SECRET_WORD_MIN 32
/* Hex digits of the IDs that the replies of Generate and AddSlot have. */
#define KEY_ID_LENGTH 16
#define SLOT_ID_LENGTH 8

/* A terminal without echo. Signals that end the program wait until echo is on again. */
typedef struct Prompt {
    int fd;
    struct termios saved;
    sigset_t mask;
    int signals; /* signalfd */
} Prompt;

static void prompt_done(Prompt *p)
{
    if (p->fd >= 0) {
        (void)tcsetattr(p->fd, TCSAFLUSH, &p->saved);
        (void)fputc('\n', stderr);
    }
    if (p->signals >= 0) {
        /* Delivers a signal that is pending. */
        close(p->signals);
        (void)sigprocmask(SIG_SETMASK, &p->mask, NULL);
    }
}

static int prompt_start(Prompt *p, int fd, const char *question)
{
    struct termios silent;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGTSTP);
    if (tcgetattr(fd, &silent) < 0 || sigprocmask(SIG_BLOCK, &set, &p->mask) < 0)
        return -errno;
    p->signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (p->signals < 0)
        return -errno;
    p->fd = fd;
    p->saved = silent;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    (void)fputs(question, stderr);
    return tcsetattr(fd, TCSAFLUSH, &silent) < 0 ? -errno : 0;
}

/* Reads one line from a terminal without echo. Returns -EINTR after a signal that did not end us.
 */
static int read_prompt(int fd, const char *question, Secret **ret)
{
    _cleanup_(prompt_done) Prompt prompt = {.fd = -EBADF, .signals = -EBADF};
    _cleanup_(secret_freep) Secret *line = secret_new(INPUT_MAX);
    struct pollfd wait[2];
    ssize_t n;
    int r;

    if (!line)
        return -ENOMEM;
    r = prompt_start(&prompt, fd, question);
    if (r < 0)
        return r;
    wait[0] = (struct pollfd){.fd = fd, .events = POLLIN};
    wait[1] = (struct pollfd){.fd = prompt.signals, .events = POLLIN};
    if (poll(wait, 2, -1) < 0)
        return -errno;
    if (wait[1].revents)
        return -EINTR;
    /* A terminal hands out whole lines. */
    n = read(fd, line->data, line->size);
    if (n <= 0)
        return n < 0 ? -errno : -ENODATA;
    *ret = secret_new_copy(line->data, (size_t)n);
    return *ret ? 0 : -ENOMEM;
}

void cli_warn_of_mode(int fd, const char *path)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077))
        (void)cli_fail(EXIT_OK, "warning: other users can read %s (mode %04o)", path,
                       (unsigned)st.st_mode & 07777);
}

/* Returns -1 and errno. */
static int open_key_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd >= 0)
        cli_warn_of_mode(fd, path);
    return fd;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Copies s from start on without the white space around it, which editors and echo(1) leave. */
static Secret *trim(const Secret *s, size_t start)
{
    size_t end = s->size;

    while (start < end && is_space(s->data[start]))
        start++;
    while (end > start && is_space(s->data[end - 1]))
        end--;
    return secret_new_copy(s->data + start, end - start);
}

/* "generate --print-key" and "slot add recovery" print an ID on a line before the secret, and their
 * output is valid input. Returns the length of such a line, 0 for none. */
static size_t find_id_line(const Secret *s, size_t id_length)
{
    size_t n = 0;

    while (n < s->size &&
           ((s->data[n] >= '0' && s->data[n] <= '9') || (s->data[n] >= 'a' && s->data[n] <= 'f')))
        n++;
    return n == id_length && n < s->size && (s->data[n] == '\n' || s->data[n] == '\r') ? n : 0;
}

/* After Ctrl-Z and SIGCONT the prompt appears again. */
static int ask(int fd, const char *question, Secret **ret)
{
    int r;

    do
        r = read_prompt(fd, question, ret);
    while (r == -EINTR);
    return r;
}

/* Reads a secret without white space around it and without an ID line before it. what names it in
 * messages. */
static int read_secret(const Options *o, const char *what, const char *question, size_t id_length,
                       Secret **ret)
{
    _cleanup_(closep) int file = -EBADF;
    _cleanup_(secret_freep) Secret *raw = NULL, *trimmed = NULL;
    const char *from = o->key_file ? o->key_file : "standard input";
    size_t id_line;
    int r;

    if (o->key_file && strcmp(o->key_file, "-") != 0) {
        file = open_key_file(o->key_file);
        if (file < 0)
            return cli_fail(EXIT_INVALID, "cannot open %s: %s", o->key_file, strerror(errno));
    }
    r = file < 0 && isatty(STDIN_FILENO)
            ? ask(STDIN_FILENO, question, &raw)
            : secret_read_fd(file >= 0 ? file : STDIN_FILENO, INPUT_MAX, 0, &raw);
    if (r == -ENODATA)
        return cli_fail(EXIT_INVALID, "%s holds no %s", from, what);
    if (r == -EFBIG)
        return cli_fail(EXIT_INVALID, "%s is too long for a %s", from, what);
    if (r == -EBADF)
        return cli_fail(EXIT_INVALID, "cannot read the %s: %s is closed", what, from);
    if (raw)
        trimmed = trim(raw, 0);
    if (trimmed && (id_line = find_id_line(trimmed, id_length)) > 0) {
        _cleanup_(secret_freep) Secret *both = TAKE_PTR(trimmed);

        trimmed = trim(both, id_line);
    }
    if (r < 0 || !trimmed)
        return cli_fail(EXIT_OTHER, "cannot read the %s from %s: %s", what, from,
                        strerror(r < 0 ? -r : ENOMEM));

    *ret = TAKE_PTR(trimmed);
    return EXIT_OK;
}

/* A mention of the format is shorter than a secret. */
static bool has_secret_text(const char *word)
{
    static const char *const prefixes[] = {"NVMeTLSkey-", "DHHC-1:"};

    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        const char *found = strstr(word, prefixes[i]);

        if (found && strcspn(found, " \t\n") >= SECRET_WORD_MIN)
            return true;
    }
    return false;
}

bool cli_is_secret(const char *word)
{
    _cleanup_(secret_freep) Secret *key = NULL;
    unsigned group;
    int r;

    if (has_secret_text(word))
        return true;
    r = recovery_key_parse(word, strlen(word), &key, &group);
    return r == 0 || r == -EBADMSG;
}

int cli_read_psk(const Options *o, const char *hostnqn, const char *subsysnqn, Secret **ret)
{
    _cleanup_(freep) char *question = NULL;
    _cleanup_(secret_freep) Secret *psk = NULL, *configured = NULL;
    PskHash hash;
    int r;

    if (asprintf(&question, "PSK of host %s\nand subsystem %s (NVMeTLSkey-1:...): ", hostnqn,
                 subsysnqn) < 0)
        return cli_out_of_memory();
    r = read_secret(o, "PSK", question, KEY_ID_LENGTH, &psk);

    if (!psk)
        return r;
    r = psk_interchange_parse((const char *)psk->data, psk->size, &hash, &configured);
    if (r != 0)
        return cli_fail(EXIT_INVALID, "not a PSK: %s", psk_error_text(r));
    *ret = TAKE_PTR(psk);
    return EXIT_OK;
}

int cli_read_recovery_key(const Options *o, Secret **ret)
{
    _cleanup_(secret_freep) Secret *text = NULL, *key = NULL;
    unsigned group;
    int r = read_secret(o, "recovery key", "Recovery key: ", SLOT_ID_LENGTH, &text);

    if (!text)
        return r;
    r = recovery_key_parse((const char *)text->data, text->size, &key, &group);
    if (r == -EBADMSG)
        return cli_fail(EXIT_INVALID, "group %u of the recovery key has a typing error", group);
    if (r == -EINVAL)
        return cli_fail(EXIT_INVALID,
                        "this is no recovery key, which has %d groups of %d letters and digits",
                        RECOVERY_KEY_GROUPS, RECOVERY_KEY_GROUP_LENGTH);
    if (r < 0)
        return cli_fail(EXIT_OTHER, "cannot read the recovery key: %s", strerror(-r));
    *ret = TAKE_PTR(text);
    return EXIT_OK;
}
