/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/keyctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "request-key-shim/construction.h"

int construction_authorize(int32_t key)
{
    return syscall(SYS_keyctl, KEYCTL_ASSUME_AUTHORITY, key) < 0 ? -errno : 0;
}

int construction_instantiate(int32_t key, const void *payload, size_t size, unsigned timeout_sec)
{
    /* Set first, so that the key never exists without its timeout. */
    if (timeout_sec > 0 && syscall(SYS_keyctl, KEYCTL_SET_TIMEOUT, key, timeout_sec) < 0)
        return -errno;
    return syscall(SYS_keyctl, KEYCTL_INSTANTIATE, key, payload, size, 0) < 0 ? -errno : 0;
}

int construction_reject(int32_t key, unsigned timeout_sec, unsigned error)
{
    return syscall(SYS_keyctl, KEYCTL_REJECT, key, timeout_sec, error, 0) < 0 ? -errno : 0;
}
