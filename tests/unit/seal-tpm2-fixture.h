/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/json.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/seal-type.h"
#include "swtpm.h"
#include "test.h"

/* A sealed KEK and what is asked of it. */
typedef struct Fixture {
    SlotOptions options;
    Secret *kek;
    Secret *again;
    json_object *slot;
    char *detail;
} Fixture;

static inline void fixture_done(Fixture *f)
{
    f->kek = secret_free(f->kek);
    f->again = secret_free(f->again);
    json_object_put(f->slot);
    if (f->detail)
        printf("# %s\n", f->detail);
    free(f->detail);
}

static inline int fixture_seal(Fixture *f)
{
    if (!f->kek && secret_random(STORE_KEY_SIZE, &f->kek) < 0)
        return -ENOMEM;
    json_object_put(f->slot);
    f->slot = json_object_new_object();
    return slot_tpm2.seal(f->kek, &f->options, f->slot, &f->detail);
}

static inline int fixture_unseal(Fixture *f)
{
    f->again = secret_free(f->again);
    return slot_tpm2.unseal(f->slot, &f->options, &f->again, &f->detail);
}

/* A set of PCRs as an option. */
#define PCRS(set)                                                                                  \
    {                                                                                              \
        .pcrs_given = true, .pcrs = (set)                                                          \
    }
#define PCR(n) (UINT32_C(1) << (n))

static inline const char *member(json_object *slot, const char *key)
{
    const char *text = NULL;

    return json_get_string(slot, key, &text) > 0 ? text : NULL;
}
