/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdlib.h>
#include <systemd/sd-event.h>

#include "basic/macro.h"
#include "credstore/store.h"

/*
 * The store of the service: it is opened and made here, with its slots and its rollback counter.
 * Each step that waits for a TPM or for systemd-creds runs in a child process, so nothing here
 * blocks. The Vault knows no key and no ring.
 */
typedef struct Vault Vault;

/* Opening or making the store is called slow after this time. */
#define VAULT_SLOW_USEC USEC_PER_SEC

/* The rules of the configuration: the types of slots that may open a store, and its identity. */
typedef struct VaultRules {
    unsigned closed_ways;
    bool allow_null_key;
    bool other_counters;          /* accept a TPM that has rollback counters of other stores */
    bool id_is_bad;               /* Id= could not be read, so no store may be opened */
    char id[STORE_IDENTITY_SIZE]; /* of the one store that may be opened; "" for any */
} VaultRules;

typedef enum VaultEvent {
    VAULT_OPENED,
    VAULT_CREATED,
    VAULT_FAILED,  /* opening failed: vault_detail(); or making it: vault_make_detail() */
    VAULT_SLOW,    /* still opening or making it: after VAULT_SLOW_USEC, then every 30 s */
    VAULT_COUNTED, /* a try to count up the rollback counter has ended; if it failed: vault_detail()
                    */
    VAULT_IDLE,    /* another job has ended or the rules have changed: ask vault_await() again */
} VaultEvent;

/* Called from the event loop, and by vault_unlock() and vault_set_rules(). Must not free the
 * Vault. */
typedef void (*VaultHandler)(VaultEvent event, void *userdata);

/* Makes a closed Vault, without a look at the disk. event and state_dir are borrowed. Returns
 * -ENOMEM. */
int vault_new(sd_event *event, const char *state_dir, const VaultRules *rules, VaultHandler handler,
              void *userdata, Vault **ret) _must_check_;
/* Ends the job at work; waiting requests end with -ECANCELED. Accepts NULL; returns NULL. */
Vault *vault_free(Vault *v);
DEFINE_CLEANUP(Vault, vault_free)

/* Puts new rules in force. If they differ, the store is closed, or its opening ends; only a store
 * that is open by its recovery key stays open, if the new rules allow it. */
void vault_set_rules(Vault *v, const VaultRules *rules);

/* Starts opening the store, if there is one. Returns true when there is nothing to wait for: the
 * store is open, or absent, or opening it failed a moment ago. Returns false while a job is at
 * work; an event follows when the caller may ask again. */
bool vault_await(Vault *v);
/* As vault_await(), but makes a store if there is none. */
bool vault_await_new(Vault *v);

/* Why the store is not open: 0 if it is open or absent, -EBUSY while it is being opened or made,
 * else an error of store_attach() or store_unlock(), or -EXDEV for a store that must not be
 * opened. */
int vault_error(const Vault *v);
/* Lines for people about that error; NULL if there are none. */
const char *vault_detail(const Vault *v);
/* The same lines for making a store; NULL where none was tried. */
const char *vault_make_detail(const Vault *v);

/* Checks for methods, each stricter than the one before: the store is open or absent; it may be
 * changed (-EROFS for an export); it is there. Any other failure is -EIO or -ENOMEM. With a
 * detail. */
int vault_require_open(const Vault *v, char **reterr_detail) _must_check_;
int vault_require_writable(const Vault *v, char **reterr_detail) _must_check_;
int vault_require_store(const Vault *v, char **reterr_detail) _must_check_;

/* Returns NULL unless the store is open. */
Store *vault_store(const Vault *v);
/* Closes the store, and records error as the reason. Waiting requests end with -ECANCELED; no event
 * follows. */
void vault_fail(Vault *v, int error);

/* True while the store is being opened or made. */
bool vault_is_opening(const Vault *v);
/* True once that has taken VAULT_SLOW_USEC. */
bool vault_is_slow(const Vault *v);
/* True while a job is at work. */
bool vault_is_working(const Vault *v);
/* True if a store is there that must not be opened: by the rules, or because a TPM has the rollback
 * counter of another one. */
bool vault_is_refused(const Vault *v);
/* True if that is because it is not the expected store, or because the expected one is missing. */
bool vault_is_foreign(const Vault *v);
/* The error of the last opening when it asked the TPM for rollback counters of other stores. NULL
 * if the TPM has answered or was not asked. */
const char *vault_counters_unseen(const Vault *v);

/* Opens the store by its recovery key. If a slot is being tried, that try ends, because it may
 * hang. Returns -EALREADY, -ENOMEDIUM (no store), -ENOENT (the store has no recovery key),
 * -EKEYREJECTED (wrong recovery key), -EBUSY (the store is being made), -EXDEV (the store must not
 * be opened), or an error of store_unlock(); with a detail. */
int vault_unlock(Vault *v, const Secret *recovery_key, char **reterr_detail) _must_check_;
/* True if the store is open and only its recovery key could open it again. */
bool vault_is_unlocked_by_hand(const Vault *v);

/* Returns true once for a new store, so the reply to the call that caused it can mention it. */
bool vault_take_new(Vault *v);
/* Warnings about that store, to be put by the caller: each slot type that could have sealed it but
 * failed, with the reason, and the lines of slot_warnings(). Returns -ENOMEM. */
int vault_new_warnings(const Vault *v, json_object **ret) _must_check_;

/*
 * Backups.
 */

/* Makes the text of a backup of the store. *ret_broken: records that it lacks. Returns -ENOKEY for
 * a store without a recovery key, -ENOMEDIUM (no store), as vault_require_writable(), or an error
 * of store_backup_new(); with a detail. */
int vault_backup(const Vault *v, StoreExport **ret, size_t *ret_broken, char **reterr_detail)
    _must_check_;

/* Writes a part of a backup aside; see staged_write(). With a detail. */
int vault_stage(const Vault *v, uint64_t offset, const void *data, size_t size,
                char **reterr_detail) _must_check_;

typedef struct VaultRestored {
    size_t records;
    char *kept; /* path of the store that was replaced, to be freed; NULL if there was none */
} VaultRestored;

static inline void vault_restored_done(VaultRestored *r)
{
    free(r->kept);
}

/* Puts the backup that was staged into the place of the store, and opens it by its recovery key.
 * force: even if that loses records, or some of the backup are broken. Keys that were published
 * stay in the ring, for the handler to reconcile. Returns -EBADMSG (not a sound backup), -EEXIST
 * (it would lose records), -ENOENT, -EKEYREJECTED, -EXDEV as vault_unlock(), -EBUSY (the store is
 * being made), or an error of staged_install(); with a detail. Afterwards nothing is staged. */
int vault_restore(Vault *v, const Secret *recovery_key, bool force, VaultRestored *ret,
                  char **reterr_detail) _must_check_;

/*
 * Slots.
 */

/* The slots as docs/CREDSTORE.md describes them, to be put by the caller. They are authentic only
 * if the store is open. Returns -ENOMEDIUM if there is no store, or an error of store_attach();
 * with a detail. */
int vault_slots(Vault *v, json_object **ret, char **reterr_detail) _must_check_;

/* The slot that a caller wants. */
typedef struct SlotRequest {
    const char *type;
    const char *replaces; /* id of the slot that it replaces, or NULL */
    SlotOptions options;
} SlotRequest;

typedef struct SealedSlot {
    char id[SLOT_ID_SIZE];
    Secret *recovery_key; /* for type "recovery", else NULL */
    bool new_tpm;         /* the store knew another TPM before */
} SealedSlot;

static inline void sealed_slot_done(SealedSlot *s)
{
    s->recovery_key = secret_free(s->recovery_key);
}

/* The functions from here to the rollback counter need an open store. */

/* Makes a slot of type "recovery", without a job. Returns an error as VaultDone gets it, with a
 * detail. */
int vault_add_recovery(Vault *v, const SlotRequest *request, SealedSlot *ret, char **reterr_detail)
    _must_check_;

/* The end of a request. error: -ENOENT (no slot to replace, or no such counter), -EINVAL, -E2BIG
 * (too many slots), -EBUSY (the counter belongs to the store here), -ECANCELED, -ENOMEDIUM (the
 * store is closed by now), an error of the slot type or of the TPM, or -EIO for one of the store.
 * detail may be NULL. slot: the sealed slot; NULL after an error and for a counter. Unless done
 * adds the slot with vault_put_slot(), a counter that was made with it is removed. */
typedef void (*VaultDone)(int error, const Secret *slot, const char *detail, void *userdata);

/* Queues a request to seal the store key by another slot; requests run one at a time. done is
 * called once, perhaps before this returns. */
void vault_seal_slot(Vault *v, const SlotRequest *request, VaultDone done, void *userdata);
/* Adds a sealed slot to the store. Returns an error as VaultDone gets it, with a detail. */
int vault_put_slot(Vault *v, const Secret *slot, SealedSlot *ret, char **reterr_detail)
    _must_check_;

/* Removes a slot. Returns -ENOENT, -EPERM (see store_remove_slot()), or -EIO; with a detail. */
int vault_remove_slot(Vault *v, const char *id, bool force, char **reterr_detail) _must_check_;

/*
 * The rollback counter.
 */

/* Starts a job that counts up the rollback counter if it is behind, or that removes one which
 * nothing needs. To be called after each possible commit. */
void vault_count(Vault *v);
/* True if the counter is behind. */
bool vault_has_to_count(const Vault *v);

/* Queues a request to remove the counter of another store from the TPM; done as for
 * vault_seal_slot(). The store need not be open. */
void vault_remove_counter(Vault *v, uint32_t index, VaultDone done, void *userdata);
