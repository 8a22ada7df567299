/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "basic/macro.h"

/*
 * The handshake daemon, tlshd: the kernel has it do the handshakes of TLS. It links the keyring of
 * the PSKs into its session keyring when it starts. After nvme_keyring was unloaded and loaded
 * again that is another keyring, and the daemon does not find the PSKs until it is restarted. Only
 * newer versions than 1.0 take the keyring that newer kernels name with each handshake.
 */
typedef enum HandshakeState {
    HANDSHAKE_STOPPED,
    HANDSHAKE_READY,
    HANDSHAKE_UNKNOWN, /* it is running, but its session keyring cannot be seen */
    HANDSHAKE_STALE,   /* it is running, without the keyring */
} HandshakeState;

typedef struct Handshake {
    const char *unit; /* static */
    HandshakeState state;
    bool starting; /* stale, but that may be because it has just been started */
} Handshake;

/* As the interface of the daemon calls it. */
const char *handshake_state_to_string(HandshakeState state);

/* Looks whether the handshake daemon has a keyring. Of several that are running the one that is
 * worst off is told. directory: where the service manager says which units are running, such as
 * /run/systemd/units. Linear in the keys that we can see, if one is running. Returns -ENOMEM. */
int handshake_look(const char *directory, int32_t keyring, Handshake *ret) _must_check_;
