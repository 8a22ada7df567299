/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basic/macro.h"
#include "nvme-keyctl/doctor/configured.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_list(const ConfiguredList *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (strlen(l->items[i].hostnqn) > NQN_LENGTH_MAX + 1 ||
            strlen(l->items[i].subsysnqn) > NQN_LENGTH_MAX + 1)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(configured_list_done) ConfiguredList json = {.items = NULL}, conf = {.items = NULL};
    /* Exactly as long, so that reading past the end is seen. */
    _cleanup_(freep) char *text = malloc(size + 1);
    int r;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    r = configured_parse_json(text, size, &json);
    if (r < 0 && r != -EBADMSG && r != -ENOMEM)
        abort();
    check_list(&json);
    if (configured_parse_conf(text, &conf) < 0 || configured_parse_discovery(text, &conf) < 0)
        return 0;
    check_list(&conf);
    return 0;
}
