/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/limits.h"
#include "basic/macro.h"

/* The shim links no library, so this fuzzer includes its file. */
#include "nvme-keyd/upcall/protocol.h"
#include "request-key-shim/arguments.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS_MAX 8

static void check_number(const char *word, uint64_t n)
{
    if (*word == '\0' || strspn(word, "0123456789") != strlen(word) ||
        strtoull(word, NULL, 10) != n)
        abort();
}

/* The input is a command line, its words separated by NUL. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(freep) char *text = malloc(size + 1);
    char *argv[WORDS_MAX + 1];
    ShimArguments a;
    int argc = 0, r;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    for (char *p = text; p <= text + size && argc < WORDS_MAX; p += strlen(p) + 1)
        argv[argc++] = p;
    argv[argc] = NULL;

    r = shim_arguments_parse(argc, argv, &a);
    if (r != 0 && r != -EINVAL)
        abort();
    if (a.key < 0 || (r == 0 && a.key == 0) || (r < 0 && (a.type || a.description)))
        abort();
    if (a.key > 0)
        check_number(argv[1], (uint64_t)a.key);
    if (r < 0)
        return 0;
    check_number(argv[2] + (argv[2][0] == '-'), argv[2][0] == '-' ? (uid_t)-a.uid : a.uid);
    if (argc == 6 && a.callout != argv[5])
        abort();
    if ((argc != 5 && argc != 6) || strlen(a.callout) > UPCALL_CALLOUT_MAX || a.type != argv[3] ||
        a.description != argv[4] || a.type[0] == '\0' || strlen(a.type) > UPCALL_TYPE_MAX ||
        a.description[0] == '\0' || strlen(a.description) > KEY_DESCRIPTION_MAX)
        abort();
    return 0;
}
