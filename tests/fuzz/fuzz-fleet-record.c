/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "nvme-keyd/envelopes/records.h"

/* The metadata of records that are no keys: a form that is accepted adds exactly one of them. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const StoreRecord record = {
        .id = "0123456789abcdef", .meta = (const char *)data, .meta_size = size};
    Records records = {.n_pairs = 0};
    int r = records_load(&records, &record);
    size_t n = records.n_issuers + records.n_pairs + (records.machine.id[0] ? 1 : 0);

    if (n != (r == 1 ? 1 : 0) || (r < 0 && r != -EBADMSG && r != -ENOMEM))
        abort();
    /* A second machine, or the same pair again, makes no sense. */
    if (r == 1 && records.n_issuers == 0 && records_load(&records, &record) != -EBADMSG)
        abort();
    records_done(&records);
    return 0;
}
