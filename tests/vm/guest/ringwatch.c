/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * ringwatch PREFIX...: searches .nvme for the first PREFIX, then for the next, again and again,
 * with the kernel's own match function, as a reconnect would, until SIGTERM. A look that finds none
 * is a miss, and is printed at once. Prints "looks N misses N serials N last SERIAL" in the end.
 */

#include <signal.h>

#include "nvmering.h"

static volatile sig_atomic_t stop;

static void on_term(int signo)
{
    (void)signo;
    stop = 1;
}

int main(int argc, char *argv[])
{
    unsigned long looks = 0, misses = 0, serials = 0;
    key_serial_t ring, key, last = 0;

    if (argc < 2)
        return 2;
    signal(SIGTERM, on_term);
    ring = nvmering_possess();
    while (!stop) {
        key = -1;
        for (int i = 1; i < argc && key < 0; i++)
            key = (key_serial_t)keyctl_search(ring, "psk", argv[i], 0);
        looks++;
        if (key < 0) {
            misses++;
            printf("look %lu missed\n", looks);
            fflush(stdout);
            continue;
        }
        if (key != last)
            serials++;
        last = key;
    }
    printf("looks %lu misses %lu serials %lu last %d\n", looks, misses, serials, last);
    return 0;
}
