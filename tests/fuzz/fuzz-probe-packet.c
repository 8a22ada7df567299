/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "probe/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is accepted is what the other end makes, byte by byte. */
static void check_request(const ProbeRequest *q, PskHash hash)
{
    _cleanup_(secret_freep) Secret *s = NULL;

    if (q->psk_size != psk_hash_size(hash) ||
        probe_request_new(&q->target, q->identity, q->psk, q->psk_size, q->as_sha256, &s) < 0 ||
        memcmp(s->data, q, sizeof(*q)) != 0)
        abort();
}

static void check_reply(const ProbeReply *reply)
{
    ProbeReply same;

    probe_reply_set(&same, (ProbeAnswer)reply->answer, reply->detail);
    if (memcmp(&same, reply, sizeof(same)) != 0 ||
        !probe_answer_to_string((ProbeAnswer)reply->answer))
        abort();
}

/* The input is a packet, a request or a reply; a short one is filled up with zeros as well, because
 * strings are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(freep) ProbeRequest *q = calloc(1, sizeof(*q));
    _cleanup_(freep) ProbeReply *reply = calloc(1, sizeof(*reply));
    PskHash hash;

    if (!q || !reply)
        return 0;
    memcpy(q, data, size < sizeof(*q) ? size : sizeof(*q));
    memcpy(reply, data, size < sizeof(*reply) ? size : sizeof(*reply));
    if ((size != sizeof(*q) && probe_request_check(q, size, &hash) == 0) ||
        (size != sizeof(*reply) && probe_reply_check(reply, size) == 0))
        abort();
    if (probe_request_check(q, sizeof(*q), &hash) == 0)
        check_request(q, hash);
    if (probe_reply_check(reply, sizeof(*reply)) == 0)
        check_reply(reply);
    return 0;
}
