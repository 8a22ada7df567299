/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/text.h"
#include "probe/packet.h"

static const char *const answers[] = {
    [PROBE_ACCEPTED] = "accepted", [PROBE_REFUSED] = "refused",
    [PROBE_NO_TLS] = "no-tls",     [PROBE_UNREACHABLE] = "unreachable",
    [PROBE_OWN] = "own",           [PROBE_UNAVAILABLE] = "unavailable",
};

const char *probe_answer_to_string(ProbeAnswer answer)
{
    return answers[answer];
}

static bool is_zero(const void *data, size_t size)
{
    const uint8_t *p = data;

    for (size_t i = 0; i < size; i++)
        if (p[i] != 0)
            return false;
    return true;
}

static int check_identity(const char *identity, size_t psk_size, PskHash *ret_hash)
{
    PskIdentity i;

    if (psk_identity_parse_key(identity, strlen(identity), psk_size, &i) != 0)
        return -EBADMSG;
    *ret_hash = i.hash;
    return 0;
}

int probe_request_new(const ProbeTarget *target, const char *identity, const uint8_t *psk,
                      size_t size, bool as_sha256, Secret **ret)
{
    _cleanup_(secret_freep) Secret *s = NULL;
    ProbeRequest *q;
    PskHash hash;

    if (!probe_target_is_valid(target) || check_identity(identity, size, &hash) < 0)
        return -EINVAL;
    s = secret_new(sizeof(*q));
    if (!s)
        return -ENOMEM;
    q = (ProbeRequest *)(void *)s->data;
    q->magic = PROBE_REQUEST_MAGIC;
    q->psk_size = (uint32_t)size;
    q->as_sha256 = as_sha256 && hash == PSK_HASH_SHA384;
    memcpy(q->psk, psk, size);
    strcpy(q->identity, identity);
    q->target = *target;
    *ret = TAKE_PTR(s);
    return 0;
}

int probe_request_check(const void *packet, size_t size, PskHash *ret_hash)
{
    const ProbeRequest *q = packet;
    PskHash hash;
    int r;

    if (size != sizeof(*q) || q->magic != PROBE_REQUEST_MAGIC || q->psk_size > sizeof(q->psk) ||
        !is_zero(q->psk + q->psk_size, sizeof(q->psk) - q->psk_size) ||
        !probe_text_is_padded(q->identity, sizeof(q->identity)) ||
        !probe_target_is_valid(&q->target))
        return -EBADMSG;
    r = check_identity(q->identity, q->psk_size, &hash);
    if (r < 0)
        return r;
    if (q->as_sha256 > (hash == PSK_HASH_SHA384))
        return -EBADMSG;
    *ret_hash = hash;
    return 0;
}

void probe_reply_set(ProbeReply *ret, ProbeAnswer answer, const char *detail)
{
    memset(ret, 0, sizeof(*ret));
    ret->magic = PROBE_REPLY_MAGIC;
    ret->answer = answer;
    (void)snprintf(ret->detail, sizeof(ret->detail), "%s", detail);
    if (!text_is_printable(ret->detail))
        memset(ret->detail, 0, sizeof(ret->detail));
}

int probe_reply_check(const void *packet, size_t size)
{
    const ProbeReply *reply = packet;

    if (size != sizeof(*reply) || reply->magic != PROBE_REPLY_MAGIC ||
        reply->answer > PROBE_UNAVAILABLE ||
        !probe_text_is_padded(reply->detail, sizeof(reply->detail)) ||
        !text_is_printable(reply->detail))
        return -EBADMSG;
    return 0;
}
