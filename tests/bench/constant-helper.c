/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* constant-helper KEY: answers an upcall with a constant. This is the least that a helper of
 * request-key(8) can do, so the real one is measured against it. Must be linked statically. */

#include <linux/keyctl.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static const char payload[] = "constant-constant-constant-const"; /* as long as a TLS PSK */
    long key = argc > 1 ? strtol(argv[1], NULL, 10) : 0;

    if (getauxval(AT_BASE) != 0 || syscall(SYS_keyctl, KEYCTL_ASSUME_AUTHORITY, key) < 0 ||
        syscall(SYS_keyctl, KEYCTL_INSTANTIATE, key, payload, sizeof(payload) - 1, 0) < 0)
        return EXIT_FAILURE;
    return EXIT_SUCCESS;
}
