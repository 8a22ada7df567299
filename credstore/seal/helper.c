/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/json.h"
#include "credstore/seal/request.h"
#include "credstore/seal/ways.h"

/* Unseals the KEK at once, because a slot that does not give it back would lose the store. */
static int check_seal(const UnpackedRequest *u, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *again = NULL;
    SlotOptions own = u->options;
    int r;

    if (u->type == &slot_recovery && own.closed_ways & WAY_RECOVERY)
        return detail_set(reterr_detail, -EXDEV, "%s: " WAY_CLOSED, u->type->name);
    /* The recovery key leaves with the reply, so it cannot be typed back yet. */
    if (!u->type->usable)
        return 0;
    own.skip_given = true;
    r = u->type->unseal(u->slot, &own, &again, reterr_detail);
    if (r < 0)
        return r;
    if (!secret_equal(again, u->secret))
        return detail_set(reterr_detail, -EKEYREJECTED, "unseals another key than it sealed");
    return 0;
}

static int seal(const UnpackedRequest *u, Secret **ret, char **reterr_detail)
{
    _cleanup_(freep) char *text = NULL;
    int r = 0;

    if (u->head.work == SEAL_WORK_SEAL_IF_USABLE) {
        r = u->type->usable ? u->type->usable() : -ENODEV;
        /* -EACCES is no absence: the device is there, and using it is refused. */
        if (r < 0 && r != -EACCES)
            return detail_set(reterr_detail, -ENODEV, "%s", strerror(-r));
    }
    if (r == 0)
        r = u->type->seal(u->secret, &u->options, u->slot, reterr_detail);
    if (r == 0)
        r = check_seal(u, reterr_detail);
    if (r == 0)
        r = json_format(u->slot, &text);
    if (!text)
        return r;
    *ret = secret_new_copy(text, strlen(text));
    return *ret ? 0 : -ENOMEM;
}

static int work_on_slot(const UnpackedRequest *u, Secret **ret, char **reterr_detail)
{
    _cleanup_(freep) char *why = NULL;
    bool unseals = u->head.work == SEAL_WORK_UNSEAL;
    int r = unseals ? u->type->unseal(u->slot, &u->options, ret, &why) : seal(u, ret, &why);

    if (r < 0 && u->head.work == SEAL_WORK_SEAL && reterr_detail)
        *reterr_detail = TAKE_PTR(why);
    else if (r < 0 && r != -ENOMEM)
        return detail_set(reterr_detail, r, "%s: %s", u->type->name,
                          why                        ? why
                          : unseals && r == -EBADMSG ? "its members in the header are malformed"
                                                     : strerror(-r));
    return r;
}

static int return_bytes(int error, const void *data, size_t size, Secret **ret)
{
    if (error < 0)
        return error;
    *ret = secret_new_copy(data, size);
    return *ret ? 0 : -ENOMEM;
}

static int create_counter(const UnpackedRequest *u, Secret **ret, char **reterr_detail)
{
    SealedCounter made = {.counter = u->head.counter};
    int r =
        tpm2_counter_create(&made.counter, u->head.value, u->head.owner, u->secret, reterr_detail);

    if (r < 0)
        return r;
    r = tpm2_counter_read(&made.counter, u->secret, &made.value, reterr_detail);
    if (r < 0)
        (void)!tpm2_counter_remove(&made.counter, NULL);
    return return_bytes(r, &made, sizeof(made), ret);
}

/* Reads the value first, because an earlier try that failed may have incremented the counter. */
static int count(const UnpackedRequest *u, Secret **ret, char **reterr_detail)
{
    const Tpm2Counter *c = &u->head.counter;
    _cleanup_(freep) char *why = NULL;
    uint64_t value = 0;
    int r = tpm2_counter_read(c, u->secret, &value, &why);

    if (r < 0)
        return detail_set(reterr_detail, r, "cannot read the rollback counter: %s",
                          why ? why : strerror(-r));
    while (r == 0 && u->head.work == SEAL_WORK_COUNTER_COUNT && value < u->head.value)
        r = tpm2_counter_increment(c, u->secret, &value, reterr_detail);
    return return_bytes(r, &value, sizeof(value), ret);
}

static int find_other(const UnpackedRequest *u, Secret **ret, char **reterr_detail)
{
    Tpm2CounterMark other = {.index = 0};
    int r = tpm2_counter_find_other(u->head.owner, &other, reterr_detail);

    return return_bytes(r, &other, sizeof(other), ret);
}

static int work_on_counter(const UnpackedRequest *u, Secret **ret, char **reterr_detail)
{
    switch ((SealWork)u->head.work) {
    case SEAL_WORK_COUNTER_CREATE:
        return u->secret ? create_counter(u, ret, reterr_detail) : -EBADMSG;
    case SEAL_WORK_COUNTER_READ:
    case SEAL_WORK_COUNTER_COUNT:
        return u->secret ? count(u, ret, reterr_detail) : -EBADMSG;
    case SEAL_WORK_COUNTER_REMOVE:
        return tpm2_counter_remove(&u->head.counter, reterr_detail);
    case SEAL_WORK_COUNTER_REMOVE_MARKED:
        return tpm2_counter_remove_marked(u->head.counter.index, reterr_detail);
    case SEAL_WORK_COUNTER_FIND_OTHER:
        return find_other(u, ret, reterr_detail);
    default:
        return -EBADMSG;
    }
}

int seal_work(const void *request, size_t size, Secret **ret_output, char **reterr_detail)
{
    _cleanup_(seal_request_done) UnpackedRequest u = {.type = NULL};
    int r = seal_request_unpack(request, size, &u);

    *ret_output = NULL;
    if (r < 0)
        return r;
    return seal_request_is_of_slot(&u.head) ? work_on_slot(&u, ret_output, reterr_detail)
                                            : work_on_counter(&u, ret_output, reterr_detail);
}
