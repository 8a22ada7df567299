/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The keyring .nvme, linked into a new session keyring of this process: only a possessor may search
 * and read. */

#include <keyutils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline key_serial_t nvmering_possess(void)
{
    char line[4096], flags[16], name[64];
    key_serial_t ring = 0;
    unsigned serial;
    FILE *f;

    f = fopen("/proc/keys", "re");
    while (f && fgets(line, sizeof(line), f))
        /* A ring of an unloaded nvme_keyring stays for a while, revoked. */
        if (sscanf(line, "%x %15s %*s %*s %*s %*s %*s keyring %63s", &serial, flags, name) == 3 &&
            strcmp(name, ".nvme:") == 0 && !strchr(flags, 'R'))
            ring = (key_serial_t)serial;
    if (f)
        fclose(f);
    if (ring == 0) {
        fprintf(stderr, "There is no keyring .nvme.\n");
        exit(2);
    }
    if (keyctl_join_session_keyring(NULL) < 0 || keyctl_link(ring, KEY_SPEC_SESSION_KEYRING) < 0) {
        perror(".nvme");
        exit(2);
    }
    return ring;
}
