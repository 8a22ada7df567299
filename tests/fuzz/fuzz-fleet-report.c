/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basic/text.h"
#include "fleet/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The status of a machine, which anyone may have written. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(freep) FleetReport *reports = NULL;
    size_t n = 0;

    if (fleet_reports_parse((const char *)data, size, &reports, &n) < 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (strlen(reports[i].id) != FLEET_ID_SIZE - 1 || reports[i].state == PLAN_SILENT ||
            reports[i].generation > INT64_MAX || !text_is_printable(reports[i].reason))
            abort();
    return 0;
}
