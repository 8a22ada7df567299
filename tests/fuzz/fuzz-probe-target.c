/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The attribute as the kernel would print this target. */
static char *print(const ProbeTarget *t)
{
    char *text;

    if (asprintf(&text, "traddr=%s,trsvcid=%u%s%s%s%s", t->address, (unsigned)t->port,
                 t->source[0] ? ",host_traddr=" : "", t->source,
                 t->interface[0] ? ",host_iface=" : "", t->interface) < 0)
        abort();
    return text;
}

/* The input is the attribute "address" of a controller. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(freep) char *text = strndup((const char *)data, size), *printed = NULL;
    ProbeTarget t, again;
    char shown[PROBE_TARGET_TEXT_SIZE];

    if (!text)
        return 0;
    if (probe_target_parse(text, &t) < 0)
        return 0;
    if (!probe_target_is_valid(&t))
        abort();
    probe_target_format(&t, shown);
    printed = print(&t);
    if (probe_target_parse(printed, &again) < 0 || memcmp(&t, &again, sizeof(t)) != 0)
        abort();
    return 0;
}
