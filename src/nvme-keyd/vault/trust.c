/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "credstore/seal/helper.h"
#include "nvme-keyd/vault/vault-private.h"

/*
 * Whether a store is the right one. Its files are authentic to every owner of its key, so an
 * attacker's own store in the place of ours looks authentic as well. Three things reveal it: its
 * id, if the configuration has Id=; the slot that opens it, if OpenBy= leaves that way out
 * (ways.h); and a TPM that has the rollback counter of another store, while this store has none.
 */

int vault_check_id(const Vault *v, const Store *s, char **reterr_detail)
{
    const char *expected = v->rules.id;

    if (v->rules.id_is_bad)
        return detail_set(reterr_detail, -EXDEV,
                          "Id= in nvme-keyd.conf is not the id of a store (32 digits from 0 to f), "
                          "so no store is opened");
    if (!expected[0] || (s && strcmp(store_identity(s), expected) == 0))
        return 0;
    if (!s)
        return detail_set(
            reterr_detail, -EXDEV,
            "there is no store in %s, and Id= in nvme-keyd.conf expects store %s: restore "
            "it, or delete Id= to make a new one",
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

/* A TPM that timed out for a slot is not asked again. OpenBy= does not replace this check: an
 * attacker's store opens by a way that is allowed, for example by a host key on the same disk, and
 * then only our counter reveals it, also in a TPM that opens no slot here. */
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
    /* These three mean that there is no counter, no TPM, or one without counters. */
    if (error < 0 && error != -ENOENT && error != -ENODEV && error != -EOPNOTSUPP)
        v->counters_unseen = strdup(detail ? detail : strerror(-error));
    /* Without an answer of the TPM the keys are published all the same, because withholding them
     * costs disks. */
    if (error < 0 || !output || output->size != sizeof(other))
        return 0;
    memcpy(&other, output->data, sizeof(other));
    v->foreign = true;
    return detail_set(reterr_detail, -EXDEV,
                      "the TPM has the rollback counter 0x%x of another store, %.*s, which is not "
                      "here: if that store is gone for good, run nvme-keyctl store forget 0x%x; if "
                      "both stores are wanted, set OtherCounters=yes in nvme-keyd.conf",
                      other.index, STORE_IDENTITY_SIZE - 1, other.owner, other.index);
}

const char *vault_counters_unseen(const Vault *v)
{
    return v->counters_unseen;
}
