/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nvme-keyd/tlshd/psk-hash.h"
#include "test.h"
#include "tree.h"

#define NEW "gnutls_psk_allocate_client_credentials2"

/* Looks at a program that has a name at an offset. */
static bool looks(size_t offset, const char *name, size_t size)
{
    char dir[] = "/tmp/keyd-psk-hash.XXXXXX", path[64];
    bool result;
    int fd;

    if (!mkdtemp(dir))
        abort();
    (void)snprintf(path, sizeof(path), "%s/tlshd", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0700);
    if (fd < 0 || pwrite(fd, name, size, (off_t)offset) != (ssize_t)size ||
        pwrite(fd, "end", 3, (off_t)offset + 5000) != 3)
        abort();
    close(fd);
    result = tlshd_offers_sha256(path);
    tree_remove(dir);
    return result;
}

TEST(by_the_function)
{
    ASSERT_TRUE(looks(100, "gnutls_psk_allocate_client_credentials", 39));
    ASSERT_TRUE(looks(100, NEW "x", sizeof(NEW) + 1));
    ASSERT_TRUE(looks(100, NEW, sizeof(NEW) - 2));
}

/* Wherever it stands: over the end of a piece that is read as well. */
TEST(at_any_offset)
{
    for (size_t offset = 4096 - sizeof(NEW) - 1; offset <= 4097; offset++)
        ASSERT_TRUE(!looks(offset, NEW, sizeof(NEW)));
    ASSERT_TRUE(!looks(0, NEW, sizeof(NEW)));
    ASSERT_TRUE(!looks(3 * 4096 - 7, NEW, sizeof(NEW)));
}

TEST(no_program)
{
    ASSERT_TRUE(!tlshd_offers_sha256("/nonexistent/tlshd"));
    ASSERT_TRUE(!tlshd_offers_sha256("/dev/null"));
    ASSERT_TRUE(!tlshd_offers_sha256("/"));
}
