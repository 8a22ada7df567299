/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "nvme-keyd/keys/key-order.h"
#include "nvme-keyd/keys/key-rules.h"

void key_order_done(KeyOrder *o)
{
    free(o->keys);
    *o = (KeyOrder){NULL, 0, 0, 0};
}

int key_order_insert(KeyOrder *o, Key *k)
{
    if (o->n == o->n_max) {
        size_t n_max = 2 * o->n_max + 64;
        Key **keys = reallocarray(o->keys, n_max, sizeof(*keys));

        if (!keys)
            return -ENOMEM;
        o->keys = keys;
        o->n_max = n_max;
    }
    o->keys[o->n++] = k;
    return 0;
}

static int compare(const Key *a, const Key *b)
{
    int r = strcmp(a->hostnqn, b->hostnqn);

    if (r == 0)
        r = strcmp(a->subsysnqn, b->subsysnqn);
    return r != 0 ? r : strcmp(a->id, b->id);
}

static int compare_pointers(const void *a, const void *b)
{
    return compare(*(Key *const *)a, *(Key *const *)b);
}

/* Returns the index of the first key not below k. */
static size_t find(const KeyOrder *o, const Key *k)
{
    size_t low = 0, high = o->n_sorted;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(o->keys[middle], k) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void key_order_sort(KeyOrder *o)
{
    size_t unsorted = o->n - o->n_sorted;

    if (unsorted == 1) {
        Key *k = o->keys[o->n_sorted];
        size_t at = find(o, k);

        memmove(o->keys + at + 1, o->keys + at, (o->n_sorted - at) * sizeof(*o->keys));
        o->keys[at] = k;
    } else if (unsorted > 1) {
        qsort(o->keys, o->n, sizeof(*o->keys), compare_pointers);
    }
    o->n_sorted = o->n;
}

void key_order_remove(KeyOrder *o, const Key *k)
{
    size_t at;

    key_order_sort(o);
    at = find(o, k);
    if (at == o->n || o->keys[at] != k)
        return;
    memmove(o->keys + at, o->keys + at + 1, (o->n - at - 1) * sizeof(*o->keys));
    o->n_sorted = --o->n;
}

/* Returns the index of the first key whose names are not below the host NQN of k and the first
 * length bytes of its subsystem NQN. */
static size_t find_name(const KeyOrder *o, const Key *k, size_t length)
{
    size_t low = 0, high = o->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int r = strcmp(o->keys[middle]->hostnqn, k->hostnqn);

        if (r == 0)
            r = strncmp(o->keys[middle]->subsysnqn, k->subsysnqn, length);
        if (r < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The length of the common beginning of two subsystem NQNs; 0 if the hosts differ. */
static size_t common_length(const Key *a, const Key *b)
{
    size_t n = 0;

    if (strcmp(a->hostnqn, b->hostnqn) != 0)
        return 0;
    while (a->subsysnqn[n] && a->subsysnqn[n] == b->subsysnqn[n])
        n++;
    return n;
}

static bool is_shadow(const Key *k, const Key *other)
{
    return other->state != KEY_REVOKED && other->state != KEY_OVERRIDDEN &&
           (key_shadows(k, other) || key_shadows(other, k));
}

/* They follow the place of k. */
int key_order_walk_longer(KeyOrder *o, const Key *k, KeyOrderFn fn, void *userdata)
{
    size_t length = strlen(k->subsysnqn);
    int r = 0;

    key_order_sort(o);
    for (size_t i = find_name(o, k, length);
         r == 0 && i < o->n && common_length(o->keys[i], k) == length; i++)
        if (is_shadow(k, o->keys[i]))
            r = fn(o->keys[i], userdata);
    return r;
}

/* They precede the place of k, possibly with others in between. The direct neighbour shares at
 * least as many bytes with k as any such key has, so its common beginning bounds the search. */
int key_order_walk_shorter(KeyOrder *o, const Key *k, KeyOrderFn fn, void *userdata)
{
    size_t length = strlen(k->subsysnqn);
    int r = 0;

    key_order_sort(o);
    while (r == 0 && length > 0) {
        size_t place = find_name(o, k, length);

        for (size_t i = place; r == 0 && i < o->n && common_length(o->keys[i], k) == length &&
                               o->keys[i]->subsysnqn[length] == '\0';
             i++)
            if (is_shadow(k, o->keys[i]))
                r = fn(o->keys[i], userdata);
        length = place > 0 ? common_length(o->keys[place - 1], k) : 0;
    }
    return r;
}

static int take_first(Key *k, void *userdata)
{
    *(Key **)userdata = k;
    return 1;
}

Key *key_order_find_shadow(KeyOrder *o, const Key *k)
{
    Key *found = NULL;

    if (key_order_walk_shorter(o, k, take_first, &found) == 0)
        (void)key_order_walk_longer(o, k, take_first, &found);
    return found;
}
