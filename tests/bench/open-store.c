/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* open-store DIRECTORY: opens a store as the daemon does, and one of its records. Prints the time
 * in microseconds, and the type of the slot that opened it. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../unit/store-direct.h"
#include "basic/io.h"
#include "basic/secret.h"

static int unseal(const StoreRecord *record, void *userdata)
{
    _cleanup_(secret_freep) Secret *secret = NULL;
    int r = store_unseal(userdata, record->id, &secret);

    return r < 0 ? r : 1;
}

int main(int argc, char **argv)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *detail = NULL;
    uint64_t start, end;
    int r;

    if (argc != 2) {
        fprintf(stderr, "usage: open-store DIRECTORY\n");
        return EXIT_FAILURE;
    }
    r = secret_memory_init();
    start = now_monotonic();
    if (r == 0)
        r = direct_open(argv[1], &s, &detail);
    if (r == 0)
        r = store_for_each(s, unseal, s);
    end = now_monotonic();
    if (r <= 0) {
        fprintf(stderr, "%s: %s\n", argv[1], detail ? detail : r < 0 ? strerror(-r) : "no record");
        return EXIT_FAILURE;
    }
    printf("%llu %s\n", (unsigned long long)(end - start), store_slot_type(s));
    return EXIT_SUCCESS;
}
