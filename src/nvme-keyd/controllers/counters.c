/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "basic/io.h"
#include "basic/scan.h"
#include "nvme-keyd/controllers/counters.h"
#include "nvme-keyd/controllers/limits.h"

static void skip_blanks(Scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t'))
        s->p++;
}

/* A number between blanks; true at the end of the text as well as of the line after it. */
static bool scan_value(Scan *s, uint64_t *ret)
{
    skip_blanks(s);
    if (!scan_number(s, UINT64_MAX, ret))
        return false;
    return s->p == s->end || *s->p == ' ' || *s->p == '\t' || *s->p == '\n';
}

/* Reads "NAME blanks NUMBER". */
static bool scan_counter(Scan *s, const char *name, uint64_t *ret)
{
    return scan_literal(s, name) && s->p < s->end && (*s->p == ' ' || *s->p == '\t') &&
           scan_value(s, ret);
}

void key_updates_parse(const char *text, size_t size, KeyUpdates *ret)
{
    bool has_received = false, has_done = false;
    KeyUpdates u = {.counted = false};

    for (Scan rest = {text, text + size}; rest.p < rest.end;) {
        const char *newline = memchr(rest.p, '\n', (size_t)(rest.end - rest.p));
        Scan line = {rest.p, newline ? newline : rest.end}, again = line;

        has_received |= scan_counter(&line, "TlsRxRekeyReceived", &u.received);
        has_done |= scan_counter(&again, "TlsRxRekeyOk", &u.done);
        rest.p = newline ? newline + 1 : rest.end;
    }
    u.counted = has_received && has_done;
    *ret = u.counted ? u : (KeyUpdates){.counted = false};
}

int key_updates_read(const char *path, KeyUpdates *ret)
{
    char text[TLS_STAT_MAX + 1];
    int r = io_read_text_at(AT_FDCWD, path, text, sizeof(text));

    if (r < 0 && r != -ENOENT)
        return r;
    key_updates_parse(text, r < 0 ? 0 : strlen(text), ret);
    return 0;
}

int block_requests_parse(const char *text, size_t size, BlockRequests *ret)
{
    /* Documentation/block/stat.rst; kernels before 4.18 and 5.5 have fewer fields. */
    enum {
        READS = 0,
        WRITES = 4,
        IN_FLIGHT = 8,
        DISCARDS = 11,
        FLUSHES = 15,
        FIELDS = 17
    };
    uint64_t fields[FIELDS] = {0};
    Scan s = {text, text + size};
    size_t n = 0;

    while (n < FIELDS && scan_value(&s, &fields[n]))
        n++;
    if (n <= IN_FLIGHT)
        return -EBADMSG;
    ret->completed = fields[READS] + fields[WRITES] + fields[DISCARDS] + fields[FLUSHES];
    ret->in_flight = fields[IN_FLIGHT];
    return 0;
}
