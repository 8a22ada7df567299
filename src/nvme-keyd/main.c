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
#include "nvme-keyd/host-key-setup.h"
#include "nvme-keyd/preload.h"

static const char *state_directory(void)
{
    const char *dir = getenv("STATE_DIRECTORY");

    return dir ? dir : NAMES_STATE_DIRECTORY;
}

static void print_help(void)
{
    printf("nvme-keyd [OPTIONS]\n\n"
           "Keeps the TLS pre-shared keys of NVMe/TCP. Started by nvme-keyd.socket.\n\n"
           "  -c --config=FILE  read FILE and FILE.d/*.conf (" NAMES_CONFIG_FILE ")\n"
           "     --preload      publish all keys and exit, for an initramfs without systemd\n"
           "     --timeout=SEC  how long --preload may wait for the store (%d)\n"
           "     --setup-host-key\n"
           "                    see to the host key that seals credentials, and exit\n"
           "  -h --help         show this help\n"
           "     --version      show the version\n\n"
           "See nvme-keyd.service(8).\n",
           PRELOAD_TIMEOUT_SEC);
}

static int preload(const char *config_path, uint64_t timeout_usec)
{
    Config config;

    return daemon_load_config(config_path, &config) < 0
               ? EXIT_OTHER
               : (int)preload_run(&config, state_directory(), timeout_usec);
}

/* Not for ever: a boot waits for this. */
static int parse_timeout(const char *s, uint64_t *ret)
{
    uint64_t usec;

    if (config_parse_span(s, &usec) < 0 || usec > PRELOAD_TIMEOUT_MAX_SEC * USEC_PER_SEC) {
        log_error("--timeout= cannot be \"%s\": give seconds, or a time such as 2min, of a day at "
                  "most",
                  s);
        return -EINVAL;
    }
    *ret = usec;
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {"preload", no_argument, NULL, 'p'},
        {"setup-host-key", no_argument, NULL, 's'},
        {"timeout", required_argument, NULL, 't'},
        {"version", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    const char *config_path = NAMES_CONFIG_FILE;
    uint64_t timeout_usec = PRELOAD_TIMEOUT_SEC * USEC_PER_SEC;
    bool once = false, host_key = false;
    int c, r;

    log_setup("nvme-keyd");
    while ((c = getopt_long(argc, argv, "c:h", options, NULL)) >= 0) {
        switch (c) {
        case 'c':
            config_path = optarg;
            break;
        case 'h':
            print_help();
            return EXIT_SUCCESS;
        case 'p':
            once = true;
            break;
        case 's':
            host_key = true;
            break;
        case 't':
            if (parse_timeout(optarg, &timeout_usec) < 0)
                return EXIT_FAILURE;
            break;
        case 'v':
            printf("nvme-keyd " PROJECT_VERSION "\n");
            return EXIT_SUCCESS;
        default:
            return EXIT_FAILURE;
        }
    }
    if (optind < argc) {
        log_error("\"%s\" is one word too many, see --help", argv[optind]);
        return EXIT_FAILURE;
    }

    if (host_key)
        return (int)host_key_setup();
    umask(0077);
    r = secret_memory_init();
    if (r < 0) {
        (void)log_error_errno(r, "Cannot lock memory for secrets (LimitMEMLOCK=)");
        return EXIT_FAILURE;
    }
    if (once)
        return preload(config_path, timeout_usec);
    return daemon_run(config_path, state_directory()) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
