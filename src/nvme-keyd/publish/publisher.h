/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/publish/controllers.h"
#include "nvme-keyd/publish/reconcile.h"

/*
 * The ring, and what the service knows of it: which keys of a table are there, which should be, and
 * which it must not lose. It looks at keys and never adds one to the table or removes one.
 */
typedef struct Publisher Publisher;

/* What to tell people where publisher_ring() finds none. */
#define PUBLISHER_NO_RING                                                                          \
    "the kernel has no keyring .nvme: load nvme_keyring (modprobe nvme-tcp or nvmet-tcp), or use " \
    "a kernel with CONFIG_NVME_TCP_TLS"
/* The same from a service that stays, or that an event of the module starts. */
#define PUBLISHER_NO_RING_YET PUBLISHER_NO_RING "; the keys are published when it appears"

/* What the administrator wants. */
typedef struct PublisherRules {
    bool stand_in;
    bool on_demand;         /* keys of hosts are published when the kernel asks */
    bool on_demand_force;   /* even if it is not known to ask */
    unsigned on_demand_sec; /* and stay for so long */
} PublisherRules;

/* Borrows keys. Opens no ring yet. */
int publisher_new(const PublisherRules *rules, KeyTable *keys, Publisher **ret) _must_check_;
/* What is in the ring stays. Accepts NULL; returns NULL. */
Publisher *publisher_free(Publisher *p);
DEFINE_CLEANUP(Publisher, publisher_free)

void publisher_set_rules(Publisher *p, const PublisherRules *rules);

/* Whether the table has all keys that the store has, and all that were handed in. Until it does,
 * keys in the ring that it lacks stay. */
void publisher_set_complete(Publisher *p, bool all_records, bool all_handed_in);

/* The ring, opened if need be; NULL and *ret_error where it cannot be. */
const Ring *publisher_ring(Publisher *p, int *ret_error);
/* The serial of the ring that was opened last, 0 for none. */
int32_t publisher_ring_serial(const Publisher *p);

/* The directory for controllers_read(), or NULL where no controller uses the ring. */
const char *publisher_controllers(const Publisher *p);

/* True where the kernel compares NQNs to their ends (kernel/README.md), so that no key shadows
 * another. */
bool publisher_kernel_is_exact(void);

/* How keys of hosts come into the ring. On a kernel that never asks, "on demand" would be never; so
 * that is refused, unless forced, and they stay resident. */
typedef enum Provision {
    PROVISION_RESIDENT,
    PROVISION_ON_DEMAND,
    PROVISION_REFUSED,
} Provision;
Provision publisher_provision(const Publisher *p);
/* What to tell people. */
#define PUBLISHER_ON_DEMAND_REFUSED                                                                \
    "this kernel never asks for a key: load nvme_keyd_upcall, or set OnDemandForce=yes for a "     \
    "kernel that asks by itself; keys stay resident"

/* For how long keys of hosts are published when the kernel asks; 0: for ever, and without being
 * asked. Reads sysfs, so not for each of many keys. */
unsigned publisher_on_demand_sec(const Publisher *p);

/* For how long a key that is published now is there, in seconds; 0: for ever. */
unsigned publisher_lifetime(const Publisher *p, const Key *k);

/* True when a key is not in the ring although it should be, as of the last look. */
bool publisher_lacks(const Publisher *p, const Key *k);

/* The versions whose identity is this key's, as KEY_VERSION_BIT()s: while a target accepts two keys
 * of a pair, their version 0 identity is the active one's. */
unsigned publisher_own_versions(const Publisher *p, const Key *k);

/* Makes the whole ring right, opening it if need be; see sync_all(). Where nvme_keyring was
 * reloaded, the new ring gets the keys. Frees no key. Returns -ENOKEY where there is no ring, or
 * the error of a key. */
int publisher_reconcile(Publisher *p, SyncResult *ret) _must_check_;

/* Publishes what is not in the ring of one key. payload: of the key, or NULL to have it unsealed.
 * When the ring turns out to be gone, the new one gets all keys. Frees no key. */
int publisher_publish(Publisher *p, Key *k, const Secret *payload);

/* The same for a key that has just been made, in the place of another or of none (NULL). One that
 * is published on demand is left out, unless the other is in the ring. */
int publisher_publish_new(Publisher *p, Key *k, const Secret *payload, const Key *replaced);

/* Publishes all publishable keys of a pair; for an upcall. Returns their number. */
size_t publisher_publish_pair(Publisher *p, const Key *first);

/* Unlinks what is in the ring of one key. There must be a ring. */
int publisher_withdraw(Publisher *p, Key *k);

/* To be called when a key has been published: one that was held for a controller may be able to go
 * now, and on a host must not stay beside the new one. Frees no key. */
void publisher_release_held(Publisher *p);

/* Removes the timeouts of our keys while the store cannot be opened: keys that should stay would
 * end if they had been published on demand. */
int publisher_keep(Publisher *p);

/* True when the ring is not as the rules, and the kernel, want it by now. */
bool publisher_is_stale(const Publisher *p);
/* True when the ring has refused a key or kept one, so that reconciling should be tried again. */
bool publisher_has_unpublished(const Publisher *p);
/* Why keys that should be in the ring are not, 0 where nothing is known to be wrong: an error for
 * ring_error_text(), or of a secret that could not be read. */
int publisher_error(const Publisher *p);

/* Sees which keys are in the ring now, and sets their serials. Returns the ring, or NULL. */
const Ring *publisher_refresh(Publisher *p);

/* Changes with each key that is published or withdrawn. */
uint64_t publisher_revision(const Publisher *p);

/* What reconciling has changed, for whoever is told of the next. */
void publisher_note_changes(Publisher *p, const SyncResult *s);
/* Adds to the result of reconciling what was changed before and nobody was told of. */
void publisher_take_changes(Publisher *p, SyncResult *s);

/* What needs a person's attention in the ring, since it was reconciled last. */
const RingNotices *publisher_ring_notices(const Publisher *p);
/* One of them that was not returned before, or NULL. */
const RingNotice *publisher_next_ring_notice(Publisher *p);

/* What controllers and ring are like, looked at once for many keys. Starts as zeroes. */
typedef struct PublisherGuard {
    ControllerList controllers;
    RingList list;
    bool looked;
    int error;
} PublisherGuard;
void publisher_guard_done(PublisherGuard *g);

/* The name of a controller that would be lost without a key of a host, in ret. Returns 1, 0 where
 * there is none, or an error of looking. */
int publisher_needed_by(Publisher *p, PublisherGuard *g, const Key *k, char ret[static 32])
    _must_check_;
