/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/json.h"
#include "credstore/seal/helper.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/seal-type.h"
#include "credstore/seal/ways.h"

/* The slot, its wrapped key, and two levels more for members of a slot type. */
#define SLOT_JSON_DEPTH 4

enum {
    FLAG_PCRS_GIVEN = 1 << 0,
    FLAG_BANK_KEPT = 1 << 1,
    FLAG_NEW_TPM = 1 << 2,
    FLAG_SKIP_GIVEN = 1 << 3,
    FLAG_ALLOW_NULL_KEY = 1 << 4,
    FLAG_BANK = 1 << 5,
    FLAG_WITH_KEY = 1 << 6,
};

/* A packed request: this, then the secret, then the slot as text. Both sides are one program. */
typedef struct Head {
    uint32_t work;
    uint32_t flags;
    uint32_t pcrs;
    uint32_t closed_ways;
    uint64_t value;
    uint32_t secret_size;
    uint32_t n_known;
    Tpm2Counter counter;
    Tpm2Name known[STORE_SLOTS_MAX + 1];
    char bank[16];
    char with_key[32];
    char owner[TPM2_COUNTER_OWNER_SIZE];
} Head;

static int pack_text(char *to, size_t size, const char *text)
{
    if (text && strlen(text) >= size)
        return -E2BIG;
    if (text)
        strcpy(to, text);
    return 0;
}

static int pack_options(const SlotOptions *o, Head *h)
{
    int r = pack_text(h->bank, sizeof(h->bank), o->bank);

    h->flags = (o->pcrs_given ? FLAG_PCRS_GIVEN : 0) | (o->bank_kept ? FLAG_BANK_KEPT : 0) |
               (o->new_tpm ? FLAG_NEW_TPM : 0) | (o->skip_given ? FLAG_SKIP_GIVEN : 0) |
               (o->allow_null_key ? FLAG_ALLOW_NULL_KEY : 0) | (o->bank ? FLAG_BANK : 0) |
               (o->with_key ? FLAG_WITH_KEY : 0);
    h->pcrs = o->pcrs;
    h->closed_ways = o->closed_ways;
    if (o->known_tpms) {
        h->n_known = (uint32_t)o->known_tpms->n;
        memcpy(h->known, o->known_tpms->names, h->n_known * sizeof(h->known[0]));
    }
    return r < 0 ? r : pack_text(h->with_key, sizeof(h->with_key), o->with_key);
}

int seal_request_pack(const SealRequest *q, Secret **ret)
{
    size_t secret_size = q->secret ? q->secret->size : 0, slot_size;
    _cleanup_(secret_freep) Secret *packed = NULL;
    _cleanup_(freep) char *slot = NULL;
    Head h = {.work = q->work,
              .value = q->value,
              .secret_size = (uint32_t)secret_size,
              .counter = q->counter};
    int r = pack_options(&q->options, &h);

    if (r == 0 && q->slot)
        r = json_format(q->slot, &slot);
    if (r < 0)
        return r;
    slot_size = slot ? strlen(slot) : 0;
    memcpy(h.owner, q->owner, sizeof(h.owner));
    if (sizeof(h) + secret_size + slot_size > SEAL_REQUEST_MAX)
        return -E2BIG;
    packed = secret_new(sizeof(h) + secret_size + slot_size);
    if (!packed)
        return -ENOMEM;
    memcpy(packed->data, &h, sizeof(h));
    if (q->secret)
        memcpy(packed->data + sizeof(h), q->secret->data, secret_size);
    if (slot)
        memcpy(packed->data + sizeof(h) + secret_size, slot, slot_size);
    *ret = TAKE_PTR(packed);
    return 0;
}

/* A request as it was received. Borrows from head. */
typedef struct Unpacked {
    Head head;
    Tpm2Names known;
    SlotOptions options;
    Secret *secret;
    json_object *slot;
    const SlotType *type;
} Unpacked;

static void unpacked_done(Unpacked *u)
{
    secret_free(u->secret);
    json_object_put(u->slot);
}

static bool has_end(const char *text, size_t size)
{
    return memchr(text, '\0', size);
}

static bool is_sound(const Head *h)
{
    bool sound = h->work < SEAL_WORKS && h->n_known <= STORE_SLOTS_MAX + 1 &&
                 h->counter.name.size <= TPM2_NAME_MAX &&
                 h->counter.srk_name.size <= TPM2_NAME_MAX && has_end(h->bank, sizeof(h->bank)) &&
                 has_end(h->with_key, sizeof(h->with_key)) && has_end(h->owner, sizeof(h->owner));

    for (uint32_t i = 0; sound && i < h->n_known; i++)
        sound = h->known[i].size <= TPM2_NAME_MAX;
    return sound;
}

static void unpack_options(Unpacked *u)
{
    const Head *h = &u->head;

    u->known.n = h->n_known;
    memcpy(u->known.names, h->known, h->n_known * sizeof(h->known[0]));
    u->options = (SlotOptions){
        .pcrs_given = h->flags & FLAG_PCRS_GIVEN,
        .pcrs = h->pcrs,
        .bank = h->flags & FLAG_BANK ? h->bank : NULL,
        .bank_kept = h->flags & FLAG_BANK_KEPT,
        .new_tpm = h->flags & FLAG_NEW_TPM,
        .known_tpms = &u->known,
        .closed_ways = h->closed_ways,
        .with_key = h->flags & FLAG_WITH_KEY ? h->with_key : NULL,
        .skip_given = h->flags & FLAG_SKIP_GIVEN,
        .allow_null_key = h->flags & FLAG_ALLOW_NULL_KEY,
    };
}

static bool is_of_slot(const Head *h)
{
    return h->work <= SEAL_WORK_UNSEAL;
}

static int unpack_slot(Unpacked *u, const char *text, size_t size)
{
    const char *name;
    int r = json_parse(text, size, SLOT_JSON_DEPTH, &u->slot);

    if (r < 0)
        return r;
    if (json_get_string(u->slot, "type", &name) <= 0)
        return -EBADMSG;
    for (const SlotType *const *t = slot_types; *t; t++)
        if (strcmp((*t)->name, name) == 0)
            u->type = *t;
    return u->type ? 0 : -EBADMSG;
}

static int unpack(const uint8_t *data, size_t size, Unpacked *u)
{
    const uint8_t *p = data + sizeof(u->head);

    if (size < sizeof(u->head) || size > SEAL_REQUEST_MAX)
        return -EBADMSG;
    memcpy(&u->head, data, sizeof(u->head));
    size -= sizeof(u->head);
    if (!is_sound(&u->head) || u->head.secret_size > size ||
        (u->head.secret_size > 0 && u->head.secret_size != STORE_KEY_SIZE))
        return -EBADMSG;
    if (u->head.secret_size > 0 && !(u->secret = secret_new_copy(p, u->head.secret_size)))
        return -ENOMEM;
    unpack_options(u);
    if (!is_of_slot(&u->head))
        return 0;
    if (u->head.work != SEAL_WORK_UNSEAL && !u->secret)
        return -EBADMSG;
    return unpack_slot(u, (const char *)p + u->head.secret_size, size - u->head.secret_size);
}

int seal_request_check(const void *request, size_t size)
{
    _cleanup_(unpacked_done) Unpacked u = {.type = NULL};

    return unpack(request, size, &u);
}

/* Unseals the KEK at once, because a slot that does not give it back would lose the store. */
static int check_seal(const Unpacked *u, char **reterr_detail)
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

static int seal(const Unpacked *u, Secret **ret, char **reterr_detail)
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
    if (r < 0)
        return r;
    *ret = secret_new_copy(text, strlen(text));
    return *ret ? 0 : -ENOMEM;
}

static int work_on_slot(const Unpacked *u, Secret **ret, char **reterr_detail)
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

static int create_counter(const Unpacked *u, Secret **ret, char **reterr_detail)
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
static int count(const Unpacked *u, Secret **ret, char **reterr_detail)
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

static int find_other(const Unpacked *u, Secret **ret, char **reterr_detail)
{
    Tpm2CounterMark other = {.index = 0};
    int r = tpm2_counter_find_other(u->head.owner, &other, reterr_detail);

    return return_bytes(r, &other, sizeof(other), ret);
}

static int work_on_counter(const Unpacked *u, Secret **ret, char **reterr_detail)
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
    _cleanup_(unpacked_done) Unpacked u = {.type = NULL};
    int r = unpack(request, size, &u);

    *ret_output = NULL;
    if (r < 0)
        return r;
    return is_of_slot(&u.head) ? work_on_slot(&u, ret_output, reterr_detail)
                               : work_on_counter(&u, ret_output, reterr_detail);
}
