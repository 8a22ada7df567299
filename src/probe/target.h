/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "probe/limits.h"

/*
 * The place of a target, and the way to it, as a controller of the host has them. Addresses are
 * numeric, so no name service is asked.
 */
typedef struct ProbeTarget {
    char address[PROBE_ADDRESS_MAX + 1];     /* IPv4, or IPv6 with an optional %INTERFACE */
    char source[PROBE_ADDRESS_MAX + 1];      /* of our end, same form (host_traddr); "" for any */
    char interface[PROBE_INTERFACE_MAX + 1]; /* to connect through (host_iface); "" for any */
    uint16_t port;
} ProbeTarget;

/* The port of NVMe/TCP where none is given. */
#define PROBE_PORT_DEFAULT 4420

/* Fills a target from texts; source and interface may be NULL. Returns -EINVAL, with the name of
 * the bad argument ("address", "port", "source", "interface") in *reterr_what. */
int probe_target_set(const char *address, uint64_t port, const char *source, const char *interface,
                     ProbeTarget *ret, const char **reterr_what) _must_check_;

/* Parses the attribute "address" of a controller in sysfs:
 * "traddr=ADDRESS,trsvcid=PORT[,host_traddr=ADDRESS][,host_iface=NAME][,src_addr=...]". Members may
 * come in any order, each once. Unknown ones are ignored, because a later kernel may add some.
 * Returns -EINVAL for anything else. */
int probe_target_parse(const char *text, ProbeTarget *ret) _must_check_;

/* Room for "[ADDRESS]:PORT". */
#define PROBE_TARGET_TEXT_SIZE (PROBE_ADDRESS_MAX + sizeof("[]:65535"))
/* Writes "ADDRESS:PORT", an IPv6 address in brackets. */
void probe_target_format(const ProbeTarget *t, char ret[static PROBE_TARGET_TEXT_SIZE]);

/* True if all members have the form that probe_target_set() makes, and no byte follows a NUL. */
bool probe_target_is_valid(const ProbeTarget *t);

/* True for a string of less than size bytes that is followed by zeros up to size. */
bool probe_text_is_padded(const char *text, size_t size);
