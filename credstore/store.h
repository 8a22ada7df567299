/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/seal-options.h"

/*
 * A file of sealed records. A record is public metadata (a line of text) and a secret;
 * authenticated encryption binds them to each other, to the id of the record and to its generation.
 * The store does not interpret either of them. docs/CREDSTORE.md describes the format.
 *
 * Every change is a transaction: after a crash at any instruction the store opens with all of it or
 * none of it.
 */

/* The identity of a store: 32 lower-case hex digits and a NUL. */
#define STORE_IDENTITY_SIZE 33
/* 16 lower-case hex digits and a NUL. */
#define STORE_ID_SIZE 17
/* 8 lower-case hex digits and a NUL. */
#define SLOT_ID_SIZE 9

typedef struct Store Store;
typedef struct StoreTransaction StoreTransaction;

/* The public part of a record. Owned by the store, valid until the next commit that changes the
 * record. */
typedef struct StoreRecord {
    char id[STORE_ID_SIZE];
    uint64_t generation; /* rises with each commit of the record, from 1; 0 if unknown */
    /* As the caller of store_add() gave it, without a terminator; NULL if error is set. */
    const char *meta;
    size_t meta_size;
    /* 0, or why this record, but not the others, cannot be used: -ENOENT missing, -ESTALE of
     * another generation than the index has, -EBADMSG not authentic, -EIO unreadable on the disk.
     */
    int error;
} StoreRecord;

/*
 * A store is opened, made and sealed in steps. Work for a TPM or systemd-creds is a request for
 * seal_work() (seal/helper.h). Another process can do it, and never gets the store key.
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
 * reterr_detail, unless NULL, must point to NULL and gets a line for people about a failure, to be
 * freed.
 */

/* Makes a request to unseal the KEK of the nth slot in the order of trying. Returns -ERANGE past
 * the last. After any other error, which sets a detail with the type, the next slot may still work.
 */
int store_request_unseal(const Store *s, size_t nth, const SlotOptions *options, Secret **ret,
                         char **reterr_detail) _must_check_;
/* Turns a KEK into the result that unlocks the store. Returns -EKEYREJECTED if it is not the KEK of
 * this slot. */
int store_take_kek(const Store *s, size_t nth, const Secret *kek, Secret **ret,
                   char **reterr_detail) _must_check_;
/* True if the unit may have been given the KEK of a slot that this one has replaced: the caller
 * tries again with options.skip_given. */
bool store_may_have_been_given(const Store *s, size_t nth);
/* Makes a request to read the rollback counter; *ret is NULL without one. */
int store_request_counter(const Store *s, const Secret *found, Secret **ret) _must_check_;
int store_take_counter(Secret *found, const Secret *value) _must_check_;

/* Makes a request to seal a new KEK by the nth type that works without a person. Returns -ERANGE
 * past the last. After an error of the work, -ENODEV if this machine lacks the means, the next type
 * may still work. */
int store_request_enrol(const Store *s, size_t nth, const SlotOptions *options, Secret **ret,
                        Secret **ret_kek) _must_check_;
/* Makes a request to seal a new KEK by a type; a KEK of type "recovery" is the recovery key. id:
 * the slot to be replaced, or NULL. A TPM that the store does not know is refused unless
 * options->new_tpm is set. Returns -EINVAL (unknown type, or options->rollback_counter without type
 * "tpm2") or -EEXIST (there is a rollback counter that works), with a detail. */
int store_request_seal(const Store *s, const char *type, const char *id, const SlotOptions *options,
                       Secret **ret, Secret **ret_kek, char **reterr_detail) _must_check_;
/* Wraps the store key by a KEK that was sealed. */
int store_wrap_slot(const Store *s, const Secret *sealed, const Secret *kek, Secret **ret)
    _must_check_;
/* Makes a request for a counter in the TPM that sealed a wrapped slot; store_add_counter() then
 * puts it into that slot. A commit lists the counter as an orphan until store_put_slot() makes it
 * the counter of the store. The work returns -EADDRINUSE if the index is taken: request another.
 * Returns errors of store_commit() as well. */
int store_request_new_counter(Store *s, const Secret *slot, Secret **ret) _must_check_;
int store_add_counter(const Secret *slot, const Secret *made, Secret **ret) _must_check_;

/* Makes a request to increment the counter in the TPM up to the value in the header. */
int store_request_count(const Store *s, Secret **ret) _must_check_;
/* Makes a request to remove an orphan from the TPM; the work returns -ENOENT if it is gone already.
 */
int store_request_orphan(Store *s, Secret **ret) _must_check_;

/* Locks the directory, which must exist, and reads the store, which may still be forged. Until it
 * is unlocked, such a store only supports reading its slots and closing it. Returns -ENOENT (no
 * store), -EPERM (others have access to dir), -EBUSY (another process has the store open), -EBADMSG
 * (header or index malformed), -EIO (header or index unreadable), -EPROTONOSUPPORT (a newer
 * format), -ENOMEM, or an I/O error. */
int store_attach(const char *dir, Store **ret, char **reterr_detail) _must_check_;

/* Returns the type of the nth slot; NULL past the last. */
const char *store_nth_slot_type(const Store *s, size_t nth);

/* Gets the store key by a recovery key. Returns -ENOENT without a recovery slot, -EKEYREJECTED for
 * a wrong recovery key. */
int store_find_key_by_recovery(const Store *s, const Secret *recovery_key, Secret **ret)
    _must_check_;

/* Unlocks an attached store with a key that was found: checks header, index and every record, and
 * removes the remains of an interrupted commit. Broken records are not an error. After an error the
 * store is still attached. Returns -EBADMSG (header or index not authentic), or -ESTALE if the
 * rollback counter shows that it is an old copy; a recovery key opens even that. */
int store_unlock(Store *s, const Secret *found, char **reterr_detail) _must_check_;

/* Prepares a new store: the directory is locked, the key exists, and the disk is unchanged. Returns
 * -EEXIST if there is one, else as store_attach(). */
int store_prepare(const char *dir, Store **ret, char **reterr_detail) _must_check_;

/* The nth type that works without a person; NULL past the last. */
const char *store_nth_enrol_type(size_t nth);
/* Takes a wrapped slot over into a prepared store. */
int store_adopt_slot(Store *s, const Secret *slot) _must_check_;

/* Writes the header, which opens the store. Returns -EOPNOTSUPP if it has no slot. */
int store_establish(Store *s, char **reterr_detail) _must_check_;

/*
 * Slots of an open store. Each one alone opens it.
 */

/* True if this build has a slot type. */
bool store_has_slot_type(const char *type);

/* True if a slot is sealed by a TPM that the store does not know. */
bool store_is_new_tpm(const Store *s, const Secret *slot);

/* Adds a sealed slot, or replaces the slot with its id. Returns -E2BIG past STORE_SLOTS_MAX, -EBUSY
 * during a transaction, or as store_commit(). */
int store_put_slot(Store *s, const Secret *slot, char ret_id[static SLOT_ID_SIZE]) _must_check_;

/* Removes a slot. This does not revoke the store key: an old header with the KEK of the slot still
 * yields it. Returns -ENOENT; -EPERM for the last slot or, unless force is true, for the last slot
 * known to open the store, or known to open it without a person; or as store_put_slot(). */
int store_remove_slot(Store *s, const char *id, bool force) _must_check_;

/*
 * A TPM counter protects the whole store against being replaced by an older copy. Each commit has a
 * counter value of its own, ahead of the TPM until that has caught up. Counting takes some
 * milliseconds a value, and until it is done older states are accepted as well.
 *
 *     store_counter_behind(), store_request_count(), work, store_counted()
 */
bool store_has_counter(const Store *s);
/* True if the counter at an NV index is that of the store, or may be after a restart, because a
 * commit failed and could not be taken back. */
bool store_may_use_counter(const Store *s, uint32_t index);
bool store_counter_behind(const Store *s);
/* True if the store was opened although its counter could not be read. */
bool store_counter_lost(const Store *s);
/* Notes the value to which the TPM has counted. */
int store_counted(Store *s, const Secret *value) _must_check_;

/* Orphans are counters that are not needed any more, but take room in the TPM, and a requested
 * counter that does not belong to the store yet. The header lists them until they are removed. Do
 * not remove any between store_request_new_counter() and store_put_slot().
 *
 *     store_has_orphan(), store_request_orphan(), work, store_forget_orphan() */

/* True if there is an orphan that was not tried since the store was opened, and that may be removed
 * now: while the disk may have another state, because a commit failed and could not be taken back,
 * the store may need it. */
bool store_has_orphan(const Store *s);
/* Removes the orphan that was requested last from the list by a commit, with its other name if the
 * TPM has removed it. If removing it from the TPM failed, except with -ENOENT, it stays listed and
 * is not tried again until the store is opened the next time. Other commits may come between the
 * request and this. Returns errors of store_commit(). */
int store_forget_orphan(Store *s, int error) _must_check_;

/* The slots, borrowed until one changes: an array of objects, see docs/CREDSTORE.md. */
json_object *store_slots(const Store *s);
/* Returns the slot of an id, or NULL. */
json_object *store_find_slot(const Store *s, const char *id);

/* The identity of the store, which cannot be given to another store without the store key. Not
 * secret. Empty until the store is unlocked. */
const char *store_identity(const Store *s);
/* Computes the identity from a key that was found. Returns -EINVAL, -ENOMEM, -EIO. */
int store_identify(const Store *s, const Secret *found, char ret[static STORE_IDENTITY_SIZE])
    _must_check_;

/* True if a slot is known to open the store without a person: it has done so, or was sealed since.
 */
bool store_opens_by_itself(const Store *s);

/* The slot that opened the store, or the first slot of a new one. Borrowed as the slots are; NULL
 * if it was removed. */
json_object *store_opened_by(const Store *s);

/* Wipes the store key and unlocks the directory; accepts NULL; returns NULL. End any transaction
 * before. */
Store *store_close(Store *s);
DEFINE_CLEANUP(Store, store_close)

/* The type of the slot that opened the store, such as "systemd-creds"; "removed" if it was removed.
 */
const char *store_slot_type(const Store *s);

/* Calls visit for each record, including broken ones, sorted by id; stops at the first result other
 * than 0 and returns it. visit must not commit. */
typedef int (*StoreVisit)(const StoreRecord *record, void *userdata);
int store_for_each(Store *s, StoreVisit visit, void *userdata);

/* Returns the record of an id, or NULL. */
const StoreRecord *store_find(Store *s, const char *id);

/* Decrypts the secret of a record without reading the disk. Returns -ENOENT, the error of the
 * record, or -ENOMEM. */
int store_unseal(Store *s, const char *id, Secret **ret) _must_check_;

/*
 * An export for a boot image has some of the records and is opened by the same slots. It cannot be
 * changed, and has no rollback counter, because it is always an older state. Its header fits
 * neither the store nor another export.
 */
bool store_is_export(const Store *s);

/* The text of an export: the state of the store when it was made. It does not need the store
 * afterwards. It holds its head, a pointer for each record, and those records that the store has
 * changed or removed since. */
typedef struct StoreExport StoreExport;

/* Makes an export of the sound records for which choose returns true. Returns -EROFS if the store
 * is an export itself, -E2BIG past STORE_EXPORT_MAX, -ENOMEM, -EIO. */
typedef bool (*StoreChoose)(const StoreRecord *record, void *userdata);
int store_export_new(Store *s, StoreChoose choose, void *userdata, StoreExport **ret) _must_check_;
/* Makes the text of a backup: the store as it is, without its broken records. A backup is a store,
 * with the rollback counter of its time. Returns -EROFS, -E2BIG past STORE_FILE_MAX, -ENOMEM, -EIO.
 */
int store_backup_new(Store *s, StoreExport **ret) _must_check_;
StoreExport *store_export_free(StoreExport *e);
DEFINE_CLEANUP(StoreExport, store_export_free)

/* The number of records in the text. */
size_t store_export_count(const StoreExport *e);

/* Returns the next piece of the text, of the head or one record, borrowed from the export; false if
 * there is none left. */
bool store_export_next(StoreExport *e, const char **ret, size_t *ret_size);

/* Starts a transaction: one at a time, else -EBUSY; -EROFS for an export. The store is unchanged
 * until the commit. Functions of the transaction see its earlier changes; after a commit they
 * return -EINVAL. */
int store_begin(Store *s, StoreTransaction **ret) _must_check_;

/* Adds a record under a new random id, which ret_id gets; copies meta, the text of a JSON object.
 * Returns -EINVAL (secret empty, meta without braces, with a newline, or not valid UTF-8), -E2BIG
 * (record above STORE_RECORD_MAX), -ENOMEM, -EIO. */
int store_add(StoreTransaction *t, const char *meta, const Secret *secret,
              char ret_id[static STORE_ID_SIZE]) _must_check_;

/* Replaces the metadata of a record, and its secret unless secret is NULL. Returns -ENOENT, the
 * error of a record whose secret cannot be kept, else as store_add(). */
int store_replace(StoreTransaction *t, const char *id, const char *meta, const Secret *secret)
    _must_check_;

/* Removes a record, which may be broken. Returns -ENOENT. */
int store_remove(StoreTransaction *t, const char *id) _must_check_;

/* Commits all changes durably with two syncs. On error the old state stays in force, in memory and
 * on the disk, and the transaction can be committed again. If even the old state cannot be written
 * back, the disk may have the new one after a restart, unless a later commit succeeds. */
int store_commit(StoreTransaction *t) _must_check_;

/* Drops a transaction that is not committed, frees a committed one; accepts NULL; returns NULL. */
StoreTransaction *store_end(StoreTransaction *t);
DEFINE_CLEANUP(StoreTransaction, store_end)
