/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "nvme-keyd/config/config-file.h"
#include "nvme-keyd/keys/key-make.h"
#include "nvme-keyd/publish/reconcile.h"
#include "nvme-keyd/tlshd/tlshd.h"

/*
 * What should be: the keys, their life, and the rules between them. Every change is sealed in the
 * store first, and then made so in the ring.
 */
typedef struct Manager Manager;

/* What to tell people where manager_ring() finds none. */
#define MANAGER_NO_RING                                                                            \
    "the kernel has no keyring .nvme: load nvme_keyring (modprobe nvme-tcp or nvmet-tcp), or use " \
    "a "                                                                                           \
    "kernel with CONFIG_NVME_TCP_TLS"
/* And of a service that stays, or that an event of the module starts. */
#define MANAGER_NO_RING_YET MANAGER_NO_RING "; the keys are published when it appears"

/* Does not touch the store yet. state_dir is borrowed. */
int manager_new(const Config *config, const char *state_dir, Manager **ret) _must_check_;
Manager *manager_free(Manager *m);
DEFINE_CLEANUP(Manager, manager_free)

/*
 * With an event loop, what waits for a TPM or for another program is done in a child process. All
 * functions that need its result return -EINPROGRESS then, without having done anything; they are
 * to be called again, once, in on_ready. Without a loop they wait.
 */
typedef enum ManagerEvent {
    MANAGER_STORE_OPENED,
    MANAGER_STORE_CREATED,
    MANAGER_STORE_FAILED,
    MANAGER_STORE_SLOW,  /* it is still being opened or made, after a second and then every 30 */
    MANAGER_SLOT_SEALED, /* or not; the store was open before */
    MANAGER_COUNTED,     /* the rollback counter has caught up, or not: manager_store_detail() */
} ManagerEvent;
typedef void (*ManagerReadyFn)(ManagerEvent event, void *userdata);
void manager_set_loop(Manager *m, sd_event *event, ManagerReadyFn on_ready, void *userdata);

/* True while the store is being opened or made. */
bool manager_is_opening(const Manager *m);
/* True when that has taken a second. */
bool manager_is_slow(const Manager *m);

/* Puts a new configuration in force. */
void manager_set_config(Manager *m, const Config *config);
const Config *manager_config(const Manager *m);

/* What is wrong with the configuration, for those who ask for the state; the lines are taken.
 * refused: nothing of it was put in force, an older one is. */
void manager_set_config_problems(Manager *m, ConfigProblems *problems, bool refused);
const ConfigProblems *manager_config_problems(const Manager *m);
bool manager_config_is_refused(const Manager *m);

/* Reads the credentials that there are (credentials.h), in the place of those that were read
 * before. Their keys live in memory alone: nothing of them goes into the store, and where that has
 * a key for the same pair they are overridden as long as it does. They are published by the next
 * manager_sync(). What is wrong with a line or a credential is told below. Returns -ENOMEM. */
int manager_read_credentials(Manager *m) _must_check_;

typedef struct CredentialCounts {
    size_t keys;
    size_t overridden; /* of them */
    size_t problems;   /* lines, or whole credentials, that are of no use */
} CredentialCounts;
CredentialCounts manager_credentials(const Manager *m);
/* The nth problem, from 0, as a line for people; NULL past the last, or past
 * CREDENTIAL_PROBLEMS_MAX. */
const char *manager_credential_problem(const Manager *m, size_t n);
/* A key of a credential that has been overridden since the last call, or NULL. */
const Key *manager_next_overridden(Manager *m);

/* Opens the store, if there is one and it is not open, and reads the keys.
 * Returns 0 also when there is none yet; -EINPROGRESS; else an error of store_open(), with a line
 * in manager_store_detail(). */
int manager_open(Manager *m) _must_check_;
/* Closes the store and forgets its keys; what is in the ring stays. */
void manager_close(Manager *m);

/* True when there is a store that the configuration, or the TPM, does not let us open. */
bool manager_store_is_refused(const Manager *m);
/* True when that is because it is another store than the right one, or there is none. */
bool manager_store_is_foreign(const Manager *m);

/* Removes from the TPM the rollback counter of another store. Returns -ENOENT (there is none of
 * ours there), -EBUSY (it is that of the store here), -EINPROGRESS, or an error of the TPM; with a
 * detail.
 */
int manager_remove_counter(Manager *m, uint32_t index, char **reterr_detail) _must_check_;

/* Opens a store that no slot opens any more. Returns -EALREADY, -ENOMEDIUM (there is none),
 * -ENOENT (it has no recovery key), -EKEYREJECTED (it is another), -EINPROGRESS, or an error of
 * store_unlock(), -EXDEV for a store that must not be opened. The keys are not published yet. */
int manager_unlock(Manager *m, const Secret *recovery_key, char **reterr_detail) _must_check_;
/* True once for a store that was made: who caused that is to be told. */
bool manager_take_made(Manager *m);
/* What that store does not promise, to be put: what could have sealed it, and did not, and why, and
 * what slot_warnings() says of the others. Returns -ENOMEM. */
int manager_made_warnings(const Manager *m, json_object **ret) _must_check_;
/* True when nobody but who has the recovery key could open the store again. */
bool manager_is_unlocked_by_hand(const Manager *m);

/* What a slot is to be. */
typedef struct SlotRequest {
    const char *type;
    const char *replaces; /* the id of the slot whose place it takes, or NULL */
    SlotOptions options;
} SlotRequest;

/* The slots, as docs/CREDSTORE.md describes them; to be put. Of a store that is not open none of it
 * is known to be true. Returns -ENOMEDIUM when there is none, -EINPROGRESS, or an error of
 * store_attach(). */
int manager_slots(Manager *m, json_object **ret, char **reterr_detail) _must_check_;

typedef struct SealedSlot {
    char id[SLOT_ID_SIZE];
    Secret *recovery_key; /* for type "recovery", else NULL */
    bool new_tpm;         /* by a TPM in the place of one that the store knew before */
} SealedSlot;

static inline void sealed_slot_done(SealedSlot *s)
{
    s->recovery_key = secret_free(s->recovery_key);
}

/* Seals the store key by another slot; *ret is for sealed_slot_done(). Returns -ENOENT (no slot to
 * replace), -EINVAL, -E2BIG (too many), -EINPROGRESS, the error of the slot type, or -EIO for one
 * of the store; with a detail. */
int manager_seal_slot(Manager *m, const SlotRequest *request, SealedSlot *ret, char **reterr_detail)
    _must_check_;

/* Has the rollback counter of the store incremented if it is behind. To be called when something
 * may have been committed; with an event loop this happens in a child process. */
void manager_count(Manager *m);

/* Removes a slot. Returns -ENOENT, -EPERM (see store_remove_slot()), or -EIO. */
int manager_remove_slot(Manager *m, const char *id, bool force, char **reterr_detail) _must_check_;

/* What a copy of the store for a boot image has. */
typedef struct CopyResult {
    size_t keys;
    size_t broken; /* of all keys: left out, as nobody knows what they are for */
} CopyResult;

/* A copy with the keys of some subsystems, an array of NQNs, or with all for NULL, as they are now
 * (see store.h). Returns -ENOENT when there is no key, or none of one of them, -EROFS, -ENOMEDIUM
 * when there is no store, with a detail; -EINPROGRESS, -ENOMEM. */
typedef struct ManagerCopy ManagerCopy;
int manager_copy_new(Manager *m, json_object *subsysnqns, ManagerCopy **ret, CopyResult *ret_result,
                     char **reterr_detail) _must_check_;
ManagerCopy *manager_copy_free(ManagerCopy *c);
DEFINE_CLEANUP(ManagerCopy, manager_copy_free)

/* Calls visit for the next file. Returns 1, 0 when that was the last one, -E2BIG past
 * STORE_COPY_MAX, or -ESTALE when the store was closed meanwhile, with a detail; or the error of
 * visit. */
int manager_copy_next(ManagerCopy *c, StoreFile visit, void *userdata, char **reterr_detail)
    _must_check_;

/* Why the TPM did not tell whether it has the rollback counter of another store, when the store was
 * opened last; NULL where it did, or where there was nothing to ask. */
const char *manager_counters_unseen(const Manager *m);

/* NULL when the store is not open. */
const Store *manager_store(const Manager *m);
/* Why the store cannot be opened, or NULL. */
const char *manager_store_detail(const Manager *m);

/* Why keys that should be in the ring are not, 0 where nothing is known to be wrong: an error for
 * ring_error_text(), or of a secret that could not be read. */
int manager_publish_error(const Manager *m);

/* The ring, opened if need be; NULL and *ret_error where it cannot be. */
const Ring *manager_ring(Manager *m, int *ret_error);

/* The serial of the ring that was opened last, 0 for none. */
int32_t manager_ring_serial(const Manager *m);

/* Looks whether tlshd has the ring, see tlshd_look(), and remembers. Returns
 * false where there is no ring, or one that no handshake uses: then there is nothing to look for.
 */
bool manager_look_tlshd(Manager *m, TlshdStatus *ret);

const KeyTable *manager_keys(const Manager *m);
/* Begins to list them, while they may change. To be ended by key_cursor_done(). */
void manager_begin_list(Manager *m, KeyCursor *cursor);

/* All of the following log nothing. *reterr_detail gets a line for people, to be freed. */

/* Adds an active key and publishes it; with dry_run it sets *ret to NULL. One that a credential has
 * for the pair gives way. Returns -EINVAL (detail says what), -EEXIST (an active key has this pair
 * and role: *ret is it), -ENOTUNIQ (shadows *ret), -ENODATA (no host NQN on this machine), or an
 * error of the store. A key that is stored but could not be published is no error here: its serials
 * tell. */
int manager_add(Manager *m, const KeyRequest *request, Key **ret, char **reterr_detail)
    _must_check_;

/* Puts a new PSK in the place of an active key's. On a host the new one is published, then the old
 * one is withdrawn and removed; on a target the old one is accepted until Config.retire_usec from
 * now. request: hash, configured and comment are used. Returns as manager_add(), -ENOENT, or -EBUSY
 * when the key is not active, or comes from a credential. */
int manager_rotate(Manager *m, const char *id, const KeyRequest *request, Key **ret,
                   char **reterr_detail) _must_check_;

/* Removes a key from the store and from the ring. Returns -ENOENT, -EBUSY for one that comes from a
 * credential, or that a controller stands on, unless forced, or -ENOTCONN when it is gone from the
 * store, but the ring refused. */
int manager_remove(Manager *m, const char *id, bool force, char **reterr_detail) _must_check_;

/* What somebody has to look at in the ring, as of the last manager_sync(). */
const RingNotices *manager_ring_notices(const Manager *m);
/* One of them that was not returned before, or NULL. */
const RingNotice *manager_next_ring_notice(Manager *m);

/* The versions whose identity is this key's, as KEY_VERSION_BIT()s: while a target accepts two keys
 * of a pair, their version 0 identity is the active one's. */
unsigned manager_own_versions(const Manager *m, const Key *k);

/* True when a key is not in the ring although it should be, as of the last look. */
bool manager_lacks(const Manager *m, const Key *k);

/* For how long keys of hosts are published when the kernel asks; 0: for ever, and without being
 * asked. Asks the kernel whether it does, so not for each of many keys. */
unsigned manager_on_demand_sec(const Manager *m);

/* For how long a key that is published now is there, in seconds; 0: for ever. */
unsigned manager_lifetime(const Manager *m, const Key *k);

/* How keys of hosts come into the ring. On a kernel that never asks, "on demand" would be never; so
 * that is refused, unless forced, and they stay resident. */
typedef enum Provision {
    PROVISION_RESIDENT,
    PROVISION_ON_DEMAND,
    PROVISION_REFUSED,
} Provision;
Provision manager_provision(const Manager *m);
/* What to tell people. */
#define MANAGER_ON_DEMAND_REFUSED                                                                  \
    "this kernel never asks for a key: load nvme_keyd_upcall, or set OnDemandForce=yes for a "     \
    "kernel that asks by itself; keys stay resident"

/* Makes the ring right, after opening store and ring if they were not. Changes nothing in the
 * store. Keys of credentials do not wait for the store: also after an error of it, and after
 * -EINPROGRESS, they are in the ring, and *ret tells how many. Returns -ENOKEY where there is no
 * ring, or an error of the store. */
int manager_publish_all(Manager *m, SyncResult *ret) _must_check_;
/* The same, and then lets go of retiring keys whose time is over. */
int manager_sync(Manager *m, SyncResult *ret) _must_check_;

/* What one look at the ring has changed, for whoever is told of the next. */
void manager_note_changes(Manager *m, const SyncResult *s);
/* Adds to the result of a look what was changed before it and nobody was told of. */
void manager_take_changes(Manager *m, SyncResult *s);

/* To be called when manager_sync() cannot open the store: keys that are to stay must not end
 * meanwhile, which they would if they had been published on demand. */
int manager_hold(Manager *m);

/* To be called at the end: makes the keys resident that were on demand, because a request finds no
 * service from here on, and a connection may still be made again. Without a store those stay that
 * are in the ring. Returns 0, -ENOKEY where there is no ring, or the error of a key. */
int manager_leave(Manager *m);

/* True when the ring is not as the configuration, and the kernel, want it by now. */
bool manager_is_stale(const Manager *m);

/* Publishes all publishable keys of a pair; for an upcall. Returns their number. */
size_t manager_publish_pair(Manager *m, const Key *first);

/* Sees which keys are in the ring now, and sets their serials. Returns the ring, or NULL. */
const Ring *manager_refresh(Manager *m);

/* What a look at ring and keys has found. */
typedef struct ManagerLook {
    const Ring *ring;       /* NULL where there is none */
    unsigned on_demand_sec; /* for key_lifetime() */
    size_t broken;
    size_t identities; /* that should be in the ring, or may be when the kernel asks */
    size_t published;  /* of them */
    size_t missing;    /* keys that should be in the ring and are not */
    bool knows_ours;   /* without a store: */
    size_t ours;       /* keys in the ring that are marked as ours */
    bool has_tlshd;
    TlshdStatus tlshd; /* see manager_look_tlshd() */
} ManagerLook;

/* Looks as manager_refresh() does, linear in the number of keys; or, unless anew, takes what
 * another look has found some 100 ms ago (LOOK_SHARED_USEC), if nothing was published or withdrawn
 * since. Valid until the next call. */
const ManagerLook *manager_look(Manager *m, bool anew);

/* True when the ring has refused a key or kept one, so that manager_sync() is to be tried again. */
bool manager_has_unpublished(const Manager *m);

/* True while a child process is at work, for whatever task. */
bool manager_is_working(const Manager *m);
/* True when the rollback counter of the store is behind. */
bool manager_has_to_count(const Manager *m);

/* The earliest deadline of a retiring key (CLOCK_REALTIME), over or not; 0: there is none. */
uint64_t manager_deadline(const Manager *m);

/* When manager_sync() has something to do for retiring keys. */
typedef struct ManagerDue {
    uint64_t realtime_usec; /* at this time of the clock on the wall, 0 for never */
    uint64_t boottime_usec; /* at this uptime (CLOCK_BOOTTIME), 0 for never */
    bool overdue;           /* at once, or where that was tried a while later */
    size_t unsynchronized;  /* as soon as the clock is synchronised, for so many keys */
} ManagerDue;
void manager_due(const Manager *m, ManagerDue *ret);
