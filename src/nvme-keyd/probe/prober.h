/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "basic/macro.h"
#include "probe/packet.h"

/*
 * Asks targets whether they accept a PSK, by the helper nvme-keyd-probe: the service manager starts
 * one for each connection to a socket. It alone has the network, and it has nothing else but the
 * one PSK. The event loop never waits for it. A few probes run at a time; the others wait in a
 * queue.
 */
typedef struct Prober Prober;
typedef struct Probe Probe;

/* path: of the helper's socket, borrowed. Returns -ENOMEM, or the error of sd-event. */
int prober_new(sd_event *event, const char *path, Prober **ret) _must_check_;

/* Ends all probes: their handlers are called with PROBE_UNAVAILABLE, must not start another, and
 * must still free theirs. Accepts NULL; returns NULL. */
Prober *prober_free(Prober *p);
DEFINE_CLEANUP(Prober, prober_free)

/* detail: one line for people. May free the probe. */
typedef void (*ProbeHandler)(ProbeAnswer answer, const char *detail, void *userdata);

/* Probes one target with a TLS PSK of size bytes (as_sha256: see probe_request_new()), which is
 * copied into a Secret until the helper has it. handler is called once, from the event loop, at
 * most PROBE_DEADLINE_USEC after the probe has left the queue; PROBE_UNAVAILABLE means that the
 * helper cannot be reached, or has failed. Returns -EINVAL for a target or identity of the wrong
 * form, -ENOBUFS past PROBES_MAX, -ENOMEM. */
int probe_start(Prober *p, const ProbeTarget *target, const char *identity, const uint8_t *psk,
                size_t size, bool as_sha256, ProbeHandler handler, void *userdata, Probe **ret)
    _must_check_;

/* Frees a probe, which ends it if it is not over: then its handler is not called. Accepts NULL;
 * returns NULL. */
Probe *probe_free(Probe *probe);
DEFINE_CLEANUP(Probe, probe_free)
