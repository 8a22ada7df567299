/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/controllers/controllers.h"
#include "nvme-keyd/events/events.h"
#include "nvme-keyd/publish/reconcile.h"
#include "nvme-keyd/publish/ring-watch.h"

/*
 * The ring as the service sees it: which keys of a table are there, which should be, and which must
 * not be lost. Changes keys of the table, but never adds or removes one.
 */
typedef struct Publisher Publisher;

/* Explains a missing ring to people. */
#define PUBLISHER_NO_RING                                                                          \
    "the kernel has no keyring .nvme: load nvme_keyring (modprobe nvme-tcp or nvmet-tcp), or use " \
    "a kernel with CONFIG_NVME_TCP_TLS"
/* Same, from a service that stays, or that an event of the module starts. */
#define PUBLISHER_NO_RING_YET PUBLISHER_NO_RING "; the keys are published when it appears"

/* The wishes of the administrator. */
typedef struct PublisherRules {
    bool stand_in;
    bool on_demand;         /* publish keys of hosts when the kernel asks, */
    bool on_demand_force;   /* even if the kernel is not known to ask, */
    unsigned on_demand_sec; /* for so many seconds */
    bool displace_foreign;  /* unlink foreign keys that the kernel could take for ours */
} PublisherRules;

/* Borrows keys, and events, which may be NULL. Does not open the ring yet. */
int publisher_new(const PublisherRules *rules, KeyTable *keys, Events *events, Publisher **ret)
    _must_check_;
/* Leaves the ring as it is. Accepts NULL; returns NULL. */
Publisher *publisher_free(Publisher *p);
DEFINE_CLEANUP(Publisher, publisher_free)

void publisher_set_rules(Publisher *p, const PublisherRules *rules);

/* Sets whether the table has all keys of the store, and all handed-in keys. Until it does, unknown
 * keys in the ring stay. */
void publisher_set_complete(Publisher *p, bool all_records, bool all_handed_in);

/* Returns the ring, opening it if necessary; NULL and *ret_error if that fails. */
const Ring *publisher_ring(Publisher *p, int *ret_error);
/* The serial of the ring opened last, 0 for none. */
int32_t publisher_ring_serial(const Publisher *p);

/* The directory for controllers_read(), or NULL if no controller uses the ring. */
const char *publisher_controllers(const Publisher *p);

/* True if the kernel compares whole NQNs (kernel/README.md), so that no key shadows another. */
bool publisher_kernel_is_exact(void);

/* The way in which keys of hosts are published. On a kernel that never asks, on-demand keys would
 * never be published, so that is refused unless forced, and keys are resident. */
typedef enum Provision {
    PROVISION_RESIDENT,
    PROVISION_ON_DEMAND,
    PROVISION_REFUSED,
} Provision;
Provision publisher_provision(const Publisher *p);
/* Explains a refusal to people. */
#define PUBLISHER_ON_DEMAND_REFUSED                                                                \
    "this kernel never asks for a key: load nvme_keyd_upcall, or set OnDemandForce=yes for a "     \
    "kernel that asks by itself; keys stay resident"

/* The lifetime of keys of hosts that are published on demand, in seconds; 0: they are resident.
 * Reads sysfs, so do not call it for each of many keys. */
unsigned publisher_on_demand_sec(const Publisher *p);

/* The lifetime of a key that is published now, in seconds; 0: for ever. */
unsigned publisher_lifetime(const Publisher *p, const Key *k);

/* True if a key that should be in the ring was not there at the last look, under an identity that
 * belongs to it. */
bool publisher_lacks(const Publisher *p, const Key *k);

/* Reconciles the ring, opening it if necessary; see reconcile_ring(). If nvme_keyring was reloaded,
 * the new ring gets the keys. Frees no key. Returns -ENOKEY without a ring, or the error of a key.
 */
int publisher_reconcile(Publisher *p, ReconcileResult *ret) _must_check_;

/* Publishes the missing identities of one key. payload: of the key, or NULL to unseal it here. If
 * the ring is gone, the new one gets all keys. An on-demand key is left out unless the ring has a
 * key of its pair that it takes the place of. Frees no key. */
int publisher_publish(Publisher *p, Key *k, const Secret *payload);

/* Publishes all publishable keys of a pair for an upcall. Returns their number. */
size_t publisher_publish_pair(Publisher *p, const Key *first);

/* The controllers and the ring, read once for many keys. Starts as zeroes. */
typedef struct PublisherNeed {
    ControllerList controllers;
    RingList list;
    bool looked;
    int error;
} PublisherNeed;
/* Unlinks one key from the ring, which must exist. */
int publisher_withdraw(Publisher *p, Key *k);

/* Same for a key that is revoked: its serials are revoked, so that a target ends no connection but
 * accepts no other by them. Those that a controller of this host refers to are unlinked only, and
 * so are all if the controllers cannot be read. */
int publisher_revoke(Publisher *p, PublisherNeed *seen, Key *k) _must_check_;

/* To be called after publishing a key: a key that was held for a controller may now be withdrawn,
 * and on a host must not stay beside the new one. Frees no key. */
void publisher_release_held(Publisher *p);

/* Removes the timeouts of our keys while the store cannot be opened: keys published on demand would
 * end otherwise. */
int publisher_keep(Publisher *p);

/* True if the rules or the kernel have changed since the ring was reconciled. */
bool publisher_is_stale(const Publisher *p);
/* True if the ring has refused to add or to unlink a key, or a key stayed because the controllers
 * could not be read: reconciling should be tried again. */
bool publisher_has_unpublished(const Publisher *p);
/* The reason why wanted keys are not in the ring, 0 if none is known: an error for
 * ring_error_text(), or of a secret that could not be read. */
int publisher_error(const Publisher *p);

/* Looks which keys are in the ring now, and sets their serials. Returns the ring, or NULL. */
const Ring *publisher_refresh(Publisher *p);

/* A number that changes with each key that is published or withdrawn. */
uint64_t publisher_revision(const Publisher *p);

/* Remembers changes to the ring for the next report. */
void publisher_note_changes(Publisher *p, const ReconcileResult *s);
/* Adds the remembered changes to the result of reconciling. */
void publisher_take_changes(Publisher *p, ReconcileResult *s);

/* Keys in the ring that need a person's attention, as of the last reconciling. */
const RingNotices *publisher_ring_notices(const Publisher *p);
/* Returns a notice that was not returned before, or NULL. */
const RingNotice *publisher_next_ring_notice(Publisher *p);

/* True if there is a ring, and a key that should be in it at all times. */
bool publisher_has_resident(const Publisher *p);

/* The number of foreign keys that were unlinked since the start. */
uint64_t publisher_displaced(const Publisher *p);

/* Looks whether another program has changed the ring since the last look, as ring_watch_look().
 * Changes nothing. Without a ring nothing has changed: an event starts reconciling when one
 * appears. */
RingChange publisher_look_for_change(Publisher *p);

/* The keys that reconciling has put back. Takes one that was not taken before, or returns false;
 * then the second function returns the number of those that were too many to keep. */
bool publisher_next_loss(Publisher *p, Loss *ret);
size_t publisher_take_more_losses(Publisher *p);
const Losses *publisher_losses(const Publisher *p);

void publisher_need_done(PublisherNeed *seen);

/* True if a live controller uses a key now, so its handshake with it has succeeded. */
bool publisher_is_used(Publisher *p, PublisherNeed *seen, const Key *k);

/* Finds a controller that would be lost without a key of a host; its name is put into ret. Returns
 * 1, 0 if there is none, or an error of reading; see publisher_has_unpublished(). */
int publisher_needed_by(Publisher *p, PublisherNeed *seen, const Key *k, char ret[static 32])
    _must_check_;
