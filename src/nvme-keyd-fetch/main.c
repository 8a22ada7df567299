/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/crypto-memory.h"
#include "basic/exit-code.h"
#include "basic/log.h"
#include "build-config.h"
#include "nvme-keyd-fetch/fetch.h"
#include "nvme-keyd-fetch/http.h"

/* nvme-keyd-fetch: brings the envelopes of this machine from a source into an inbox of nvme-keyd.
 */

/* Longer ones are no passwords. */
#define PASSWORD_MAX 1024

#define CREDENTIAL_PASSWORD "nvme-keyd-fetch.password"
#define CREDENTIAL_CA "nvme-keyd-fetch.ca"
#define CREDENTIAL_CERTIFICATE "nvme-keyd-fetch.cert"
#define CREDENTIAL_KEY "nvme-keyd-fetch.key"

static void print_help(void)
{
    printf("nvme-keyd-fetch [OPTIONS]\n\n"
           "Brings envelopes with TLS pre-shared keys from etcd into the inbox of nvme-keyd.\n\n"
           "  -c --config=FILE  read FILE and FILE.d/*.conf (see nvme-keyd-fetch.conf(5))\n"
           "     --check        list the mistakes of the configuration and exit\n"
           "  -h --help         show this help\n"
           "     --version      show the version\n\n"
           "See nvme-keyd-fetch.service(8).\n");
}

typedef struct Arguments {
    const char *config_path; /* NULL for that of the system */
    bool check;
} Arguments;

/* Returns 1 when nothing is left to do, or -EINVAL for invalid arguments, after a message. */
static int parse_arguments(int argc, char **argv, Arguments *a)
{
    static const struct option options[] = {
        {"check", no_argument, NULL, 'k'},
        {"config", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "c:h", options, NULL)) >= 0) {
        switch (c) {
        case 'c':
            a->config_path = optarg;
            break;
        case 'h':
            print_help();
            return 1;
        case 'k':
            a->check = true;
            break;
        case 'v':
            printf("nvme-keyd-fetch " PROJECT_VERSION "\n");
            return 1;
        default:
            return -EINVAL;
        }
    }
    if (optind < argc) {
        log_error("unexpected argument \"%s\", see --help", argv[optind]);
        return -EINVAL;
    }
    return 0;
}

/* Sets path to the file of a credential, if there is one and the configuration has no other. */
static void find_credential(FetchText path, const char *name)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    FetchText file;

    if (path[0] || !dir || snprintf(file, sizeof(file), "%s/%s", dir, name) >= (int)sizeof(file))
        return;
    if (access(file, R_OK) == 0)
        strcpy(path, file);
}

/* Returns -ENOENT if there is none. */
static int read_password(Secret **ret)
{
    _cleanup_(closep) int fd = -EBADF;
    FetchText path = "";
    int r;

    find_credential(path, CREDENTIAL_PASSWORD);
    fd = path[0] ? open(path, O_RDONLY | O_CLOEXEC) : -EBADF;
    if (fd < 0)
        return path[0] ? -errno : -ENOENT;
    r = secret_read_fd(fd, PASSWORD_MAX, 0, ret);
    /* An editor ends a file with a newline. */
    while (r == 0 && (*ret)->size > 0 && (*ret)->data[(*ret)->size - 1] == '\n')
        (*ret)->size--;
    return r;
}

/* Prints or logs the mistakes. Returns the exit code. */
static ExitCode load_config(const Arguments *a, FetchConfig *config)
{
    _cleanup_(config_problems_done) ConfigProblems problems = {.n = 0};
    const char *line;

    fetch_config_load(a->config_path, config, &problems);
    for (size_t i = 0; (line = config_problem(&problems, i)); i++)
        log_warning("%s", line);
    if (!fetch_config_is_complete(config, &line)) {
        log_error("%s", line);
        return EXIT_INVALID;
    }
    return problems.n > problems.n_unknown && a->check ? EXIT_INVALID : EXIT_OK;
}

static int run(FetchConfig *config)
{
    _cleanup_(secret_freep) Secret *password = NULL;
    int r = crypto_memory_init();

    if (r == 0)
        r = secret_memory_init();
    if (r == 0)
        r = http_init();
    if (r < 0)
        return log_error_errno(r, "Cannot prepare the memory for a password");
    r = read_password(&password);
    if (r < 0 && r != -ENOENT)
        return log_error_errno(r, "Cannot read the credential %s", CREDENTIAL_PASSWORD);
    find_credential(config->ca, CREDENTIAL_CA);
    find_credential(config->certificate, CREDENTIAL_CERTIFICATE);
    find_credential(config->key, CREDENTIAL_KEY);
    return fetch_run(config, password);
}

int main(int argc, char **argv)
{
    FetchConfig config;
    Arguments a = {.check = false};
    ExitCode code;
    int r;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(0077);
    log_setup("nvme-keyd-fetch");
    r = parse_arguments(argc, argv, &a);
    if (r != 0)
        return r < 0 ? EXIT_USAGE : EXIT_OK;
    code = load_config(&a, &config);
    if (code != EXIT_OK || a.check) {
        if (code == EXIT_OK)
            printf("configuration is fine\n");
        return (int)code;
    }
    return run(&config) < 0 ? EXIT_OTHER : EXIT_OK;
}
