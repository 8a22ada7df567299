/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/store.h"
#include "store-direct.h"
#include "store-fixture.h"
#include "test.h"

/* A store on a file system of its own that is full or read-only. */

#define MOUNT_POINT "/tmp"
#define IMAGE MOUNT_POINT "/image"
#define DISK MOUNT_POINT "/disk"

/* In a mount namespace of its own, MOUNT_POINT becomes a small tmpfs. */
static const char *mount_small(const char *options)
{
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", MOUNT_POINT, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
        return "may not mount";
    return NULL;
}

static void unmount_small(_unused_ const char **mounted)
{
    (void)umount2(MOUNT_POINT, MNT_DETACH);
}

static int change(Store *s, const char *a)
{
    static const char padding[9000] = {[0 ... 8998] = 'p'};
    _cleanup_(secret_freep) Secret *secret = secret_new_copy("second", 6);
    _cleanup_(freep) char *meta = fixture_meta("a2"), *large = fixture_meta(padding);
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    char id[STORE_ID_SIZE];
    int r = store_begin(s, &t);

    if (r == 0)
        r = store_replace(t, a, meta, secret);
    for (int i = 0; r == 0 && i < 3; i++)
        r = store_add(t, large, secret, id);
    return r < 0 ? r : store_commit(t);
}

/* Takes all free inodes or pages but the given number. */
static int fill(unsigned pages, unsigned *inodes)
{
    _cleanup_(closep) int fd = open(MOUNT_POINT "/filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    char path[64], page[4096] = "";
    unsigned n = 0;

    if (fd < 0)
        return -errno;
    if (!inodes) {
        while (write(fd, page, sizeof(page)) > 0)
            n++;
        return n < pages || ftruncate(fd, (off_t)(n - pages) * 4096) < 0 ? -EIO : 0;
    }
    for (;; n++) {
        snprintf(path, sizeof(path), MOUNT_POINT "/filler-%u", n);
        if (mknod(path, S_IFREG | 0600, 0) < 0)
            break;
    }
    for (unsigned i = 0; i < *inodes; i++) {
        snprintf(path, sizeof(path), MOUNT_POINT "/filler-%u", i);
        (void)unlink(path);
    }
    return n < *inodes ? -EIO : 0;
}

/* With this number of pages or inodes left, a commit either fails and changes nothing, or succeeds.
 * Returns the number that it needs, or -1 for another outcome. */
static int find_need(const char *options, bool inodes)
{
    for (unsigned left = 0; left < 40; left++) {
        _cleanup_(unmount_small) const char *mounted = mount_small(options);
        _cleanup_(store_closep) Store *s = NULL;
        Fixture f = {.dir = ""};
        char a[STORE_ID_SIZE];
        size_t sound, broken;
        int r;

        if (mounted || fixture_new_in(MOUNT_POINT, &f) < 0 || direct_open(f.dir, &s, NULL) < 0 ||
            fixture_add(s, "a", "first", a) < 0 || fill(left, inodes ? &left : NULL) < 0)
            return -1;
        r = change(s, a);
        if (r == 0)
            return fixture_has(s, a, "a2", "second") ? (int)left : -1;
        for (int open = 0; open < 2; open++) {
            fixture_count(s, &sound, &broken);
            if (r != -ENOSPC || sound != 1 || broken != 0 || !fixture_has(s, a, "a", "first") ||
                fixture_has_new(f.dir))
                return -1;
            s = store_close(s);
            if (direct_open(f.dir, &s, NULL) < 0)
                return -1;
        }
        /* Once there is room again, it works. */
        if (unlink(MOUNT_POINT "/filler") < 0 || (inodes && unlink(MOUNT_POINT "/filler-39") < 0))
            return -1;
        if (!inodes && change(s, a) < 0)
            return -1;
    }
    return -1;
}

TEST(no_space)
{
    int need;

    if (geteuid() != 0 || mount_small("size=64k"))
        TEST_SKIP("may not mount");
    (void)umount2(MOUNT_POINT, MNT_DETACH);
    need = find_need("size=512k,nr_inodes=500", false);
    printf("# %d pages\n", need);
    /* The new file, beside the old one. */
    ASSERT_TRUE(need >= 6 && need <= 9);
}

TEST(no_inodes)
{
    int need;

    if (geteuid() != 0 || mount_small("size=64k"))
        TEST_SKIP("may not mount");
    (void)umount2(MOUNT_POINT, MNT_DETACH);
    need = find_need("size=512k,nr_inodes=100", true);
    printf("# %d inodes\n", need);
    ASSERT_EQ(need, 1);
}

TEST(read_only)
{
    Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    char a[STORE_ID_SIZE];

    if (geteuid() != 0 || mount_small("size=512k"))
        TEST_SKIP("may not mount");
    _cleanup_(unmount_small) _unused_ const char *mounted = NULL;
    ASSERT_OK(fixture_new_in(MOUNT_POINT, &f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(fixture_add(s, "a", "first", a));
    ASSERT_OK(mount("none", MOUNT_POINT, NULL, MS_REMOUNT | MS_RDONLY, NULL));
    ASSERT_EQ(change(s, a), -EROFS);
    ASSERT_TRUE(fixture_has(s, a, "a", "first"));
    s = store_close(s);
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_TRUE(fixture_has(s, a, "a", "first"));
    ASSERT_OK(mount("none", MOUNT_POINT, NULL, MS_REMOUNT, NULL));
    ASSERT_OK(change(s, a));
    ASSERT_TRUE(fixture_has(s, a, "a2", "second"));
}

/* A disk below MOUNT_POINT: a sparse image that grows as it is written. Returns NULL, or why there
 * is none. */
static const char *mount_image(void)
{
    if (system("truncate -s 8M " IMAGE " && mkfs.ext4 -q -b 1024 -O ^has_journal " IMAGE
               " 2>&1 && mkdir " DISK) != 0)
        return "needs mkfs.ext4";
    return system("mount -o loop,errors=continue " IMAGE " " DISK " 2>&1") == 0
               ? NULL
               : "needs loop devices and ext4";
}

static void unmount_image(_unused_ const char **mounted)
{
    /* This also frees its loop device. */
    (void)umount(DISK);
}

/* If the image cannot grow, a block cannot be written. write(2) succeeds, and only fsync(2) fails,
 * with EIO or another errno of the loop device. */
TEST(a_disk_that_cannot_write)
{
    Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    const char *cannot = geteuid() != 0 ? "may not mount" : mount_small("size=8m");
    _cleanup_(unmount_small) _unused_ const char *small = NULL;
    char a[STORE_ID_SIZE];
    int failed = 0, r;

    if (!cannot)
        cannot = mount_image();
    if (cannot)
        TEST_SKIP(cannot);
    _cleanup_(unmount_image) _unused_ const char *mounted = NULL;
    ASSERT_OK(fixture_new_in(DISK, &f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(fixture_add(s, "a", "first", a));
    sync();
    ASSERT_OK(fill(0, NULL));
    while ((r = change(s, a)) < 0 && failed < 3) {
        ASSERT_TRUE(r == -EIO || r == -ENOSPC);
        ASSERT_TRUE(fixture_has(s, a, "a", "first"));
        failed++;
    }
    ASSERT_EQ(failed, 3);
    ASSERT_OK(unlink(MOUNT_POINT "/filler"));
    ASSERT_OK(change(s, a));
    ASSERT_TRUE(fixture_has(s, a, "a2", "second"));
    s = store_close(s);

    /* Mounts it again, because the page cache proves nothing. */
    ASSERT_OK(umount(DISK));
    ASSERT_OK(system("mount -o loop " IMAGE " " DISK));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_TRUE(fixture_has(s, a, "a2", "second"));
    ASSERT_TRUE(!fixture_has_new(f.dir));
}
