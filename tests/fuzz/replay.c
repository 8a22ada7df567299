/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/macro.h"
#include "basic/secret.h"

/* Runs a fuzz target over each file of a corpus directory and prints TAP. */

#define SAMPLE_MAX (1024 * 1024)

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
        _cleanup_(closep) int fd = openat(dirfd(directory), entry->d_name, O_RDONLY | O_CLOEXEC);
        _cleanup_(freep) uint8_t *data = NULL;
        struct stat st;

        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > SAMPLE_MAX)
            continue;
        /* Not a byte more, so that a sanitizer sees each read past the sample. */
        data = malloc((size_t)st.st_size);
        if (read(fd, data, (size_t)st.st_size) != st.st_size)
            continue;
        (void)LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
        printf("ok %zu - %s\n", ++n, entry->d_name);
    }
    if (n == 0)
        printf("not ok %zu - the corpus is empty\n", ++n);
    printf("1..%zu\n", n);
    return 0;
}
