/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * ringwatch PREFIX...: searches .nvme for the first PREFIX, then for the next, again and again,
 * with the kernel's own match function, as a reconnect would, until SIGTERM. A look that finds none
 * is a miss, and is printed at once. Prints in the end "looks N misses N serials N last SERIAL",
 * and how far apart the looks were: "pause MEAN to LONGEST us".
 */

#include <signal.h>
#include <stdint.h>
#include <time.h>

#include "nvmering.h"

static volatile sig_atomic_t stop;

static void on_term(int signo)
{
    (void)signo;
    stop = 1;
}

static uint64_t now_usec(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

int main(int argc, char *argv[])
{
    unsigned long looks = 0, misses = 0, serials = 0;
    uint64_t start, before, now, longest = 0;
    key_serial_t ring, key, last = 0;

    if (argc < 2)
        return 2;
    signal(SIGTERM, on_term);
    ring = nvmering_possess();
    start = before = now_usec();
    while (!stop) {
        key = -1;
        for (int i = 1; i < argc && key < 0; i++)
            key = (key_serial_t)keyctl_search(ring, "psk", argv[i], 0);
        looks++;
        now = now_usec();
        if (now - before > longest)
            longest = now - before;
        before = now;
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
    printf("looks %lu misses %lu serials %lu last %d pause %llu to %llu us\n", looks, misses,
           serials, last, (unsigned long long)((before - start) / (looks ? looks : 1)),
           (unsigned long long)longest);
    return 0;
}
