/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "basic/io.h"
#include "basic/macro.h"
#include "basic/secret.h"

/* Runs a fuzz target over each file of a corpus directory and prints TAP. */

#define SAMPLE_MAX ((size_t)1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    _cleanup_(closedirp) DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;
    struct dirent *entry;
    size_t n = 0;

    if (!directory || secret_memory_init() < 0) {
        printf("Bail out! usage: %s CORPUS\n", argv[0]);
        return 1;
    }
    while ((entry = readdir(directory))) {
        _cleanup_(freep) char *data = NULL;
        size_t size;

        if (entry->d_name[0] == '.' ||
            io_read_file_at(dirfd(directory), entry->d_name, SAMPLE_MAX, &data, &size) < 0)
            continue;
        (void)LLVMFuzzerTestOneInput((const uint8_t *)data, size);
        printf("ok %zu - %s\n", ++n, entry->d_name);
    }
    if (n == 0)
        printf("not ok %zu - the corpus is empty\n", ++n);
    printf("1..%zu\n", n);
    return 0;
}
