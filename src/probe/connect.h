/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "probe/target.h"

/* Waits until fd is ready for events. Gives up when the other end of cancel_fd (-1 for none) closes
 * it: -ECANCELED. deadline_usec is CLOCK_MONOTONIC: -ETIMEDOUT. Or the error of poll(2). */
int connect_wait(int fd, short events, int cancel_fd, uint64_t deadline_usec) _must_check_;

/* Connects a non-blocking TCP socket the way that t names. Returns the error of socket(2),
 * setsockopt(2), bind(2) or connect(2), -ENODEV for an unknown interface, or those of
 * connect_wait(). */
int connect_target(const ProbeTarget *t, int cancel_fd, uint64_t deadline_usec, int *ret_fd)
    _must_check_;

/* True if the address is one of this machine. Sends nothing. */
bool connect_is_own(const ProbeTarget *t);
