/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* True if the kernel's target serves NVMe/TCP with TLS at a numeric address, with a scope or
 * without, and a port: configfs has, below directory, a port for it or for all addresses that is
 * enabled. False as well if that cannot be read. Whether the address is of this machine is not
 * looked at. */
bool target_port_is_ours(const char *directory, const char *address, uint16_t port);
