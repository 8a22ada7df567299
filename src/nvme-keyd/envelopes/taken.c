/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/text.h"
#include "envelope/limits.h"
#include "nvme-keyd/envelopes/taken.h"
#include "psk/nqn.h"

/* The head, and then for each pair this and its PSK, host NQN and subsystem NQN. Padding is zero.
 */
typedef struct Head {
    char id[ENVELOPE_ID_SIZE - 1];
    char issuer[MACHINE_FINGERPRINT_SIZE - 1];
    uint64_t n;
} Head;

typedef struct PairHead {
    uint64_t generation, not_before_usec, expires_usec;
    uint8_t is_host, is_target, versions, derivation, hash, psk_size, hostnqn_size, subsysnqn_size;
} PairHead;

void taken_done(const TakenEnvelope *t)
{
    for (size_t i = 0; i < t->n; i++)
        secret_free(t->pairs[i].configured);
    free(t->pairs);
}

static bool names(const EnvelopeEntry *e, const char *machine)
{
    return strcmp(e->host, machine) == 0 || strcmp(e->target, machine) == 0;
}

static PairHead head_of(const EnvelopeEntry *e, const char *machine)
{
    return (PairHead){.generation = e->generation,
                      .not_before_usec = e->not_before_usec,
                      .expires_usec = e->expires_usec,
                      .is_host = strcmp(e->host, machine) == 0,
                      .is_target = strcmp(e->target, machine) == 0,
                      .versions = (uint8_t)e->versions,
                      .derivation = (uint8_t)e->derivation,
                      .hash = (uint8_t)e->hash,
                      .psk_size = e->configured ? (uint8_t)e->configured->size : 0,
                      .hostnqn_size = (uint8_t)strlen(e->hostnqn),
                      .subsysnqn_size = (uint8_t)strlen(e->subsysnqn)};
}

static uint8_t *write_bytes(uint8_t *p, const void *data, size_t size)
{
    return size > 0 ? (uint8_t *)memcpy(p, data, size) + size : p;
}

static uint8_t *write_pair(uint8_t *p, const EnvelopeEntry *e, const char *machine)
{
    PairHead head = head_of(e, machine);

    p = write_bytes(p, &head, sizeof(head));
    p = write_bytes(p, e->configured ? e->configured->data : NULL, head.psk_size);
    p = write_bytes(p, e->hostnqn, head.hostnqn_size);
    return write_bytes(p, e->subsysnqn, head.subsysnqn_size);
}

int taken_pack(const EnvelopeContent *c, const char *issuer, const char *machine, Secret **ret)
{
    size_t size = sizeof(Head);
    Head head = {.n = 0};
    uint8_t *p;

    for (size_t i = 0; i < c->n; i++)
        if (names(&c->entries[i], machine)) {
            PairHead pair = head_of(&c->entries[i], machine);

            size += sizeof(pair) + pair.psk_size + pair.hostnqn_size + pair.subsysnqn_size;
            head.n++;
        }
    if (head.n == 0)
        return -ENOENT;
    memcpy(head.id, c->id, sizeof(head.id));
    memcpy(head.issuer, issuer, sizeof(head.issuer));
    *ret = secret_new(size);
    if (!*ret)
        return -ENOMEM;
    p = write_bytes((*ret)->data, &head, sizeof(head));
    for (size_t i = 0; i < c->n; i++)
        if (names(&c->entries[i], machine))
            p = write_pair(p, &c->entries[i], machine);
    return 0;
}

/* Takes bytes from the front of the rest. */
static bool take(const uint8_t **p, size_t *rest, void *ret, size_t size)
{
    if (*rest < size)
        return false;
    memcpy(ret, *p, size);
    *p += size;
    *rest -= size;
    return true;
}

static bool is_good(const PairHead *h)
{
    return h->generation > 0 && h->generation <= INT64_MAX && h->not_before_usec <= INT64_MAX &&
           h->expires_usec <= INT64_MAX && h->is_host <= 1 && h->is_target <= 1 &&
           h->is_host + h->is_target > 0 && h->hash <= PSK_HASH_SHA384 &&
           h->derivation < PSK_DERIVATIONS && h->versions <= 3 &&
           h->hostnqn_size <= NQN_LENGTH_MAX && h->subsysnqn_size <= NQN_LENGTH_MAX &&
           (h->psk_size == 0 ||
            (h->versions > 0 && (h->psk_size == 32 || h->psk_size == 48) &&
             (h->hash == PSK_HASH_NONE || h->psk_size == psk_hash_size((PskHash)h->hash))));
}

static int parse_pair(const uint8_t **p, size_t *rest, TakenPair *ret)
{
    PairHead h;

    if (!take(p, rest, &h, sizeof(h)) || !is_good(&h))
        return -EBADMSG;
    *ret = (TakenPair){.is_host = h.is_host,
                       .is_target = h.is_target,
                       .generation = h.generation,
                       .not_before_usec = h.not_before_usec,
                       .expires_usec = h.expires_usec,
                       .versions = h.versions,
                       .derivation = (PskDerivation)h.derivation,
                       .hash = (PskHash)h.hash};
    if (h.psk_size > 0) {
        ret->configured = secret_new(h.psk_size);
        if (!ret->configured)
            return -ENOMEM;
        if (!take(p, rest, ret->configured->data, h.psk_size))
            return -EBADMSG;
    }
    if (!take(p, rest, ret->hostnqn, h.hostnqn_size) ||
        !take(p, rest, ret->subsysnqn, h.subsysnqn_size) ||
        !nqn_is_usable(ret->hostnqn, h.hostnqn_size) ||
        !nqn_is_usable(ret->subsysnqn, h.subsysnqn_size))
        return -EBADMSG;
    return 0;
}

static int parse(const uint8_t *p, size_t rest, TakenEnvelope *t)
{
    Head head;
    int r = 0;

    if (!take(&p, &rest, &head, sizeof(head)) || head.n == 0 || head.n > ENVELOPE_ENTRIES_MAX)
        return -EBADMSG;
    memcpy(t->id, head.id, sizeof(head.id));
    memcpy(t->issuer, head.issuer, sizeof(head.issuer));
    if (!text_is_hex(t->id, sizeof(head.id)) || !text_is_hex(t->issuer, sizeof(head.issuer)))
        return -EBADMSG;
    t->pairs = calloc(head.n, sizeof(*t->pairs));
    if (!t->pairs)
        return -ENOMEM;
    while (t->n < head.n && r == 0)
        r = parse_pair(&p, &rest, &t->pairs[t->n++]);
    return r == 0 && rest > 0 ? -EBADMSG : r;
}

int taken_parse(const void *data, size_t size, TakenEnvelope *ret)
{
    TakenEnvelope t = {.n = 0};
    int r = parse(data, size, &t);

    if (r < 0)
        taken_done(&t);
    else
        *ret = t;
    return r;
}
