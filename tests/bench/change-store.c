/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* change-store DIRECTORY fill N: adds N records in one commit.
 * change-store DIRECTORY add N: adds one record, N times; each time the same bytes are also
 * written, synced and renamed as they are. Prints the median of both, in microseconds, and the
 * ratio. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "../unit/store-direct.h"
#include "../unit/tree.h"
#include "basic/io.h"
#include "basic/secret.h"

#define RUNS_MAX 1000

/* As long as the metadata of a real key. */
static int add(Store *s, size_t n)
{
    char meta[300] = "{\"name\":\"";
    _cleanup_(secret_freep) Secret *secret = secret_new(120);
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    char id[STORE_ID_SIZE];
    int r = store_begin(s, &t);

    memset(meta + strlen(meta), 'n', sizeof(meta) - strlen(meta) - sizeof("\"}"));
    strcpy(meta + sizeof(meta) - sizeof("\"}"), "\"}");
    if (!secret)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = store_add(t, meta, secret, id);
    return r < 0 ? r : store_commit(t);
}

static int write_bare(const char *path, int dirfd, uint64_t *ret_usec)
{
    _cleanup_(freep) char *text = NULL;
    uint64_t start;
    size_t size;
    int r = tree_read(path, &text, &size);

    if (r < 0)
        return r;
    start = now_monotonic();
    r = io_write_file_at(dirfd, "bare.new", text, size);
    if (r == 0 && renameat(dirfd, "bare.new", dirfd, "bare") < 0)
        r = -errno;
    if (r == 0)
        r = io_sync_dir(dirfd);
    *ret_usec = now_monotonic() - start;
    return r;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static int measure(const char *dir, Store *s, size_t n)
{
    static uint64_t adds[RUNS_MAX], bare[RUNS_MAX];
    _cleanup_(closep) int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = dirfd < 0 ? -errno : 0;
    char path[4096];

    snprintf(path, sizeof(path), "%s/store", dir);
    for (size_t i = 0; r == 0 && i < n; i++) {
        uint64_t start = now_monotonic();

        r = add(s, 1);
        adds[i] = now_monotonic() - start;
        if (r == 0)
            r = write_bare(path, dirfd, &bare[i]);
    }
    if (r < 0)
        return r;
    qsort(adds, n, sizeof(*adds), compare);
    qsort(bare, n, sizeof(*bare), compare);
    printf("add %llu us, bare %llu us, ratio %.2f\n", (unsigned long long)adds[n / 2],
           (unsigned long long)bare[n / 2], (double)adds[n / 2] / (double)bare[n / 2]);
    (void)unlinkat(dirfd, "bare", 0);
    return 0;
}

int main(int argc, char **argv)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *detail = NULL;
    size_t n = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    int r;

    if (n == 0 || n > 10000000) {
        fprintf(stderr, "usage: change-store DIRECTORY fill|add N\n");
        return EXIT_FAILURE;
    }
    r = secret_memory_init();
    if (r == 0)
        r = direct_open(argv[1], &s, &detail);
    if (r == -ENOENT)
        r = direct_create(argv[1], &s, &detail);
    if (r == 0)
        r = strcmp(argv[2], "fill") == 0 ? add(s, n)
            : n > RUNS_MAX               ? -E2BIG
                                         : measure(argv[1], s, n);
    if (r < 0)
        fprintf(stderr, "%s: %s\n", argv[1], detail ? detail : strerror(-r));
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
