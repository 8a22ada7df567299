/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "credstore/header.h"
#include "credstore/limits.h"
#include "credstore/signed-file.h"

/* header.json, before anybody knows whether it is authentic. What parses can be written again, and
 * that parses to the same. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(header_done) Header a = {.generation = 0}, b = {.generation = 0};
    _cleanup_(freep) char *text = NULL;
    uint8_t mac[SEAL_MAC_SIZE];
    size_t body_size = size;

    if (size > STORE_HEADER_MAX)
        return 0;

    (void)!signed_file_split((const char *)data, size, &body_size, mac);
    if (header_parse((const char *)data, body_size, &a) < 0)
        return 0;
    if (header_format(&a, &text) < 0 || header_parse(text, strlen(text), &b) < 0 ||
        strcmp(a.id, b.id) != 0 || strcmp(a.image, b.image) != 0 || a.generation != b.generation ||
        memcmp(a.shards, b.shards, sizeof(a.shards)) != 0 || !json_object_equal(a.slots, b.slots))
        abort();
    return 0;
}
