/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "credstore/seal/helper.h"
#include "nvme-keyd/vault/vault-private.h"

/*
 * Whether a store is the right one. Its files are authentic for whoever has its key, so that says
 * nothing about a store that an attacker has made and put in the place of ours. Three things do:
 * its id, where the configuration has it; the way by which it opens, where that was narrowed
 * (ways.h); and a TPM that has the rollback counter of another store, while this one has none.
 */

int vault_check_id(const Vault *v, const Store *s, char **reterr_detail)
{
    const char *expected = v->rules.id;

    if (v->rules.id_is_bad)
        return detail_set(
            reterr_detail, -EXDEV,
            "Id= in nvme-keyd.conf is no id of a store (32 digits from 0 to f), so no "
            "store is opened");
    if (!expected[0] || (s && strcmp(store_identity(s), expected) == 0))
        return 0;
    if (!s)
        return detail_set(
            reterr_detail, -EXDEV,
            "there is no store in %s, and Id= in nvme-keyd.conf expects store %s: put "
            "it back, or take Id= out to make a new one",
            v->state_dir, expected);
    return detail_set(reterr_detail, -EXDEV,
                      "it is another store: Id= in nvme-keyd.conf expects %s, and this is %s",
                      expected, store_identity(s));
}

bool vault_is_refused(const Vault *v)
{
    return !vault_store(v) && (v->refused || v->foreign);
}

bool vault_is_foreign(const Vault *v)
{
    return !vault_store(v) && v->foreign;
}

/* A TPM that does not answer is asked once. OpenBy= makes no difference: a store in the place of
 * ours opens by just what is allowed, a host key on the same disk for example. The counter of ours
 * tells then, in a TPM that opens nothing here any more. */
static bool is_counter_check_due(const Vault *v)
{
    return !v->rules.id[0] && !v->rules.other_counters && !store_has_counter(v->store) &&
           v->slot_error != -ETIMEDOUT;
}

int vault_start_counter_check(Vault *v, JobDone done)
{
    SealRequest q = {.work = SEAL_WORK_COUNTER_FIND_OTHER};
    _cleanup_(secret_freep) Secret *request = NULL;
    int r = 0;

    _Static_assert(STORE_IDENTITY_SIZE == TPM2_COUNTER_OWNER_SIZE, "two sizes of one thing");
    if (!is_counter_check_due(v))
        return 0;
    strcpy(q.owner, store_identity(v->store));
    if (v->found)
        r = store_identify(v->store, v->found, q.owner);
    if (r == 0)
        r = seal_request_pack(&q, &request);
    if (r == 0)
        r = vault_start_job(v, COUNTER_CHECK_TIMEOUT_USEC, request, done);
    return r < 0 ? r : 1;
}

int vault_end_counter_check(Vault *v, int error, const Secret *output, const char *detail,
                            char **reterr_detail)
{
    Tpm2CounterMark other;

    free(TAKE_PTR(v->counters_unseen));
    /* Other than no counter, no TPM, or one that cannot have any. */
    if (error < 0 && error != -ENOENT && error != -ENODEV && error != -EOPNOTSUPP)
        v->counters_unseen = strdup(detail ? detail : strerror(-error));
    /* A TPM that does not tell is no reason to keep the keys back. */
    if (error < 0 || !output || output->size != sizeof(other))
        return 0;
    memcpy(&other, output->data, sizeof(other));
    v->foreign = true;
    return detail_set(reterr_detail, -EXDEV,
                      "the TPM has the rollback counter 0x%x of another store, %.*s, which is not "
                      "here: if that one is gone for good, nvme-keyctl store forget 0x%x; if "
                      "both are right, OtherCounters=yes in nvme-keyd.conf",
                      other.index, STORE_IDENTITY_SIZE - 1, other.owner, other.index);
}

const char *vault_counters_unseen(const Vault *v)
{
    return v->counters_unseen;
}
