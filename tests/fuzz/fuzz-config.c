/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOUR_SEC 3600

static void check_file(const uint8_t *data, size_t size)
{
    _cleanup_(closep) int fd = memfd_create("config", MFD_CLOEXEC);
    _cleanup_(freep) char *detail = NULL;
    Config c = {.retire_usec = 4711};
    char path[64];
    int r;

    if (fd < 0 || io_write_all(fd, data, size) < 0)
        return;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    r = config_load(path, &c, &detail);
    if (r == 0) {
        if (detail || c.idle_exit_usec < IDLE_EXIT_SEC_MIN * USEC_PER_SEC ||
            c.negative_timeout_sec < 1 || c.negative_timeout_sec > HOUR_SEC)
            abort();
        return;
    }
    /* A failure has a line that says where, and changes nothing. */
    if (r != -EINVAL || !detail || strncmp(detail, path, strlen(path)) != 0 ||
        c.retire_usec != 4711)
        abort();
}

/* A span and the same one in microseconds mean the same. */
static void check_span(const uint8_t *data, size_t size)
{
    uint64_t usec = 4711, again = 0;
    char text[64];

    if (size >= sizeof(text))
        return;
    memcpy(text, data, size);
    text[size] = '\0';
    if (config_parse_span(text, &usec) < 0) {
        if (usec != 4711)
            abort();
        return;
    }
    snprintf(text, sizeof(text), "%lluus", (unsigned long long)usec);
    if (config_parse_span(text, &again) < 0 || again != usec)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    setenv(NAMES_ENV_LOG_LEVEL, "emerg", 1);
    log_setup(NULL);
    check_file(data, size);
    check_span(data, size);
    return 0;
}
