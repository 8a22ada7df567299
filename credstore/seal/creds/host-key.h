/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "basic/macro.h"

/*
 * The host key of systemd-creds(1), a file that begins with a hash of the machine id of its making.
 * Under another id systemd deletes the file as soon as it uses it: for "setup", to seal and to
 * unseal. A slot that needs the key is lost then, even if the old id comes back. So every use of
 * systemd that may touch the host key checks it first.
 */

/* Paths of files, which may be absent. */
typedef struct HostKey {
    const char *secret;
    const char *machine_id;
} HostKey;

typedef enum HostKeyState {
    HOST_KEY_ABSENT,
    HOST_KEY_OURS,
    HOST_KEY_FOREIGN,  /* of another machine id: systemd would delete it */
    HOST_KEY_UNUSABLE, /* systemd refuses it, or has no machine id, and leaves it alone */
} HostKeyState;

/* Returns the host key of this machine; its strings are static. */
HostKey host_key_of_system(void);

/* Returns a HostKeyState, -ENOMEM, or an error of reading that leaves the state unknown. */
int host_key_state(const HostKey *key) _must_check_;

/* Returns 0 if systemd may use the host key, -EKEYREJECTED with a detail if it might delete it,
 * -ENOMEM. */
int host_key_check(const HostKey *key, char **reterr_detail) _must_check_;

/* Whether the machine id is only in memory, so that the next boot may have another one. */
bool host_key_is_transient(const HostKey *key);

/* Whether the directory of the host key is writable and outlives the boot. */
bool host_key_can_be_made(const HostKey *key);
