/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "nvme-keyd/config/config.h"
#include "nvme-keyd/config/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOUR_SEC 3600

/* Options are in range for any file, and each problem is a line with its place. */
static void check_file(const uint8_t *data, size_t size)
{
    _cleanup_(closep) int fd = memfd_create("config", MFD_CLOEXEC);
    _cleanup_(config_problems_done) ConfigProblems problems = {.n = 0};
    Config c = {.retire_usec = 4711};
    const char *line;
    char path[64];
    size_t n = 0;

    if (fd < 0 || io_write_all(fd, data, size) < 0)
        return;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    config_load(path, &c, &problems);
    if (c.idle_exit_usec < IDLE_EXIT_SEC_MIN * USEC_PER_SEC || c.negative_timeout_sec < 1 ||
        c.negative_timeout_sec > HOUR_SEC || c.on_demand_sec < ON_DEMAND_SEC_MIN)
        abort();
    while ((line = config_problem(&problems, n))) {
        if (strncmp(line, path, strlen(path)) != 0 || line[strlen(path)] != ':')
            abort();
        for (const char *s = line; *s; s++)
            if (*s < ' ' || *s > '~')
                abort();
        n++;
    }
    if (problems.n_unknown > problems.n ||
        n != (problems.n > CONFIG_PROBLEMS_MAX ? CONFIG_PROBLEMS_MAX + 1 : problems.n))
        abort();
}

/* A span means the same when it is written in microseconds. */
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
    check_file(data, size);
    check_span(data, size);
    return 0;
}
