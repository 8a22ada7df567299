/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* addkeys N: adds N keys to .nvme with nothing around it, and prints the microseconds that took. */

#include <time.h>

#include "nvmering.h"

int main(int argc, char *argv[])
{
    struct timespec from, to;
    char description[512];
    char payload[32];
    key_serial_t ring;
    int n;

    if (argc != 2)
        return 2;
    n = atoi(argv[1]);
    ring = nvmering_possess();
    memset(payload, 0x5a, sizeof(payload));

    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < n; i++) {
        snprintf(description, sizeof(description),
                 "NVMe1R01 nqn.2014-08.org.nvmexpress:uuid:6f1f3c0a-52c4-4b0b-9d1c-3a5d7e0c9b21 "
                 "nqn.2026-11.org.example:bare-%05d 0123456789012345678901234567890123456789012=",
                 i);
        if (add_key("psk", description, payload, sizeof(payload), ring) < 0) {
            perror("add_key");
            return 1;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%lld\n", (to.tv_sec - from.tv_sec) * 1000000LL + (to.tv_nsec - from.tv_nsec) / 1000);
    return 0;
}
