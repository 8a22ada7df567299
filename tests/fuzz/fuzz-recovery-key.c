/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "credstore/seal/limits.h"
#include "credstore/seal/recovery-key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

/* A formatted key parses to the same key. */
static void format_and_parse(const Secret *key)
{
    _cleanup_(secret_freep) Secret *text = NULL, *again = NULL;
    unsigned group;

    check(recovery_key_format(key, &text) == 0 && text->size == RECOVERY_KEY_LENGTH + 1);
    check(strlen((const char *)text->data) == RECOVERY_KEY_LENGTH);
    check(recovery_key_parse((const char *)text->data, RECOVERY_KEY_LENGTH, &again, &group) == 0);
    check(secret_equal(key, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(secret_freep) Secret *key = NULL;
    unsigned group = 0;
    int r = recovery_key_parse((const char *)data, size, &key, &group);

    check(r == 0 ? key != NULL : key == NULL && (r == -EINVAL || r == -EBADMSG));
    check(r == -EBADMSG ? group >= 1 && group <= RECOVERY_KEY_GROUPS : group == 0);
    if (r == 0)
        format_and_parse(key);
    if (size >= STORE_KEY_SIZE) {
        _cleanup_(secret_freep) Secret *any = secret_new_copy(data, STORE_KEY_SIZE);

        format_and_parse(any);
    }
    return 0;
}
