/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "basic/macro.h"
#include "nvme-keyctl/doctor/trouble.h"

#define PROBE "nvme-keyctl probe ID"
#define GAP "..."

/* The first that fits counts, so the narrow ones come first. */
static const Trouble troubles[] = {
    {"no valid PSK found", "the keyring had no key for this host NQN and subsystem NQN",
     "nvme-keyctl doctor --subsysnqn=NQN"},
    {"pre-shared TLS key is missing", "the keyring had no key for this host NQN and subsystem NQN",
     "nvme-keyctl doctor --subsysnqn=NQN"},
    {"Removing controller (-126)", "a reconnect found no key, so the kernel removed the controller",
     "nvme-keyctl add, then nvme connect again"},
    {"failed to start TLS: -3", "tlshd does not run", "systemctl enable --now tlshd.service"},
    {"TLS handshake failed, error -110",
     "tlshd does not have the keyring, or the other end did not answer in time",
     "systemctl restart tlshd.service on both ends, then " PROBE},
    {"TLS handshake failed", "the target lacks the key, or has another PSK under its identity",
     PROBE},
    {"TLS record ... unhandled",
     "the other end has sent a KeyUpdate, which NVMe/TCP cannot carry out",
     "nvme-keyctl move --stalled"},
    {"unknown parameter or missing value 'tls'", "the kernel was built without CONFIG_NVME_TCP_TLS",
     "nvme-keyctl doctor"},
    {"failed to search 'psk' key",
     "a host has offered an identity that this target does not have, or a tlshd from 1.1 on has "
     "lost the keyring to another handshake",
     "nvme-keyctl list; nvme-keyctl doctor"},
    {"key search error", "a host has offered an identity that this target does not have",
     "nvme-keyctl list"},
    {"Failed to read TLS psk data", "tlshd does not have the keyring",
     "systemctl restart tlshd.service"},
    {"No key identities", "the kernel has named no key", "nvme-keyctl doctor"},
    {"Failed to load config file", "tlshd does not start without its configuration",
     "nvme-keyctl doctor"},
    {"Kernel handshake service is not available",
     "the kernel was built without CONFIG_NET_HANDSHAKE", "nvme-keyctl doctor"},
    {"Connection terminated prematurely",
     "the target lacks the key, or has another PSK under its identity", PROBE},
    {"Received alert", "the other end lacks the key, or has another PSK under its identity", PROBE},
    {"Handshake with ... failed",
     "the line before it has the cause, or the keys of the two ends differ", PROBE},
    {"Required key not available", "the kernel has no keyring .nvme, or no such key in it",
     "modprobe nvme-keyring"},
};

/* The dots stand for any text. */
static bool fits(const char *text, const char *message)
{
    const char *dots = strstr(text, GAP);
    size_t n = dots ? (size_t)(dots - text) : strlen(text);
    const char *p = memmem(message, strlen(message), text, n);

    return p && (!dots || strstr(p + n, dots + strlen(GAP)));
}

const Trouble *trouble_find(const char *message)
{
    for (size_t i = 0; i < ARRAY_SIZE(troubles); i++)
        if (fits(troubles[i].text, message))
            return &troubles[i];
    return NULL;
}
