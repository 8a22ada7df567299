/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "basic/macro.h"
#include "basic/secret.h"

/*
 * The keyring in which the kernel looks for TLS PSKs, and what is linked in it.
 *
 * Possession: a `psk` key may be searched and read only by who possesses it, that is, who has a
 * keyring that leads to it. Opening links the ring into the process keyring, which no other process
 * shares and which goes with this one.
 *
 * Ownership: add_key(2) gives a key the caller's file-system gid. A daemon that runs with a group
 * of its own thereby marks its keys as it makes them, for every later process to see.
 */
typedef struct Ring Ring;

typedef struct RingKey {
    int32_t serial;
    gid_t gid;
    bool marked; /* see ring_set_mark() */
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

/* Unlinks the ring from the process keyring; its keys stay. Accepts NULL; returns NULL. */
Ring *ring_close(Ring *r);
DEFINE_CLEANUP(Ring, ring_close)

int32_t ring_serial(const Ring *r);
const char *ring_name(const Ring *r);
const char *ring_key_type(const Ring *r);

/* Each of the following returns -EKEYREVOKED or -ENOKEY when the ring itself is gone (nvme_keyring
 * was unloaded): close it and open the new one. */

/* Lists the keys, linear in their number. Release with ring_list_done(). */
int ring_list(const Ring *r, RingList *ret) _must_check_;

/* Adds a key of this description, displacing one of the same description in one step.
 * Returns -EDQUOT when the kernel's key quota is used up. */
int ring_add(const Ring *r, const char *description, const void *payload, size_t size,
             int32_t *ret_serial) _must_check_;

/* True when the ring has this key, usable and under this description. */
bool ring_holds(const Ring *r, const char *description, int32_t serial);

/* Has a key end in timeout_sec from now, or never with 0. */
int ring_set_timeout(int32_t serial, unsigned timeout_sec) _must_check_;

/* Marks a key of ours, or takes the mark away: its group may see that it is there. Anybody who may
 * ask us about keys can see that too. */
int ring_set_mark(int32_t serial, bool marked);

/* The serial of the key of exactly this description, or 0. */
int32_t ring_look_up(const Ring *r, const char *description);

/* Unlinks a key from the ring; it lives on for a controller that still refers to it. A key that is
 * not linked any more is no error. */
int ring_unlink(const Ring *r, int32_t serial) _must_check_;

/* The serials of all keys of this machine that are under construction: who reads such a key waits
 * for whoever constructs it. Linear in the number of keys that we can see. Free *ret. Returns
 * -ENOMEM, or an error of reading /proc/keys. */
int ring_under_construction(int32_t **ret, size_t *ret_n) _must_check_;

/* Returns 1 when the key's payload equals these bytes (compared in constant time), 0 when not. */
int ring_key_equals(int32_t serial, const void *payload, size_t size) _must_check_;
