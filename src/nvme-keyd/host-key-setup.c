/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/log.h"
#include "basic/names.h"
#include "build-config.h"
#include "credstore/seal/creds/blob.h"
#include "credstore/seal/creds/host-key.h"
#include "nvme-keyd/envelopes/issuers.h"
#include "nvme-keyd/handed/handed.h"
#include "nvme-keyd/host-key-setup.h"

/* The directories in which systemd finds the sealed credentials that a unit imports. */
static const char *const sealed_places[] = {
    "/run/credentials/@encrypted",  "/run/credstore.encrypted",
    "/etc/credstore.encrypted",     "/usr/local/lib/credstore.encrypted",
    "/usr/lib/credstore.encrypted",
};

/* Enough for the id of the key, also in Base64. */
#define HEAD_SIZE 64

/* True for the names that nvme-keyd-credentials.service imports. */
static bool is_fetched(const char *name)
{
    return strcmp(name, NAMES_KEK_CREDENTIAL) == 0 || handed_is_credential(name) ||
           issuer_is_credential(name);
}

/* A file that cannot be read, or of an unknown type, may need the host key as well. */
static bool needs_host_key(int dirfd, const char *name)
{
    _cleanup_(closep) int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    const CredsKeyType *type;
    char head[HEAD_SIZE];
    ssize_t n;

    if (fd < 0)
        return errno != ENOENT;
    n = read(fd, head, sizeof(head));
    type = n > 0 ? creds_blob_find_key_type(head, (size_t)n) : NULL;
    return !type || type->needs_host_key;
}

/* Finds a credential of ours that systemd would unseal with the host key. */
static bool find_sealed(char *ret_path, size_t size)
{
    for (size_t i = 0; i < ARRAY_SIZE(sealed_places); i++) {
        _cleanup_(closedirp) DIR *dir = opendir(sealed_places[i]);
        const struct dirent *e;

        while (dir && (e = readdir(dir))) {
            if (!is_fetched(e->d_name) || !needs_host_key(dirfd(dir), e->d_name))
                continue;
            (void)snprintf(ret_path, size, "%s/%s", sealed_places[i], e->d_name);
            return true;
        }
    }
    return false;
}

/* Refuses only if a credential needs the host key: plain-text credentials can be fetched without
 * it. */
static ExitCode refuse(const char *detail)
{
    static const LogFields fields = {.message_id = MESSAGE_HOST_KEY_FOREIGN};
    char path[PATH_MAX];

    if (!find_sealed(path, sizeof(path))) {
        (void)log_full(LOG_WARNING, 0, &fields, "Not touching the host key: %s", detail);
        return EXIT_OK;
    }
    (void)log_full(LOG_ERR, 0, &fields,
                   "No credentials are fetched, because %s needs the host key: %s", path, detail);
    return EXIT_STORE;
}

/* systemd-creds logs for itself. */
static void run_setup(void)
{
    static const char *const argv[] = {SYSTEMD_CREDS_PATH, "setup", NULL};
    int status = 0, r;
    pid_t pid;

    /* posix_spawn() changes neither vector; its prototype is older than const. */
    r = posix_spawn(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ);
    if (r != 0) {
        (void)log_warning_errno(-r, "Cannot run %s", argv[0]);
        return;
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) {
            (void)log_warning_errno(-errno, "Cannot wait for %s", argv[0]);
            return;
        }
    if (status != 0)
        log_warning("No host key to seal the store with: %s setup failed", argv[0]);
}

ExitCode host_key_setup(void)
{
    _cleanup_(freep) char *detail = NULL;
    HostKey key = host_key_of_system();
    int r = host_key_check(&key, &detail);

    if (r < 0)
        return refuse(detail ? detail : strerror(-r));
    if (host_key_state(&key) != HOST_KEY_ABSENT)
        return EXIT_OK;
    if (access(SYSTEMD_CREDS_PATH, X_OK) < 0 || !host_key_can_be_made(&key)) {
        log_debug("no host key is set up: no systemd-creds, or no place that lasts");
        return EXIT_OK;
    }
    run_setup();
    return EXIT_OK;
}
