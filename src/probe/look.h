/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "probe/packet.h"

/* Carries out a checked request: connects, offers the PSK, and finds out more about a refusal.
 * Takes some 35 s at most. Returns -ECANCELED as soon as the other end of cancel_fd (-1 for none)
 * closes it. */
int look_at_target(const ProbeRequest *q, PskHash hash, int cancel_fd, ProbeReply *ret)
    _must_check_;
