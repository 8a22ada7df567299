/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basic/text.h"
#include "psk/limits.h"
#include "psk/nqn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The line for people agrees with the check, and can be shown on a terminal. */
static void check_text(const char *name)
{
    _cleanup_(freep) char *text = NULL;
    size_t position;
    NqnFault fault = nqn_check(name, strlen(name), &position);
    int r = nqn_check_text(name, "host NQN", &text);

    if (r != (fault == NQN_OK ? 0 : -EINVAL) || (r == 0) != !text ||
        (text && !text_is_printable(text)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(freep) char *name = malloc(size + 1);
    size_t position = SIZE_MAX;
    NqnFault fault = nqn_check((const char *)data, size, &position);

    if (!name)
        return 0;
    memcpy(name, data, size);
    name[size] = '\0';

    if (position > size || position > NQN_LENGTH_MAX)
        abort();
    if (fault == NQN_OK && (size < NQN_LENGTH_MIN || position != size || strlen(name) != size ||
                            strncmp(name, "nqn.", 4) != 0 || strpbrk(name, " ;")))
        abort();
    check_text(name);
    return 0;
}
