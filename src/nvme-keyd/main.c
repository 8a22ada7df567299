/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/limits.h"
#include "basic/log.h"
#include "basic/names.h"
#include "build-config.h"
#include "nvme-keyd/daemon-log.h"
#include "nvme-keyd/daemon.h"
#include "nvme-keyd/envelopes/work.h"
#include "nvme-keyd/host-key-setup.h"
#include "nvme-keyd/preload.h"
#include "nvme-keyd/vault/seal-job.h"

static const char *state_directory(void)
{
    const char *dir = getenv("STATE_DIRECTORY");

    return dir ? dir : NAMES_STATE_DIRECTORY;
}

static void print_help(void)
{
    printf("nvme-keyd [OPTIONS]\n\n"
           "Keeps the TLS pre-shared keys of NVMe/TCP. Started by nvme-keyd.socket.\n\n"
           "  -c --config=FILE  read FILE and FILE.d/*.conf (see nvme-keyd.conf(5))\n"
           "     --check        list the mistakes of the configuration and exit\n"
           "     --preload      publish all keys and exit, for an initramfs without systemd\n"
           "     --timeout=SEC  how long --preload may wait for the store (%d)\n"
           "     --setup-host-key\n"
           "                    make the host key for sealed credentials and exit\n"
           "  -h --help         show this help\n"
           "     --version      show the version\n\n"
           "See nvme-keyd.service(8).\n",
           PRELOAD_TIMEOUT_SEC);
}

/* With --config=, the file or its directory must exist. */
static bool is_missing(const char *path)
{
    _cleanup_(freep) char *dir = NULL;

    return access(path, F_OK) < 0 && errno == ENOENT && asprintf(&dir, "%s.d", path) >= 0 &&
           access(dir, F_OK) < 0 && errno == ENOENT;
}

/* Problems go to standard output, like those of a compiler; with a journal, as in a reload, they go
 * there. */
static int check(const char *config_path)
{
    _cleanup_(config_problems_done) ConfigProblems problems = {.n = 0};
    Config config;
    const char *line;

    if (config_path && is_missing(config_path)) {
        log_error("%s does not exist", config_path);
        return EXIT_INVALID;
    }
    if (log_goes_to_journal())
        daemon_load_config(config_path, &config, &problems);
    else
        config_load(config_path, &config, &problems);
    for (size_t i = 0; !log_goes_to_journal() && (line = config_problem(&problems, i)); i++)
        printf("%s\n", line);
    if (problems.n > problems.n_unknown)
        return EXIT_INVALID;
    printf("%s%sconfiguration is fine%s\n", config_path ? config_path : "", config_path ? ": " : "",
           problems.n > 0 ? ", except for unknown options" : "");
    return EXIT_OK;
}

/* Bounded, because a boot waits for this. */
static int parse_timeout(const char *s, uint64_t *ret)
{
    uint64_t usec;

    if (config_parse_span(s, &usec) < 0 || usec > PRELOAD_TIMEOUT_MAX_SEC * USEC_PER_SEC) {
        log_error("--timeout= cannot be \"%s\": give seconds or a time such as 2min, at most a day",
                  s);
        return -EINVAL;
    }
    *ret = usec;
    return 0;
}

typedef struct Arguments {
    const char *config_path; /* NULL for that of the system */
    bool check, preload, host_key;
    uint64_t timeout_usec;
} Arguments;

/* Returns 1 when nothing is left to do, or -EINVAL for invalid arguments, after a message. */
static int parse_arguments(int argc, char **argv, Arguments *a)
{
    static const struct option options[] = {
        {"check", no_argument, NULL, 'k'},          {"config", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},           {"preload", no_argument, NULL, 'p'},
        {"setup-host-key", no_argument, NULL, 's'}, {"timeout", required_argument, NULL, 't'},
        {"version", no_argument, NULL, 'v'},        {NULL, 0, NULL, 0},
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
        case 'p':
            a->preload = true;
            break;
        case 's':
            a->host_key = true;
            break;
        case 't':
            if (parse_timeout(optarg, &a->timeout_usec) < 0)
                return -EINVAL;
            break;
        case 'v':
            printf("nvme-keyd " PROJECT_VERSION "\n");
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

int main(int argc, char **argv)
{
    Arguments a = {.timeout_usec = PRELOAD_TIMEOUT_SEC * USEC_PER_SEC};
    int r;

    if (argc == 2 && strcmp(argv[1], SEAL_JOB_OPTION) == 0)
        return seal_job_main();
    if (argc == 2 && strcmp(argv[1], ENVELOPE_JOB_OPTION) == 0)
        return envelope_job_main();
    log_setup("nvme-keyd");
    r = parse_arguments(argc, argv, &a);
    if (r != 0)
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    if (a.check)
        return check(a.config_path);
    if (a.host_key)
        return (int)host_key_setup();
    umask(0077);
    r = secret_memory_init();
    if (r < 0) {
        (void)log_error_errno(r, "Cannot lock memory for secrets (LimitMEMLOCK=)");
        return EXIT_FAILURE;
    }
    if (a.preload)
        return (int)preload_run(a.config_path, state_directory(), a.timeout_usec);
    return daemon_run(a.config_path, state_directory()) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
