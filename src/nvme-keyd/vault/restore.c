/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/text.h"
#include "credstore/staged.h"
#include "nvme-keyd/vault/vault-private.h"

/* Backups: the text of the store as it is, and the way back. A restore checks all of the staged
 * store, down to its records, before it touches the store that is there. */

/* Ids in a message, for people to look at. */
#define LOST_SHOWN_MAX 5

static bool has_recovery(const Store *s)
{
    const char *type;

    for (size_t i = 0; (type = store_nth_slot_type(s, i)); i++)
        if (strcmp(type, "recovery") == 0)
            return true;
    return false;
}

typedef struct Counts {
    size_t all, broken;
} Counts;

static int count_record(const StoreRecord *record, void *userdata)
{
    Counts *c = userdata;

    c->all++;
    c->broken += record->error < 0;
    return 0;
}

static Counts count(Store *s)
{
    Counts c = {.all = 0};

    (void)store_for_each(s, count_record, &c);
    return c;
}

int vault_backup(const Vault *v, StoreExport **ret, size_t *ret_broken, char **reterr_detail)
{
    int r = vault_require_writable(v, reterr_detail);

    if (r < 0)
        return r;
    if (!vault_store(v))
        return vault_no_store(reterr_detail);
    if (!has_recovery(v->store))
        return detail_set(reterr_detail, -ENOKEY,
                          "the store has no recovery key, so no other machine could open a backup: "
                          "make one first (nvme-keyctl slot add recovery)");
    *ret_broken = count(v->store).broken;
    r = store_backup_new(v->store, ret);
    return r < 0 && r != -ENOMEM
               ? detail_set(reterr_detail, r, "cannot make a backup: %s", strerror(-r))
               : r;
}

int vault_stage(const Vault *v, uint64_t offset, const void *data, size_t size,
                char **reterr_detail)
{
    int r = staged_write(v->state_dir, offset, data, size);

    return r < 0 ? detail_set(reterr_detail, r, "cannot write the backup to %s: %s", v->state_dir,
                              r == -ESPIPE ? "a part does not follow the one before" : strerror(-r))
                 : 0;
}

/* Opens the staged store as vault_unlock() would open it in its place. */
static int check_staged(const Vault *v, Store *s, const Secret *key, bool force,
                        size_t *ret_records, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *found = NULL;
    Counts n;
    int r = vault_find_by_recovery(v, s, key, &found, reterr_detail);

    if (r == 0)
        r = store_unlock(s, found, reterr_detail);
    if (r == 0)
        r = vault_check_id(v, s, reterr_detail);
    if (r < 0)
        return r;
    if (store_is_export(s))
        return detail_set(reterr_detail, -EBADMSG,
                          "it is an export for a boot image, not a backup");
    n = count(s);
    *ret_records = n.all;
    return n.broken == 0 || force
               ? 0
               : detail_set(reterr_detail, -EBADMSG,
                            "the backup is damaged: %zu of its %zu keys cannot be read; --force "
                            "restores the others",
                            n.broken, n.all);
}

typedef struct Losses {
    Store *staged;
    size_t n, all;
    char ids[LOST_SHOWN_MAX * (STORE_ID_SIZE + 1)];
} Losses;

static int note_loss(const StoreRecord *record, void *userdata)
{
    Losses *l = userdata;
    const StoreRecord *other = store_find(l->staged, record->id);

    l->all++;
    if (other && other->error == 0 && other->generation >= record->generation)
        return 0;
    if (l->n++ < LOST_SHOWN_MAX) {
        strcat(l->ids, l->n > 1 ? ", " : "");
        strcat(l->ids, record->id);
    }
    return 0;
}

/* Returns -EEXIST if the store that is there has records, or may have. */
static int check_losses(const Vault *v, Store *staged, char **reterr_detail)
{
    _cleanup_(store_closep) Store *attached = NULL;
    Losses l = {.staged = staged};

    if (!vault_store(v)) {
        if (!v->store && store_attach(v->state_dir, &attached, NULL) == -ENOENT)
            return 0;
        return detail_set(reterr_detail, -EEXIST,
                          "the store here is not open, so its keys are not known: open it first "
                          "(nvme-keyctl slot unlock), or replace it all the same with --force");
    }
    (void)store_for_each(v->store, note_loss, &l);
    if (l.all == 0)
        return 0;
    if (l.n == 0)
        return detail_set(reterr_detail, -EEXIST,
                          "the store here has %zu keys, and the backup has them as well: --force "
                          "replaces it",
                          l.all);
    return detail_set(reterr_detail, -EEXIST,
                      "the store here has %zu keys, and the backup lacks %zu of them or has an "
                      "older state: %s%s; --force replaces it all the same",
                      l.all, l.n, l.ids, l.n > LOST_SHOWN_MAX ? ", ..." : "");
}

static int check(const Vault *v, const Secret *key, bool force, size_t *ret_records,
                 char **reterr_detail)
{
    _cleanup_(store_closep) Store *staged = NULL;
    _cleanup_(freep) char *why = NULL;
    int r = staged_attach(v->state_dir, &staged, &why);

    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return detail_set(reterr_detail, -EBADMSG, "it is not a backup of a store: %s",
                          r == -ENOENT ? "it is empty"
                          : why        ? why
                                       : strerror(-r));
    r = check_staged(v, staged, key, force, ret_records, reterr_detail);
    return r < 0 || force ? r : check_losses(v, staged, reterr_detail);
}

int vault_restore(Vault *v, const Secret *recovery_key, bool force, VaultRestored *ret,
                  char **reterr_detail)
{
    int r;

    if (v->state == VAULT_STATE_CREATING)
        return detail_set(reterr_detail, -EBUSY, "the store is being made: try again");
    r = check(v, recovery_key, force, &ret->records, reterr_detail);
    if (r == 0) {
        r = staged_install(v->state_dir, &ret->kept);
        if (r < 0)
            r = detail_set(reterr_detail, r, "cannot put the backup into %s: %s", v->state_dir,
                           strerror(-r));
    }
    staged_forget(v->state_dir);
    if (r < 0)
        return r;
    vault_close(v);
    v->is_new = v->refused = v->foreign = false;
    r = vault_unlock(v, recovery_key, reterr_detail);
    /* The keys of the store before are gone in any case. */
    if (r < 0)
        vault_notify(v, VAULT_IDLE);
    return r;
}
