/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "envelope/content.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A parsed input can be written, and reads the same again. */
static void check_round_trip(const EnvelopeContent *c)
{
    _cleanup_(envelope_content_done) EnvelopeContent again = {.n = 0};
    _cleanup_(secret_freep) Secret *text = NULL;

    if (envelope_content_format(c, &text) < 0 ||
        envelope_content_parse((const char *)text->data, text->size, &again, NULL) < 0 ||
        again.n != c->n || strcmp(again.id, c->id) != 0)
        abort();
    for (size_t i = 0; i < c->n; i++) {
        const EnvelopeEntry *a = &c->entries[i], *b = &again.entries[i];

        if (a->generation != b->generation || !a->configured != !b->configured ||
            strcmp(a->hostnqn, b->hostnqn) != 0 || strcmp(a->host, b->host) != 0 ||
            (a->configured && !secret_equal(a->configured, b->configured)))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(envelope_content_done) EnvelopeContent c = {.n = 0};
    _cleanup_(freep) char *detail = NULL;
    int r = envelope_content_parse((const char *)data, size, &c, &detail);

    if (r == 0)
        check_round_trip(&c);
    return 0;
}
