/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "nvme-keyctl/doctor/pairs.h"
#include "nvme-keyctl/doctor/private.h"

void pairs_done(Pairs *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->items[i].text);
    free(p->items);
    *p = (Pairs){NULL, 0};
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const Pair *)a)->text, ((const Pair *)b)->text);
}

int pairs_read(const Doctor *d, bool of_host, Pairs *ret)
{
    size_t n = d->keys ? json_object_array_length(d->keys) : 0;
    _cleanup_(pairs_done) Pairs p = {calloc(n + 1, sizeof(*p.items)), 0};

    if (!p.items)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        json_object *key = json_object_array_get_idx(d->keys, i);

        if (!doctor_key_is(d, key, of_host))
            continue;
        if (asprintf(&p.items[p.n].text, "%s %s", json_string_or(key, "hostNQN", ""),
                     json_string_or(key, "subsystemNQN", "")) < 0)
            return -ENOMEM;
        p.items[p.n++].key = key;
    }
    qsort(p.items, p.n, sizeof(*p.items), compare);
    *ret = p;
    p = (Pairs){NULL, 0};
    return 0;
}

json_object *pairs_find(const Pairs *p, const char *hostnqn, const char *subsysnqn)
{
    char text[2 * (NQN_LENGTH_MAX + 2) + 1];
    const Pair wanted = {.text = text}, *found;

    (void)snprintf(text, sizeof(text), "%s %s", hostnqn, subsysnqn);
    found = bsearch(&wanted, p->items, p->n, sizeof(*p->items), compare);
    return found ? found->key : NULL;
}
