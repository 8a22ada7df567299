/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "basic/limits.h"
#include "basic/macro.h"
#include "basic/secret.h"

/*
 * The keyring in which the kernel looks for TLS PSKs, and its keys.
 *
 * Possession: only a process whose keyrings lead to a `psk` key may search and read it. Opening
 * links the ring into the process keyring, which no other process shares and which ends with this
 * one.
 *
 * Ownership: ring_add() marks a key by a permission bit that add_key(2) never sets, so that later
 * processes recognise it. add_key(2) also gives a key the caller's file-system gid, which covers a
 * crash between the two steps; but the gid may differ between an initramfs and the real root.
 */
typedef struct Ring Ring;

typedef struct RingKey {
    int32_t serial;
    gid_t gid;
    bool owned;     /* has the owner mark */
    bool handed_in; /* has the mark of a key that was handed in, see ring_mark() */
    char *description;
} RingKey;

/* Keys of the ring's key type; others are not listed. */
typedef struct RingList {
    RingKey *keys;
    size_t n;
} RingList;

void ring_list_done(const RingList *l);

/* Finds `.nvme`, or makes the stand-in, and links it into the process keyring.
 * Returns -ENOKEY where the kernel has no such keyring: nvme_keyring is not loaded, or the kernel
 * was built without NVME_TCP_TLS. */
int ring_open(bool stand_in, Ring **ret) _must_check_;

/* The meaning of an error of these functions, as a static string. */
const char *ring_error_text(int error);

/* Unlinks the ring from the process keyring; its keys stay. Accepts NULL; returns NULL. */
Ring *ring_close(Ring *r);
DEFINE_CLEANUP(Ring, ring_close)

/* Links the ring into the user keyring and displaces an older one there, so that services of root
 * whose session leads there possess its keys. Returns the error of keyctl_link(3). */
int ring_share(const Ring *r) _must_check_;

int32_t ring_serial(const Ring *r);

/* The following return -EKEYREVOKED or -ENOKEY if nvme_keyring was unloaded: close the ring and
 * open the new one. */

/* Lists the keys, linear in their number. Release with ring_list_done(). */
int ring_list(const Ring *r, RingList *ret) _must_check_;

/* Something in the ring that is no key of its type, such as a secret of DH-HMAC-CHAP. */
typedef struct RingOther {
    int32_t serial;
    char type[32];
    char *description;
} RingOther;

typedef struct RingOthers {
    RingOther *items;
    size_t n;
} RingOthers;

void ring_others_done(const RingOthers *l);

/* Lists what ring_list() leaves out because of its type. Release with ring_others_done(). */
int ring_list_others(const Ring *r, RingOthers *ret) _must_check_;

/* Describes a key by its serial, also one that is in no ring any more. Free ret->description.
 * Returns -ENOKEY for a key that is gone, or no key of the ring's type; -EKEYREVOKED, -EKEYEXPIRED,
 * -EACCES, or -ENOMEM. */
int ring_describe(const Ring *r, int32_t serial, RingKey *ret) _must_check_;

/* True if add_key(2) with an existing description updates that key, as for the stand-in's type. A
 * `psk` key is displaced instead. */
bool ring_updates(const Ring *r);

/* True for a key that nvme-keyd added, in this boot or in the initramfs before it. */
bool ring_key_is_ours(const RingKey *k);

/* True for "NVMe?R", a key of a configured PSK; the kernel makes those of "NVMe?G". */
bool ring_key_is_configured(const RingKey *k);

/* Adds a key of this description, displacing one of the same description in one step, and marks it
 * as ring_mark() does. Returns -EDQUOT when the kernel's key quota is used up. */
int ring_add(const Ring *r, const char *description, const void *payload, size_t size,
             bool handed_in, int32_t *ret_serial) _must_check_;

/* True when the ring has this key, usable and under this description. */
bool ring_holds(const Ring *r, const char *description, int32_t serial);

/* Returns 0 if a key is usable, -EKEYREVOKED, -EKEYEXPIRED, -ENOKEY if there is none, or another
 * error of keyctl_describe(3). */
int ring_key_state(int32_t serial) _must_check_;

/* True if the ring may have a key that is revoked or has expired. Only for the key type `psk`,
 * whose searches look at every key of the ring, and report dead ones if they find nothing else.
 * no_description: a beginning that no key has. */
bool ring_has_dead(const Ring *r, const char *no_description);

/* Makes a key expire in timeout_sec, or never with 0. */
int ring_set_timeout(int32_t serial, unsigned timeout_sec) _must_check_;

/* Marks a key as ours, and as handed in for one boot or not, so that these differ without a store.
 * The marks are permissions of uid 0 and of the key's group, without access to the PSK. Returns 0
 * or the error of keyctl(2). */
int ring_mark(int32_t serial, bool handed_in);

/* The serial of the key of exactly this description, or 0. */
int32_t ring_look_up(const Ring *r, const char *description);

/* Longer than any lookup of the kernel, on a virtual processor that gets no time as well. */
#define RING_LOOKUP_USEC (USEC_PER_SEC / 50)

/* Waits until the lookups are over that began before a key was added, at this time of
 * now_monotonic(): at most RING_LOOKUP_USEC. To be called before another key is unlinked because of
 * that one. A lookup is no instant: it looks for one hash after the other, and walks over the ring
 * without a lock. So it may pass the place of the new key before that comes, and the place of the
 * old one after that goes; then the kernel takes it for a missing key, and deletes the controller.
 */
void ring_await_lookups(uint64_t added_usec);

/* Unlinks a key from the ring; it lives on while a controller refers to it. An unlinked key is no
 * error. */
int ring_unlink(const Ring *r, int32_t serial) _must_check_;

/* Unlinks a key and revokes it, so that nothing can use it any more, whatever refers to it. Never
 * for a key that a live controller of this host refers to. Returns as ring_unlink(). */
int ring_revoke(const Ring *r, int32_t serial) _must_check_;

/* Lists the serials of all keys under construction on this machine; reading such a key blocks.
 * Linear in the keys that we can see. Free *ret. Returns -ENOMEM, or an error of reading
 * /proc/keys. */
int ring_under_construction(int32_t **ret, size_t *ret_n) _must_check_;

/* Reads the payload of a key, which must not be under construction. Returns -EMSGSIZE for one that
 * is no TLS PSK of 32 or 48 bytes, -ENOMEM, or the error of keyctl_read(3). */
int ring_read(int32_t serial, Secret **ret) _must_check_;

/* Returns 1 when the key's payload equals these bytes (compared in constant time), 0 when not. */
int ring_key_equals(int32_t serial, const void *payload, size_t size) _must_check_;
