/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/secret.h"
#include "test.h"

#define PATTERN 0x5a
/* A secret of 8 bytes takes one of the smallest blocks of the secure heap. */
#define BLOCKS_MAX (SECRET_ARENA_SIZE / 32)

/* The longest run of the pattern at an address that no pointer may be used for any more, or -1.
 * Allocators link free blocks through their first bytes, so a few bytes may match by chance. */
static ssize_t longest_run(uintptr_t address, size_t size)
{
    /* Not on the heap, which could hand out the very block to examine. */
    static uint8_t copy[256 * 1024];
    /* volatile, or the compiler would report a use after free. */
    volatile uintptr_t hidden = address;
    struct iovec to = {copy, size}, from = {(void *)hidden, size};
    ssize_t run = 0, longest = 0;

    if (size > sizeof(copy) || process_vm_readv(getpid(), &to, 1, &from, 1, 0) != (ssize_t)size)
        return -1;
    for (size_t i = 0; i < size; i++) {
        run = copy[i] == PATTERN ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

static bool is_wiped(uintptr_t address, size_t size)
{
    ssize_t n = longest_run(address, size);

    return n >= 0 && n < 4;
}

/* Writes although the memory is freed next; the compiler must not drop it. */
static void fill(void *p, size_t size)
{
    memset(p, PATTERN, size);
    __asm__ volatile("" : : "r"(p) : "memory");
}

static void sleep_milliseconds(long ms)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

TEST(process_is_sealed)
{
    struct rlimit limit;

    ASSERT_OK(prctl(PR_GET_DUMPABLE));
    ASSERT_OK(getrlimit(RLIMIT_CORE, &limit));
    ASSERT_EQ(limit.rlim_cur, 0);
    ASSERT_EQ(limit.rlim_max, 0);
    ASSERT_OK(secret_memory_init());
}

TEST(new_is_zeroed)
{
    for (size_t size = 1; size < 200; size++) {
        Secret *first = secret_new(size);

        ASSERT_TRUE(first);
        ASSERT_EQ(first->size, size);
        fill(first->data, size);
        ASSERT_TRUE(!secret_free(first));

        _cleanup_(secret_freep) Secret *second = secret_new(size);
        ASSERT_TRUE(second);
        for (size_t i = 0; i < size; i++)
            ASSERT_EQ(second->data[i], 0);
    }
    ASSERT_TRUE(!secret_free(NULL));
}

TEST(copy_and_equal)
{
    _cleanup_(secret_freep) Secret *a = secret_new_copy("0123456789", 10);
    _cleanup_(secret_freep) Secret *b = secret_new_copy("0123456789", 10);
    _cleanup_(secret_freep) Secret *shorter = secret_new_copy("012345678", 9);
    _cleanup_(secret_freep) Secret *empty = secret_new(0);

    ASSERT_TRUE(a && b && shorter && empty);
    ASSERT_MEM(a->data, "0123456789", 10);
    ASSERT_TRUE(secret_equal(a, b) && secret_equal(empty, empty));
    ASSERT_TRUE(!secret_equal(a, shorter) && !secret_equal(shorter, a) && !secret_equal(a, empty));
    for (size_t i = 0; i < 10; i++) {
        b->data[i] ^= 0x80;
        ASSERT_TRUE(!secret_equal(a, b));
        b->data[i] ^= 0x80;
    }
}

TEST(footprint)
{
    static const size_t sizes[] = {0, 1, 23, 24, 25, 56, 57, 60000, 65528, 65529, 120000};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        size_t used = CRYPTO_secure_used();
        Secret *s = secret_new(sizes[i]);

        ASSERT_TRUE(s);
        ASSERT_EQ(secret_footprint(sizes[i]), CRYPTO_secure_used() - used);
        secret_free(s);
        ASSERT_EQ(CRYPTO_secure_used(), used);
    }
    /* More than there is. */
    ASSERT_TRUE(secret_footprint(SIZE_MAX) >= SECRET_ARENA_SIZE);
}

TEST(free_wipes)
{
    static const size_t sizes[] = {8, 24, 32, 48, 89, 200, 4096, 65536};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        Secret *s = secret_new(sizes[i]);
        uintptr_t data;

        ASSERT_TRUE(s);
        data = (uintptr_t)s->data;
        fill(s->data, sizes[i]);
        ASSERT_EQ(longest_run(data, sizes[i]), sizes[i]);
        secret_free(s);
        ASSERT_TRUE(is_wiped(data, sizes[i]));
    }
}

TEST(cleanup_wipes)
{
    uintptr_t data;

    {
        _cleanup_(secret_freep) Secret *s = secret_new(48);

        ASSERT_TRUE(s);
        data = (uintptr_t)s->data;
        fill(s->data, 48);
    }
    ASSERT_TRUE(is_wiped(data, 48));
}

TEST(random)
{
    _cleanup_(secret_freep) Secret *a = NULL, *b = NULL;

    ASSERT_OK(secret_random(48, &a));
    ASSERT_OK(secret_random(48, &b));
    ASSERT_TRUE(a->size == 48 && b->size == 48 && !secret_equal(a, b));
}

/* Takes all blocks that are left, and returns their number. */
static size_t exhaust(Secret **ret, size_t max)
{
    size_t n = 0;

    while (n < max && (ret[n] = secret_new(8)))
        n++;
    return n;
}

TEST(exhausted_arena)
{
    static Secret *blocks[BLOCKS_MAX];
    Secret untouched, *s = &untouched;
    int ends[2];
    size_t n;

    ASSERT_OK(pipe2(ends, O_CLOEXEC));
    ASSERT_EQ(write(ends[1], "x", 1), 1);
    ASSERT_TRUE(!secret_new(SECRET_ARENA_SIZE));
    for (int round = 0; round < 3; round++) {
        n = exhaust(blocks, ARRAY_SIZE(blocks));
        /* libcrypto may hold some of the rest. */
        ASSERT_TRUE(n > BLOCKS_MAX / 2 && n < BLOCKS_MAX);
        ASSERT_TRUE(!secret_new(8) && !secret_new_copy("x", 1));
        ASSERT_EQ(secret_random(8, &s), -ENOMEM);
        ASSERT_EQ(secret_read_fd(ends[0], 8, 0, &s), -ENOMEM);
        ASSERT_TRUE(s == &untouched);
        while (n > 0)
            secret_free(blocks[--n]);
    }
    close(ends[0]);
    close(ends[1]);
}

/* A child writes text in pieces of step bytes. Returns the reading end. */
static int piped(const char *text, size_t size, size_t step)
{
    int ends[2];
    pid_t child;

    fflush(stdout);
    if (pipe2(ends, O_CLOEXEC) < 0 || (child = fork()) < 0)
        return -1;
    if (child == 0) {
        for (size_t i = 0; i < size; i += step) {
            if (write(ends[1], text + i, size - i < step ? size - i : step) < 0)
                _exit(1);
            sleep_milliseconds(2);
        }
        _exit(0);
    }
    close(ends[1]);
    return ends[0];
}

TEST(read_in_pieces)
{
    static const char text[] = "NVMeTLSkey-1:00:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:";
    static const size_t steps[] = {1, 7, 64, 100};

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        _cleanup_(closep) int fd = piped(text, strlen(text), steps[i]);
        _cleanup_(secret_freep) Secret *s = NULL;

        ASSERT_TRUE(fd >= 0);
        ASSERT_OK(secret_read_fd(fd, strlen(text), 0, &s));
        ASSERT_EQ(s->size, strlen(text));
        ASSERT_MEM(s->data, text, s->size);
        (void)wait(NULL);
    }
}

TEST(read_limits)
{
    for (size_t size = 0; size < 12; size++) {
        _cleanup_(closep) int fd = piped("0123456789ab", size, 5);
        _cleanup_(secret_freep) Secret *s = NULL;

        ASSERT_TRUE(fd >= 0);
        ASSERT_EQ(secret_read_fd(fd, 8, 0, &s), size == 0 ? -ENODATA : size > 8 ? -EFBIG : 0);
        ASSERT_EQ(s ? s->size : 0, size > 8 ? 0 : size);
        (void)wait(NULL);
    }
}

TEST(read_deadline)
{
    Secret untouched, *s = &untouched;
    uint64_t start = now_monotonic();
    int ends[2];

    ASSERT_OK(pipe2(ends, O_CLOEXEC));
    ASSERT_EQ(secret_read_fd(ends[0], 8, start + 50000, &s), -ETIMEDOUT);
    ASSERT_TRUE(now_monotonic() >= start + 50000 && now_monotonic() < start + 60 * USEC_PER_SEC);

    /* Data of a writer that does not close in time is incomplete. */
    ASSERT_EQ(write(ends[1], "half", 4), 4);
    ASSERT_EQ(secret_read_fd(ends[0], 8, now_monotonic() + 50000, &s), -ETIMEDOUT);
    ASSERT_EQ(secret_read_fd(ends[0], 8, 1, &s), -ETIMEDOUT);

    close(ends[1]);
    ASSERT_EQ(secret_read_fd(ends[0], 8, now_monotonic() + 60 * USEC_PER_SEC, &s), -ENODATA);
    close(ends[0]);
    ASSERT_EQ(secret_read_fd(ends[0], 8, 0, &s), -EBADF);
    ASSERT_TRUE(s == &untouched);
}

/* The reader must also wipe its own buffers. */
TEST(read_leaves_one_copy)
{
    _cleanup_(secret_freep) Secret *s = NULL;
    Secret *probe = secret_new(101);
    uintptr_t buffer = (uintptr_t)probe->data;
    char text[101];
    int ends[2];

    /* The next block of this size is the one that was freed last. */
    secret_free(probe);
    memset(text, PATTERN, sizeof(text));
    ASSERT_OK(pipe2(ends, O_CLOEXEC));
    ASSERT_EQ(write(ends[1], text, 40), 40);
    close(ends[1]);
    ASSERT_OK(secret_read_fd(ends[0], 100, 0, &s));
    close(ends[0]);
    ASSERT_EQ(s->size, 40);
    ASSERT_TRUE((uintptr_t)s->data != buffer);
    ASSERT_TRUE(is_wiped(buffer, 101));
}

static char erased[64], first[16];

static int leave_early(bool early)
{
    CLEANUP_ERASE(erased);
    CLEANUP_ERASE(first);

    fill(erased, sizeof(erased));
    fill(first, sizeof(first));
    if (early)
        return longest_run((uintptr_t)erased, sizeof(erased)) == sizeof(erased) ? 1 : -1;
    return 2;
}

TEST(erase_on_each_way_out)
{
    for (int early = 0; early < 2; early++) {
        ASSERT_EQ(leave_early(early), early ? 1 : 2);
        ASSERT_TRUE(is_wiped((uintptr_t)erased, sizeof(erased)));
        ASSERT_TRUE(is_wiped((uintptr_t)first, sizeof(first)));
    }
}

static bool free_overwrites(size_t size)
{
    /* The neighbour keeps the block from joining the rest of the heap. */
    void *p = malloc(size), *neighbour = malloc(size);
    uintptr_t address = (uintptr_t)p;
    bool good;

    fill(p, size);
    free(p);
    /* A block with a mapping of its own is unmapped. */
    good = longest_run(address, size) <= 8;
    free(neighbour);
    return good;
}

static bool other_allocator(void)
{
    /* glibc's own default; the mallopt() of a sanitizer accepts nothing. */
    return mallopt(M_TOP_PAD, 128 * 1024) != 1;
}

/* For blocks that the thread cache does not take. Their last eight bytes are in the header of the
 * next block. */
TEST(heap_overwrites_large_blocks)
{
    if (other_allocator())
        TEST_SKIP("a sanitizer's allocator");
    for (size_t size = 1040; size <= 256 * 1024; size *= 2)
        ASSERT_TRUE(free_overwrites(size));
}
