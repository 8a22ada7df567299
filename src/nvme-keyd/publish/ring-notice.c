/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nvme-keyd/publish/limits.h"
#include "nvme-keyd/publish/ring-notice.h"

void ring_notices_done(RingNotices *l)
{
    free(l->items);
    *l = (RingNotices){NULL, 0, 0};
}

bool ring_notice_is_rival(const RingNotice *n)
{
    return n->kind == RING_NOTICE_RIVAL || n->kind == RING_NOTICE_MALFORMED ||
           n->kind == RING_NOTICE_SHADOW;
}

void ring_notices_add(RingNotices *l, RingNoticeKind kind, int32_t serial,
                      const PskIdentity *identity, const char *controller)
{
    RingNotice *n;

    if (!l->items)
        l->items = calloc(RING_NOTICES_MAX, sizeof(*l->items));
    if (!l->items || l->n == RING_NOTICES_MAX) {
        l->more++;
        return;
    }
    n = &l->items[l->n++];
    n->kind = kind;
    n->serial = serial;
    snprintf(n->hostnqn, sizeof(n->hostnqn), "%.*s", (int)identity->hostnqn_length,
             identity->hostnqn);
    snprintf(n->subsysnqn, sizeof(n->subsysnqn), "%.*s", (int)identity->subsysnqn_length,
             identity->subsysnqn);
    snprintf(n->controller, sizeof(n->controller), "%s", controller);
}

void ring_notices_replace(RingNotices *l, RingNotices *new)
{
    for (size_t i = 0; i < new->n; i++)
        for (size_t k = 0; k < l->n; k++)
            if (new->items[i].serial == l->items[k].serial &&new->items[i].kind == l->items[k].kind)
                new->items[i].logged = l->items[k].logged;
    ring_notices_done(l);
    *l = *new;
    *new = (RingNotices){NULL, 0, 0};
}

size_t ring_notices_count(const RingNotices *l, RingNoticeKind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++)
        n += l->items[i].kind == kind;
    return n;
}

const RingNotice *ring_notices_next(RingNotices *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (!l->items[i].logged) {
            l->items[i].logged = true;
            return &l->items[i];
        }
    return NULL;
}

char *ring_notice_text(const RingNotice *n)
{
    char *text;
    int r;

    if (n->kind == RING_NOTICE_HELD)
        r = asprintf(
            &text,
            "key %08x for %s stays in .nvme, because controller %s would not survive its next "
            "reset without it: add the PSK of this pair (nvme-keyctl add), or disconnect "
            "the controller",
            (unsigned)n->serial, n->subsysnqn, n->controller);
    else if (n->kind == RING_NOTICE_DISPLACED)
        r = asprintf(
            &text,
            "foreign key %08x for %s was taken out of .nvme, because the kernel might have "
            "used it in the place of ours (Foreign=displace)",
            (unsigned)n->serial, n->subsysnqn);
    else if (n->kind == RING_NOTICE_MALFORMED)
        r = asprintf(&text,
                     "key %08x has no valid identity, but the kernel finds it for %s, and may use "
                     "it in the place of ours: remove it (keyctl unlink 0x%x %%:.nvme)",
                     (unsigned)n->serial, n->subsysnqn, (unsigned)n->serial);
    else if (n->kind == RING_NOTICE_SHADOW)
        r = asprintf(&text,
                     "key %08x is for a subsystem whose NQN begins with %s, and the kernel may use "
                     "it in the place of ours: rename one of the two, or connect with --tls-key=",
                     (unsigned)n->serial, n->subsysnqn);
    else
        r = asprintf(&text,
                     "key %08x is a second key for %s in .nvme, and the kernel may use either: "
                     "remove it if it is unwanted (keyctl unlink 0x%x %%:.nvme), or take it into "
                     "the store (nvme-keyctl adopt --force %08x)",
                     (unsigned)n->serial, n->subsysnqn, (unsigned)n->serial, (unsigned)n->serial);
    return r < 0 ? NULL : text;
}
