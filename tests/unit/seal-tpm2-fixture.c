/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "credstore/seal/limits.h"
#include "seal-tpm2-fixture.h"

void fixture_done(Fixture *f)
{
    f->kek = secret_free(f->kek);
    f->again = secret_free(f->again);
    json_object_put(f->slot);
    if (f->detail)
        printf("# %s\n", f->detail);
    free(f->detail);
}

int fixture_seal(Fixture *f)
{
    if (!f->kek && secret_random(STORE_KEY_SIZE, &f->kek) < 0)
        return -ENOMEM;
    json_object_put(f->slot);
    f->slot = json_object_new_object();
    return slot_tpm2.seal(f->kek, &f->options, f->slot, &f->detail);
}

int fixture_unseal(Fixture *f)
{
    f->again = secret_free(f->again);
    return slot_tpm2.unseal(f->slot, &f->options, &f->again, &f->detail);
}

const char *member(json_object *slot, const char *key)
{
    const char *text = NULL;

    return json_get_string(slot, key, &text) > 0 ? text : NULL;
}
