/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "basic/macro.h"

/*
 * The host key of systemd-creds(1), a file that begins with a hash of the machine id it was made
 * under. Under another id systemd deletes the file, whatever it was asked for: "setup", a
 * credential to seal, and one to open all do that. A slot that needs the key is lost then, also
 * when the old id comes back. So each way to systemd that may touch the host key begins with a look
 * at it.
 */

/* Both are paths of files, which need not be there. */
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

/* That of this machine; all strings are static. */
HostKey host_key_of_system(void);

/* Returns a HostKeyState, -ENOMEM, or the error for which nobody knows. */
int host_key_state(const HostKey *key) _must_check_;

/* Returns 0 when systemd may be asked for what needs the host key, or -EKEYREJECTED with a detail
 * when that might delete it; -ENOMEM. */
int host_key_check(const HostKey *key, char **reterr_detail) _must_check_;

/* Whether the machine id is kept in memory alone, so that the next boot may have another one. */
bool host_key_is_transient(const HostKey *key);

/* Whether there is a place for a host key, which can be written to and outlives the boot. */
bool host_key_can_be_made(const HostKey *key);
