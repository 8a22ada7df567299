/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "basic/io.h"
#include "nvme-keyctl/text-file.h"
#include "test.h"

static int make_file(size_t size)
{
    char name[] = "/tmp/test-text-file.XXXXXX";
    int fd = mkstemp(name);

    if (fd >= 0)
        (void)unlink(name);
    for (size_t i = 0; fd >= 0 && i < size; i++)
        if (write(fd, &"abc"[i % 3], 1) != 1)
            return -1;
    return fd >= 0 && lseek(fd, 0, SEEK_SET) == 0 ? fd : -1;
}

/* Around the sizes at which the room grows. */
TEST(sizes)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 131072, 200000};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        _cleanup_(text_file_done) TextFile t = {.text = NULL};
        _cleanup_(closep) int fd = make_file(sizes[i]);

        ASSERT_TRUE(fd >= 0);
        ASSERT_OK(text_file_read(fd, 1000000, &t));
        ASSERT_EQ(t.size, sizes[i]);
        for (size_t j = 0; j < t.size; j++)
            if (t.text[j] != "abc"[j % 3])
                TEST_FAIL("byte %zu", j);
    }
}

TEST(limit)
{
    _cleanup_(text_file_done) TextFile t = {.text = NULL}, none = {.text = NULL};
    _cleanup_(closep) int fd = make_file(1000), zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

    ASSERT_OK(text_file_read(fd, 1000, &t));
    ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
    ASSERT_EQ(text_file_read(fd, 999, &none), -EFBIG);
    ASSERT_EQ(text_file_read(zero, 1000000, &none), -EFBIG);
    ASSERT_EQ(text_file_read(-1, 1000, &none), -EBADF);
    ASSERT_TRUE(!none.text);
}

static void *write_slowly(void *fd)
{
    (void)!write(*(int *)fd, "one ", 4);
    (void)usleep(20000);
    (void)!write(*(int *)fd, "two", 3);
    (void)close(*(int *)fd);
    return NULL;
}

/* A pipe that does not block is read to its end, however late its writer is. */
TEST(pipe)
{
    _cleanup_(text_file_done) TextFile t = {.text = NULL};
    pthread_t thread;
    int fds[2];

    ASSERT_OK(pipe2(fds, O_CLOEXEC | O_NONBLOCK));
    ASSERT_OK(pthread_create(&thread, NULL, write_slowly, &fds[1]));
    ASSERT_OK(text_file_read(fds[0], 100, &t));
    ASSERT_EQ(t.size, 7);
    ASSERT_MEM(t.text, "one two", 7);
    (void)pthread_join(thread, NULL);
    (void)close(fds[0]);
}

TEST(append)
{
    _cleanup_(text_file_done) TextFile t = {.text = NULL};

    ASSERT_OK(text_file_append(&t, "", 0));
    for (size_t i = 0; i < 100000; i++)
        ASSERT_OK(text_file_append(&t, "abc", 3));
    ASSERT_EQ(t.size, 300000);
    for (size_t i = 0; i < t.size; i++)
        if (t.text[i] != "abc"[i % 3])
            TEST_FAIL("byte %zu", i);
}
