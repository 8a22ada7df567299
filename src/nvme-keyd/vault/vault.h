/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "basic/macro.h"
#include "credstore/store.h"

/*
 * The store of the service: opened, made, its slots and its rollback counter. What waits for a TPM
 * or for systemd-creds is done in child processes; nothing here blocks. Knows no key and no ring.
 */
typedef struct Vault Vault;

/* Opening the store counts as slow from here on. */
#define VAULT_SLOW_USEC USEC_PER_SEC

/* What the administrator lets open, or be, the store. */
typedef struct VaultRules {
    unsigned closed_ways;
    bool allow_null_key;
    bool other_counters;          /* the TPM may have rollback counters of other stores */
    bool id_is_bad;               /* no store is the right one */
    char id[STORE_IDENTITY_SIZE]; /* of the right store; "" for any */
} VaultRules;

typedef enum VaultEvent {
    VAULT_OPENED,
    VAULT_CREATED,
    VAULT_FAILED,  /* to open or to make it: vault_detail() */
    VAULT_SLOW,    /* still opening or making it, after VAULT_SLOW_USEC and then every 30 s */
    VAULT_COUNTED, /* the rollback counter has caught up, or not: vault_detail() */
    VAULT_IDLE,    /* something else has ended: vault_await() may say otherwise now */
} VaultEvent;

/* Called from the event loop, and by vault_unlock() and vault_set_rules(). Must not free the vault.
 */
typedef void (*VaultHandler)(VaultEvent event, void *userdata);

/* Does not touch the disk. event and state_dir are borrowed. Returns -ENOMEM. */
int vault_new(sd_event *event, const char *state_dir, const VaultRules *rules, VaultHandler handler,
              void *userdata, Vault **ret) _must_check_;
/* Ends what is at work: those who wait for a slot get -ECANCELED. Accepts NULL; returns NULL. */
Vault *vault_free(Vault *v);
DEFINE_CLEANUP(Vault, vault_free)

/* Puts other rules in force: a store that they do not allow is closed, and so is one that is being
 * opened. */
void vault_set_rules(Vault *v, const VaultRules *rules);

/* Starts opening the store, if there is one. Returns true when there is nothing to wait for: the
 * store is open, or absent, or could not be opened a moment ago. Else an event tells when to call
 * again. */
bool vault_await(Vault *v);
/* The same, and makes a store where there is none. */
bool vault_await_new(Vault *v);

/* Whether vault_await() returned true: 0 for a store that is open or absent, else why it is not
 * open; -EBUSY while it is being opened. Errors of store_attach() and store_unlock(), -EXDEV for
 * one that must not be opened. */
int vault_error(const Vault *v);
/* A line or more for people about that; NULL where there is nothing to say. */
const char *vault_detail(const Vault *v);
/* The same for a store that could not be made; 0 where nothing was tried. */
int vault_make_error(const Vault *v);
const char *vault_make_detail(const Vault *v);

/* Whether the store is open, or absent; whether it may be changed too (-EROFS for an export);
 * whether it is there too (-ENOMEDIUM). -EIO for any error of the store, with a detail. */
int vault_require_open(const Vault *v, char **reterr_detail) _must_check_;
int vault_require_writable(const Vault *v, char **reterr_detail) _must_check_;
int vault_require_store(const Vault *v, char **reterr_detail) _must_check_;

/* NULL unless the store is open. */
Store *vault_store(const Vault *v);
/* Closes it, with -ECANCELED for those who wait for a slot. No event. */
void vault_close(Vault *v);
/* The same, as if it had not been possible to open it. */
void vault_fail(Vault *v, int error);

/* True while the store is being opened or made. */
bool vault_is_opening(const Vault *v);
/* True when that has taken VAULT_SLOW_USEC. */
bool vault_is_slow(const Vault *v);
/* True while a child process is at work. */
bool vault_is_working(const Vault *v);
/* True when there is a store that must not be opened, by the rules or by a TPM. */
bool vault_is_refused(const Vault *v);
/* True when that is because it is another store than the right one, or there is none. */
bool vault_is_foreign(const Vault *v);
/* Why the TPM did not tell, when the store was opened last, whether it has the rollback counter of
 * another store; NULL where it did, or where there was nothing to ask. */
const char *vault_counters_unseen(const Vault *v);

/* Opens a store that no slot opens any more; a slot that is still being tried may hang, so that is
 * given up. Returns -EALREADY, -ENOMEDIUM (there is none), -ENOENT (it has no recovery key),
 * -EKEYREJECTED (it is another), -EBUSY (it is being made), or an error of store_unlock(), -EXDEV
 * for a store that must not be opened; with a detail. */
int vault_unlock(Vault *v, const Secret *recovery_key, char **reterr_detail) _must_check_;
/* True when only the recovery key could open the store again. */
bool vault_is_unlocked_by_hand(const Vault *v);

/* True once for a store that is new: whoever caused that hears of it. */
bool vault_take_new(Vault *v);
/* What that store does not promise, to be put: what could have sealed it, and did not, and why, and
 * what slot_warnings() says of the others. Returns -ENOMEM. */
int vault_new_warnings(const Vault *v, json_object **ret) _must_check_;

/*
 * Slots.
 */

/* The slots, as docs/CREDSTORE.md describes them; to be put. Of a store that is not open none of it
 * is known to be true. Returns -ENOMEDIUM when there is none, or an error of store_attach(); with a
 * detail. */
int vault_slots(Vault *v, json_object **ret, char **reterr_detail) _must_check_;

/* What a slot is to be. */
typedef struct SlotRequest {
    const char *type;
    const char *replaces; /* the id of the slot whose place it takes, or NULL */
    SlotOptions options;
} SlotRequest;

typedef struct SealedSlot {
    char id[SLOT_ID_SIZE];
    Secret *recovery_key; /* for type "recovery", else NULL */
    bool new_tpm;         /* by a TPM in the place of one that the store knew before */
} SealedSlot;

static inline void sealed_slot_done(SealedSlot *s)
{
    s->recovery_key = secret_free(s->recovery_key);
}

/* The store must be open. */

/* Makes a slot of type "recovery", without a child process. Returns as VaultDone, with a detail. */
int vault_add_recovery(Vault *v, const SlotRequest *request, SealedSlot *ret, char **reterr_detail)
    _must_check_;

/* The end of what was asked for. error: -ENOENT (no slot to replace, no such counter), -EINVAL,
 * -E2BIG (too many slots), -EBUSY (it is the counter of the store here), -ECANCELED, -ENOMEDIUM
 * (the store is not open any more), an error of the slot type or the TPM, or -EIO for one of the
 * store. detail may be NULL. slot: what was sealed, for vault_put_slot() or vault_drop_slot(); NULL
 * for an error or a counter. */
typedef void (*VaultDone)(int error, const Secret *slot, const char *detail, void *userdata);

/* Seals the store key by another slot, when its turn comes: one thing at a time is sealed. done is
 * called once, which may be before this returns. */
void vault_seal_slot(Vault *v, const SlotRequest *request, VaultDone done, void *userdata);
/* Adds what was sealed. Returns as VaultDone, with a detail. */
int vault_put_slot(Vault *v, const Secret *slot, SealedSlot *ret, char **reterr_detail)
    _must_check_;
/* Forgets it: nobody wants it any more. A counter that was made with it is removed. */
void vault_drop_slot(Vault *v, const Secret *slot);

/* Removes a slot. Returns -ENOENT, -EPERM (see store_remove_slot()), or -EIO; with a detail. */
int vault_remove_slot(Vault *v, const char *id, bool force, char **reterr_detail) _must_check_;

/*
 * The rollback counter.
 */

/* Has the counter of the store incremented if it is behind, and one that nothing needs removed. To
 * be called when something may have been committed. */
void vault_count(Vault *v);
/* True when it is behind. */
bool vault_has_to_count(const Vault *v);

/* Removes the counter of another store from the TPM; done as for vault_seal_slot(). The store need
 * not be open. */
void vault_remove_counter(Vault *v, uint32_t index, VaultDone done, void *userdata);
