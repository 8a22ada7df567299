/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/seal-options.h"

/*
 * A file of sealed records. A record is public metadata (a JSON object) and a secret, bound to
 * each other, to the record's id and to its generation by authenticated encryption. The store knows
 * nothing of what they mean. docs/CREDSTORE.md is the format.
 *
 * All changes go through a transaction; after a crash at any instruction the store opens with all
 * of it or nothing of it.
 */

/* The identity of a store: 32 lower-case hex digits and a NUL. */
#define STORE_IDENTITY_SIZE 33
/* 16 lower-case hex digits and a NUL. */
#define STORE_ID_SIZE 17
/* 8 lower-case hex digits and a NUL. */
#define SLOT_ID_SIZE 9

typedef struct Store Store;
typedef struct StoreTransaction StoreTransaction;

/* What is known of a record. Owned by the store, valid until the next commit that touches it. */
typedef struct StoreRecord {
    char id[STORE_ID_SIZE];
    uint64_t generation; /* rises with each commit of this record, from 1; 0 where it is unknown */
    /* A JSON object without a terminator; NULL where error is set. */
    const char *meta;
    size_t meta_size;
    /* 0, or why this record cannot be used while the others can: -ENOENT missing, -ESTALE of
     * another time than the index, -EBADMSG not authentic, -EIO the disk cannot read it. */
    int error;
} StoreRecord;

/* Opens the store in dir, which must exist: takes the lock, drops what an interrupted commit has
 * left, unwraps the store key with the first slot that can, checks header, index and every record.
 * A broken record is not an error of this call. *reterr_detail, if not NULL, gets one line for
 * people about the failure, to be freed; it has to be NULL before. Returns -ENOENT (nothing there
 * yet), -EPERM (dir is not ours alone), -EBUSY (another process has it open), -EBADMSG (header or
 * index not authentic), -EIO (they cannot be read), -EPROTONOSUPPORT (a newer format),
 * -EKEYREJECTED (no slot opened it), -ETIMEDOUT, -ENOMEM, or an I/O error. */
int store_open(const char *dir, Store **ret, char **reterr_detail) _must_check_;

/* Makes a store with a fresh key and a slot of each type that works on this machine, and opens it.
 * Returns -EEXIST when there is one already, -EOPNOTSUPP or the error of the
 * last type when nothing can seal here, else as store_open(). */
int store_create(const char *dir, Store **ret, char **reterr_detail) _must_check_;

/*
 * The same in steps. What waits for a TPM or for systemd-creds is a request for seal_work()
 * (seal/helper.h), which another process can carry out: it never has the store key.
 *
 *     store_attach(), then for a slot: store_request_unseal(), work, store_take_kek(),
 *         store_request_counter(), work, store_take_counter(); store_unlock()
 *     store_prepare(), then for a type: store_request_enrol(), work, store_wrap_slot(),
 *         store_adopt_slot(); store_establish()
 *     store_request_seal(), work, store_wrap_slot(), and with a rollback counter
 *         store_request_new_counter(), work, store_add_counter(); store_put_slot()
 *     store_request_count(), work, store_counted()
 *     store_request_orphan(), work, store_forget_orphan()
 *
 * store_find_key(), store_enrol(), store_seal_slot() and store_count() do all that in place.
 */

/* A request to unseal the KEK of the nth slot to be tried. Returns -ERANGE past the last; any other
 * error means that the next one may still do, with a detail that names the type. */
int store_request_unseal(const Store *s, size_t nth, const SlotOptions *options, Secret **ret,
                         char **reterr_detail) _must_check_;
/* Makes of a KEK what unlocks the store. Returns -EKEYREJECTED when it is not that of this slot. */
int store_take_kek(const Store *s, size_t nth, const Secret *kek, Secret **ret,
                   char **reterr_detail) _must_check_;
/* True when the KEK of that slot may have been handed to the unit, for a slot that was replaced
 * since: then it is to be tried again with options.skip_given. */
bool store_may_have_been_given(const Store *s, size_t nth);
/* A request to read the rollback counter; *ret is NULL where there is none. */
int store_request_counter(const Store *s, const Secret *found, Secret **ret) _must_check_;
int store_take_counter(Secret *found, const Secret *value) _must_check_;

/* A request to seal a new KEK by the nth type that needs nobody. Returns -ERANGE past the last. */
int store_request_enrol(const Store *s, size_t nth, const SlotOptions *options, Secret **ret,
                        Secret **ret_kek) _must_check_;
/* The same as store_seal_slot() begins. */
int store_request_seal(const Store *s, const char *type, const char *id, const SlotOptions *options,
                       Secret **ret, Secret **ret_kek, char **reterr_detail) _must_check_;
/* Wraps the store key by a KEK that was sealed. */
int store_wrap_slot(const Store *s, const Secret *sealed, const Secret *kek, Secret **ret)
    _must_check_;
/* A request for a counter in the TPM that a wrapped slot is sealed by, and its place in that slot.
 */
int store_request_new_counter(const Store *s, const Secret *slot, Secret **ret) _must_check_;
int store_add_counter(const Secret *slot, const Secret *made, Secret **ret) _must_check_;

int store_request_count(const Store *s, Secret **ret) _must_check_;
int store_request_orphan(const Store *s, Secret **ret) _must_check_;

/* Takes the lock and reads the store, in which nothing can be believed yet. Until it is unlocked
 * such a store can only be asked for its slots, or be closed. */
int store_attach(const char *dir, Store **ret, char **reterr_detail) _must_check_;

/* Finds the store key by the nth slot to be tried. Returns -ERANGE past the last; any other error
 * means that the next one may still do, with a detail that names the type. */
int store_find_key(const Store *s, size_t nth, const SlotOptions *options, Secret **ret,
                   char **reterr_detail) _must_check_;

/* The type of that slot; NULL past the last. */
const char *store_nth_slot_type(const Store *s, size_t nth);

/* Finds it by a recovery key. Returns -ENOENT when no recovery key has been made, -EKEYREJECTED
 * when it is another. */
int store_find_key_by_recovery(const Store *s, const Secret *recovery_key, Secret **ret)
    _must_check_;

/* Opens an attached store with what was found; after an error it is attached still. Returns -ESTALE
 * when the rollback counter says that it is an old copy; a recovery key opens that as well. */
int store_unlock(Store *s, const Secret *found, char **reterr_detail) _must_check_;

/* A new store: locked, with a key and nothing on the disk. */
int store_prepare(const char *dir, Store **ret, char **reterr_detail) _must_check_;

/* Makes a slot for it, of the nth type that needs nobody. Returns -ERANGE past the last, -ENODEV
 * where this machine does not have what it takes; any other error means, too, that the next one may
 * still do, with a detail that names the type. */
int store_enrol(const Store *s, size_t nth, const SlotOptions *options, Secret **ret,
                char **reterr_detail) _must_check_;
const char *store_nth_enrol_type(size_t nth);
int store_adopt_slot(Store *s, const Secret *slot) _must_check_;

/* Writes the header; the store is open then. Returns -EOPNOTSUPP when it has no slot. */
int store_establish(Store *s, char **reterr_detail) _must_check_;

/*
 * Slots of an open store. Each alone opens it.
 */

/* True for the name of a slot type of this build. */
bool store_has_slot_type(const char *type);

/* Seals the store key anew, by a slot of a type; with options->rollback_counter, which is for tpm2,
 * makes a rollback counter as well (-EEXIST where there is one that works). id: the slot that it is
 * to take the place of, or NULL. *ret_recovery_key is set for type "recovery" and NULL otherwise.
 * A TPM that the store does not know is refused unless options->new_tpm. Returns -EINVAL (no such
 * type, or an option makes no sense), or an error of the type, with a detail. */
int store_seal_slot(const Store *s, const char *type, const char *id, const SlotOptions *options,
                    Secret **ret, Secret **ret_recovery_key, char **reterr_detail) _must_check_;

/* Whether a slot is sealed by a TPM that is in the place of one that the store knows. */
bool store_is_new_tpm(const Store *s, const Secret *slot);

/* Adds what was sealed, or puts it in the place of the slot of its id. Returns -E2BIG past
 * STORE_SLOTS_MAX, -EBUSY during a transaction, or as store_commit(). */
int store_put_slot(Store *s, const Secret *slot, char ret_id[static SLOT_ID_SIZE]) _must_check_;

/* Forgets what was sealed, and puts the counter that was made with it up for removal. */
void store_drop_slot(Store *s, const Secret *slot);

/* Removes a slot. Who has an old copy of the header, and what the slot was sealed with, still has
 * the store key. Returns -ENOENT, -EPERM for the last slot, or unless force is true for the last
 * that is known to open the store, or to do so without somebody; or as store_put_slot(). */
int store_remove_slot(Store *s, const char *id, bool force) _must_check_;

/*
 * A counter of the TPM protects the whole store from being put back as it was. Each commit has a
 * value of its own, ahead of the TPM until that has caught up, which is slow: some milliseconds a
 * value, in which the states before pass as well.
 *
 *     store_counter_behind(), store_count() [slow], store_counted()
 */
bool store_has_counter(const Store *s);
/* The NV index of it; 0 for none. */
uint32_t store_counter_index(const Store *s);
bool store_counter_behind(const Store *s);
/* True when the counter could not be asked, and the store was opened all the same. */
bool store_counter_lost(const Store *s);
/* Counts in the TPM up to what the header says. Returns an error of tpm2_counter_increment(); it
 * may be tried again. */
int store_count(const Store *s, Secret **ret, char **reterr_detail) _must_check_;
int store_counted(Store *s, const Secret *value) _must_check_;

/* Counters that nothing needs any more take room in the TPM. The header lists them until they are
 * removed.
 *
 *     store_has_orphan(), store_remove_orphan() [slow], store_forget_orphan()
 */

/* True when there is one that was not tried since the store was opened. */
bool store_has_orphan(const Store *s);
/* Removes it from the TPM. Returns an error of tpm2_counter_remove(), -ENOENT where it was gone. */
int store_remove_orphan(const Store *s, char **reterr_detail) _must_check_;
/* Takes it off the list, by a commit. Where removing it failed with another error than -ENOENT, it
 * stays there, and is not tried again before the store is opened again. Returns errors of
 * store_commit(). */
int store_forget_orphan(Store *s, int error) _must_check_;

/* The slots, borrowed until one changes: an array of the objects that docs/CREDSTORE.md describes.
 */
json_object *store_slots(const Store *s);
/* One of them; NULL where none has that id. */
json_object *store_find_slot(const Store *s, const char *id);

/* What nobody can give another store who does not have the store key; it is no secret. Empty until
 * the store is unlocked. */
const char *store_identity(const Store *s);
/* The same for what has been found to unlock it. Returns -EINVAL, -ENOMEM, -EIO. */
int store_identify(const Store *s, const Secret *found, char ret[static STORE_IDENTITY_SIZE])
    _must_check_;

/* True when a slot is known to open the store without somebody: it did, or it was sealed since. */
bool store_opens_by_itself(const Store *s);

/* True when it is unlocked. */
bool store_is_open(const Store *s);

/* The slot that opened the store; of a new one, its first. Borrowed as the slots are; NULL when it
 * has been removed. */
json_object *store_opened_by(const Store *s);

/* Wipes the store key, drops the lock; accepts NULL; returns NULL. Any transaction ends before. */
Store *store_close(Store *s);
DEFINE_CLEANUP(Store, store_close)

/* The type of the slot that opened the store, e.g. "systemd-creds"; "removed" when it is gone. */
const char *store_slot_type(const Store *s);

/* Calls visit for each record, broken ones included, in the order of their ids; stops at the first
 * result other than 0 and returns it. visit must not commit. */
typedef int (*StoreVisit)(const StoreRecord *record, void *userdata);
int store_for_each(Store *s, StoreVisit visit, void *userdata);

/* Returns NULL where there is none of that id. */
const StoreRecord *store_find(Store *s, const char *id);

/* Decrypts the secret of a record, without reading the disk. Returns -ENOENT, the record's error,
 * or -ENOMEM. */
int store_unseal(Store *s, const char *id, Secret **ret) _must_check_;

/*
 * An export for a boot image has some of the records and opens by the same slots. It cannot be
 * changed, and has no rollback counter: it is an older state by nature. Its header does not fit the
 * store, or another export.
 */
bool store_is_export(const Store *s);

/* The text of an export: the state that the store has now. It needs the store no more, and costs
 * its head, a pointer for each record, and those that the store changes or removes meanwhile. */
typedef struct StoreExport StoreExport;

/* Calls choose for each sound record. Returns -EROFS for an export, -E2BIG past STORE_EXPORT_MAX,
 * -ENOMEM, -EIO. */
typedef bool (*StoreChoose)(const StoreRecord *record, void *userdata);
int store_export_new(Store *s, StoreChoose choose, void *userdata, StoreExport **ret) _must_check_;
StoreExport *store_export_free(StoreExport *e);
DEFINE_CLEANUP(StoreExport, store_export_free)

/* The next piece of the text, borrowed until the next call: some whole lines. Returns false when
 * there is none left. */
bool store_export_next(StoreExport *e, const char **ret, size_t *ret_size);

/* Starts a transaction; one at a time, else -EBUSY; -EROFS for an export. Nothing is changed before
 * the commit. Its calls see what it has done so far; after a commit they return -EINVAL. */
int store_begin(Store *s, StoreTransaction **ret) _must_check_;

/* Adds a record under a new random id (written to ret_id). meta is copied.
 * Returns -EINVAL (secret empty, meta not valid UTF-8 or nested more than 15 deep), -E2BIG (record
 * above STORE_RECORD_MAX), -ENOMEM, -EIO. */
int store_add(StoreTransaction *t, json_object *meta, const Secret *secret,
              char ret_id[static STORE_ID_SIZE]) _must_check_;

/* Replaces metadata of a record, and its secret unless secret is NULL. Returns -ENOENT, the
 * record's error where its secret cannot be kept, else as store_add(). */
int store_replace(StoreTransaction *t, const char *id, json_object *meta, const Secret *secret)
    _must_check_;

/* Removes a record, a broken one too. Returns -ENOENT. */
int store_remove(StoreTransaction *t, const char *id) _must_check_;

/* Makes all of it durable by two syncs, or returns an error and leaves the old state in force, in
 * memory and on the disk; the transaction can then be committed again. Where not even the old state
 * can be put back, the disk may have the new one after a restart, unless a later commit succeeds.
 */
int store_commit(StoreTransaction *t) _must_check_;

/* Drops an uncommitted transaction, frees a committed one; accepts NULL; returns NULL. */
StoreTransaction *store_end(StoreTransaction *t);
DEFINE_CLEANUP(StoreTransaction, store_end)
