/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key.h"

/*
 * PSKs handed in for this boot, as systemd credentials: files in $CREDENTIALS_DIRECTORY, which is
 * the service's own, or in $NVME_KEYD_CREDENTIALS_DIRECTORY, to which another unit has fetched
 * them. Both are in memory that is never swapped, so the daemon keeps no copy of a PSK: a Key
 * remembers where its line is, and the line is read again when its payload is needed.
 */

/* Gets the keys and problems of credentials. Lines are counted from 1; line 0 is the whole
 * credential. */
typedef struct HandedVisitor {
    /* Takes ownership of k even if it fails. A negative result stops the reading. */
    int (*on_key)(Key *k, size_t line, void *userdata);
    /* text: why there is no key, as a line for people. credential: NULL if all of them are
     * concerned. */
    void (*on_problem)(const char *credential, size_t line, const char *text, void *userdata);
    const char *hostnqn; /* for lines without a host NQN; NULL if this machine has none */
    void *userdata;
} HandedVisitor;

/* True for nvme-keyd.psk and nvme-keyd.psk.*, the names of credentials with PSKs. */
bool handed_is_credential(const char *name);

/* Reads the text of one credential. Returns 0 even if every line was ignored; -ENOMEM, -EIO, or the
 * error of on_key. */
int handed_read_text(const char *name, const char *text, size_t size, const HandedVisitor *visitor)
    _must_check_;

/* Reads all credentials nvme-keyd.psk and nvme-keyd.psk.*, in the order of their names. Returns 1
 * if these are all of them, 0 if the other unit has failed, so that some may be missing. */
int handed_read(const HandedVisitor *visitor) _must_check_;
