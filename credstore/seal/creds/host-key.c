/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "basic/detail.h"
#include "basic/io.h"
#include "basic/text.h"
#include "credstore/seal/creds/host-key.h"

#define SECRET_FILE "/var/lib/systemd/credential.secret"
#define MACHINE_ID_FILE "/etc/machine-id"

#define ID_SIZE 16
/* Hex digits and a newline. */
#define ID_TEXT_MAX (2 * ID_SIZE + 1)

/* The application id by which systemd hashes the machine id here (src/shared/creds-util.c). */
static const uint8_t application[ID_SIZE] = {0xd3, 0xac, 0xec, 0xba, 0x0d, 0xad, 0x4c, 0xdf,
                                             0xb8, 0xc9, 0x38, 0x15, 0x28, 0x93, 0x6c, 0x58};

HostKey host_key_of_system(void)
{
    return (HostKey){.secret = SECRET_FILE, .machine_id = MACHINE_ID_FILE};
}

static int parse_machine_id(const char *text, size_t size, uint8_t ret[static ID_SIZE])
{
    uint8_t any = 0;

    if (size == ID_TEXT_MAX && text[size - 1] == '\n')
        size--;
    if (size != 2 * (size_t)ID_SIZE)
        return -EINVAL;
    for (size_t i = 0; i < ID_SIZE; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return -EINVAL;
        ret[i] = (uint8_t)(high << 4 | low);
        any |= ret[i];
    }
    return any ? 0 : -EINVAL;
}

/* sd_id128_get_machine_app_specific(3) would cache the machine id, and reads only one path. Returns
 * -ENODATA if systemd finds no machine id. */
static int hash_machine_id(const char *path, uint8_t ret[static ID_SIZE])
{
    uint8_t digest[EVP_MAX_MD_SIZE], id[ID_SIZE];
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    char text[ID_TEXT_MAX + 1];
    size_t size;
    ssize_t n;

    if (fd < 0)
        return errno == ENOENT ? -ENODATA : -errno;
    n = read(fd, text, sizeof(text));
    if (n < 0)
        return -errno;
    /* "uninitialized" does not parse. */
    if (parse_machine_id(text, (size_t)n, id) < 0)
        return -ENODATA;
    if (!EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, id, sizeof(id), application,
                   sizeof(application), digest, sizeof(digest), &size) ||
        size < ID_SIZE)
        return -ENOMEM;
    memcpy(ret, digest, ID_SIZE);
    /* Marks it as a UUID of version 4. */
    ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x40);
    ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80);
    return 0;
}

/* Reads the hash at the beginning of the secret. Returns -EINVAL for a file that systemd refuses
 * before it reads the hash. */
static int read_owner(const char *path, uint8_t ret[static ID_SIZE])
{
    _cleanup_(closep) int fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0)
        return errno == ELOOP ? -EINVAL : -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    n = read(fd, ret, ID_SIZE);
    if (n < 0)
        return -errno;
    return n == ID_SIZE ? 0 : -EINVAL;
}

int host_key_state(const HostKey *key)
{
    uint8_t owner[ID_SIZE], machine[ID_SIZE];
    int r = read_owner(key->secret, owner);

    if (r == -ENOENT || r == -ENOTDIR)
        return HOST_KEY_ABSENT;
    if (r == 0)
        r = hash_machine_id(key->machine_id, machine);
    if (r == -EINVAL || r == -ENODATA)
        return HOST_KEY_UNUSABLE;
    if (r < 0)
        return r;
    return memcmp(owner, machine, ID_SIZE) == 0 ? HOST_KEY_OURS : HOST_KEY_FOREIGN;
}

int host_key_check(const HostKey *key, char **reterr_detail)
{
    int r = host_key_state(key);

    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return detail_set(reterr_detail, -EKEYREJECTED,
                          "%s or %s cannot be read (%s), and systemd deletes a host key of another "
                          "machine id",
                          key->secret, key->machine_id, strerror(-r));
    if (r == HOST_KEY_FOREIGN)
        return detail_set(reterr_detail, -EKEYREJECTED,
                          "the host key %s was made under another machine id, and systemd would "
                          "delete it: restore the old id in %s, or move the host key away and use "
                          "the recovery key",
                          key->secret, key->machine_id);
    return 0;
}

static bool is_in_memory(const char *path)
{
    struct statfs fs;

    return statfs(path, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

bool host_key_is_transient(const HostKey *key)
{
    /* True also for /run/machine-id, which systemd mounts there if /etc is read-only. */
    return is_in_memory(key->machine_id);
}

bool host_key_can_be_made(const HostKey *key)
{
    const char *slash = strrchr(key->secret, '/');
    char dir[PATH_MAX];

    if (!slash || (size_t)(slash - key->secret) >= sizeof(dir))
        return false;
    (void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - key->secret), key->secret);
    return access(dir, W_OK | X_OK) == 0 && !is_in_memory(dir);
}
