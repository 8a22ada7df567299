/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "nvme-keyd/config/config-file.h"
#include "nvme-keyd/keys/key-make.h"
#include "nvme-keyd/publish/publisher.h"
#include "nvme-keyd/tlshd/tlshd.h"
#include "nvme-keyd/vault/vault.h"

/*
 * What should be: the keys, their life, and the rules between them. Every change is sealed in the
 * store first, and then made so in the ring.
 */
typedef struct Manager Manager;

/* Does not touch the store yet. event and state_dir are borrowed. */
int manager_new(sd_event *event, const Config *config, const char *state_dir, Manager **ret)
    _must_check_;
Manager *manager_free(Manager *m);
DEFINE_CLEANUP(Manager, manager_free)

/* The store, its slots and its counter. */
Vault *manager_vault(const Manager *m);
/* The same as vault_store(manager_vault(m)). */
const Store *manager_store(const Manager *m);

/* Calls handler after each event of the Vault, when the keys are what the store has. */
void manager_set_handler(Manager *m, VaultHandler handler, void *userdata);

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

/* Closes the store and forgets its keys; what is in the ring stays. */
void manager_close(Manager *m);

/* To be called before manager_add(): as vault_await(), and as vault_await_new() where the key would
 * be added, so that no store is made for one that is refused. */
bool manager_await_add(Manager *m, const KeyRequest *request);
/* Before manager_sync(): as vault_await(), after publishing the handed-in keys. */
bool manager_await_sync(Manager *m);

/* What an export of the store for a boot image has. */
typedef struct ExportResult {
    size_t keys;
    size_t broken; /* of all keys: left out, because nobody knows what they are for */
} ExportResult;

/* Exports the keys of some subsystems, an array of NQNs, or all keys for NULL, as they are now (see
 * store.h). Returns -ENOENT when there is no key, or none for one of them, -EROFS, -ENOMEDIUM when
 * there is no store, -E2BIG, with a detail; -ENOMEM. */
int manager_export(Manager *m, json_object *subsysnqns, StoreExport **ret, ExportResult *ret_result,
                   char **reterr_detail) _must_check_;

/* Looks whether tlshd has the ring, see tlshd_look(), and remembers. Returns
 * false where there is no ring, or one that no handshake uses: then there is nothing to look for.
 */
bool manager_look_tlshd(Manager *m, TlshdStatus *ret);

/* The ring. Borrowed. */
Publisher *manager_publisher(const Manager *m);

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

/* Makes the ring right, with the keys that there are, and begins to open the store if it is not
 * open. Changes nothing in the store. Returns 1 while the store is being opened, when at most the
 * handed-in keys are in the ring; -ENOKEY where there is no ring, or an error of the store. */
int manager_publish_all(Manager *m, SyncResult *ret) _must_check_;
/* The same, and then lets go of retiring keys whose time is over. */
int manager_sync(Manager *m, SyncResult *ret) _must_check_;

/* To be called at the end: makes the keys resident that were on demand, because a request finds no
 * service from here on, and a connection may still be made again. Without a store those stay that
 * are in the ring. Returns 0, -ENOKEY where there is no ring, or the error of a key. */
int manager_leave(Manager *m);

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

/* Looks as publisher_refresh() does, linear in the number of keys; or, unless anew, takes what
 * another look has found some 100 ms ago (LOOK_SHARED_USEC), if nothing was published or withdrawn
 * since. Valid until the next call. */
const ManagerLook *manager_look(Manager *m, bool anew);

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
