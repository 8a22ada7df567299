/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "credstore/commit.h"
#include "credstore/signed-file.h"

/* commit.json. What parses can be written again, and that parses to the same. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool equal(const CommitPlan *a, const CommitPlan *b)
{
    return a->generation == b->generation && a->shards == b->shards &&
           a->n_replace == b->n_replace && a->n_remove == b->n_remove &&
           memcmp(a->replace, b->replace, a->n_replace * sizeof(*a->replace)) == 0 &&
           memcmp(a->remove, b->remove, a->n_remove * sizeof(*a->remove)) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(commit_plan_done) CommitPlan a = {.generation = 0}, b = {.generation = 0};
    _cleanup_(freep) char *text = NULL;
    uint8_t mac[SEAL_MAC_SIZE];
    size_t body_size = size;

    if (size > COMMIT_FILE_MAX)
        return 0;

    (void)!signed_file_split((const char *)data, size, &body_size, mac);
    if (commit_plan_parse((const char *)data, body_size, &a) < 0)
        return 0;
    if (commit_plan_format(&a, &text) < 0 || commit_plan_parse(text, strlen(text), &b) < 0 ||
        !equal(&a, &b))
        abort();
    return 0;
}
