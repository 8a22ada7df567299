/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "basic/io.h"
#include "nvme-keyd/tlshd/limits.h"
#include "nvme-keyd/tlshd/psk-hash.h"

/* With this function a client chooses the hash of a PSK. */
static const char by_hash[] = "gnutls_psk_allocate_client_credentials2";

bool tlshd_offers_sha256(const char *path)
{
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char buffer[4096 + sizeof(by_hash)];
    size_t kept = 0, total = 0;
    ssize_t n;

    /* The end of each piece is kept, because the name may go on in the next one. */
    while (fd >= 0 && total < TLSHD_PROGRAM_MAX && (n = read(fd, buffer + kept, 4096)) > 0) {
        size_t size = kept + (size_t)n;

        if (memmem(buffer, size, by_hash, sizeof(by_hash)))
            return false;
        kept = CONST_MIN(size, sizeof(by_hash) - 1);
        memmove(buffer, buffer + size - kept, kept);
        total += (size_t)n;
    }
    return total > 0;
}
