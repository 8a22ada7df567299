/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * early: the init of a small initrd (host/early.sh). Loads the modules in /modules, in the order of
 * their names, mounts /dev/vda and starts the init of that.
 */

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fail(const char *what)
{
    printf("early: %s: %s\n", what, strerror(errno));
    /* A panic: the init of an initrd has ended. */
    return 1;
}

static void load(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    /* A processor may lack what a module is for. */
    if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0)
        (void)fail(path);
    if (fd >= 0)
        (void)close(fd);
}

int main(int argc, char *argv[])
{
    glob_t modules;

    (void)argc;
    (void)mkdir("/root", 0755);
    if (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) < 0)
        return fail("/dev");
    if (glob("/modules/*", 0, NULL, &modules) != 0)
        return fail("/modules");
    for (size_t i = 0; i < modules.gl_pathc; i++)
        load(modules.gl_pathv[i]);
    /* The disk appears a moment after its driver. */
    for (int i = 0; mount("/dev/vda", "/root", "ext4", 0, NULL) < 0; i++) {
        if (i == 500)
            return fail("/dev/vda");
        (void)usleep(20000);
    }
    if (mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) < 0 || chdir("/root") < 0 ||
        mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return fail("/root");
    argv[0] = "/sbin/init";
    (void)execv(argv[0], argv);
    return fail(argv[0]);
}
