/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basic/text.h"
#include "nvme-keyd-fetch/etcd-answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An item is fit for use: its name can be logged, and its value is there to its last byte. */
static int on_item(const EtcdItem *item, void *userdata)
{
    size_t *n = userdata;
    unsigned sum = 0;

    if (item->key[0] == '\0' || !text_is_printable(item->key) || item->revision == 0)
        abort();
    for (size_t i = 0; item->value && i < item->value_size; i++)
        sum += item->value[i];
    return ++*n > 100 && sum > 0 ? -ECANCELED : 0;
}

static void check_why(const char *why)
{
    if (strlen(why) > ETCD_WHY_MAX || !text_is_printable(why))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    _cleanup_(secret_freep) Secret *token = NULL;
    char why[ETCD_WHY_MAX + 1];
    uint64_t id, ttl;
    EtcdHeader header;
    EtcdWatch watch;
    size_t n = 0;
    bool more;
    int r;

    r = etcd_answer_range(text, size, on_item, &n, &header, &more);
    if (r > 0 || (r == 0 && more && header.revision > UINT64_MAX - 1))
        abort();
    n = 0;
    r = etcd_answer_watch(text, size, on_item, &n, &watch);
    check_why(watch.why);
    if (r == 0 && watch.kind != ETCD_WATCH_EVENTS && watch.kind != ETCD_WATCH_CREATED && n > 0)
        abort();
    if (etcd_answer_token(text, size, &token) == 0 &&
        (strlen((char *)token->data) + 1 != token->size || !text_is_printable((char *)token->data)))
        abort();
    if (etcd_answer_lease(text, size, &id, &ttl) == 0 && id == 0)
        abort();
    (void)etcd_answer_fault(400, text, size, why);
    check_why(why);
    return 0;
}
