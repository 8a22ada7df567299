/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/* True if tlshd, the program at path, offers a PSK of SHA-384 as one of SHA-256: GnuTLS
 * before 3.8.11 knows no other hash for a PSK, and a tlshd that was built with a newer one names
 * its function. A target that takes a PSK by one of the two hashes need not take it by the other.
 * False if the program cannot be read: then nothing is known, and the hash of the PSK is the one to
 * use. */
bool tlshd_offers_sha256(const char *path);
