/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "basic/limits.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/upcall/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A manager without store and ring: each request is a miss, or malformed. */
static Manager *make_manager(void)
{
    static sd_event *event;
    Manager *m = NULL;

    setenv(NAMES_ENV_LOG_LEVEL, "emerg", 1);
    log_setup(NULL);
    if (sd_event_default(&event) < 0 ||
        manager_new(event, &config_default, "/nonexistent", NULL, &m) < 0)
        abort();
    return m;
}

/* A description, or a description and a callout with a NUL between them. */
static bool is_packet(const UpcallRequest *q, size_t size)
{
    size_t length = size - offsetof(UpcallRequest, text);
    const char *end, *callout;

    if (size <= offsetof(UpcallRequest, text) ||
        size > offsetof(UpcallRequest, text) + sizeof(q->text) || q->magic != UPCALL_MAGIC ||
        q->type[UPCALL_TYPE_MAX] != '\0')
        return false;
    end = memchr(q->text, '\0', length);
    if (!end)
        return length <= KEY_DESCRIPTION_MAX;
    callout = end + 1;
    return end > q->text && end - q->text <= KEY_DESCRIPTION_MAX && callout < q->text + length &&
           !memchr(callout, '\0', (size_t)(q->text + length - callout));
}

/* The input is a received packet; the bytes after its end are from an earlier one. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(manager_freep) Manager *m = make_manager();
    _cleanup_(freep) UpcallRequest *q = malloc(sizeof(*q));
    UpcallReply reply;

    if (!q)
        return 0;
    memset(q, 'x', sizeof(*q));
    memcpy(q, data, size < sizeof(*q) ? size : sizeof(*q));
    upcall_answer(m, q, size, &reply);

    if (reply.magic != UPCALL_MAGIC || reply.size != 0 ||
        reply.timeout_sec != NEGATIVE_TIMEOUT_SEC ||
        (reply.error != ENOKEY && reply.error != EINVAL) ||
        (!is_packet(q, size) && reply.error != EINVAL))
        abort();
    for (size_t i = 0; i < sizeof(reply.payload); i++)
        if (reply.payload[i] != 0)
            abort();
    return 0;
}
