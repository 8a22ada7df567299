/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <keyutils.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/names.h"
#include "basic/text.h"
#include "keyring/links.h"
#include "keyring/ring.h"

/* TLS PSKs have 32 or 48 bytes. */
#define PAYLOAD_MAX 48

/* "type;uid;gid;perm;" before the description itself. */
#define DESCRIBE_MAX (KEY_DESCRIPTION_MAX + 64)

/* The marks. This bit lets uid 0 change timeout and permissions, which it may do as possessor
 * anyway; add_key(2) never sets it. */
#define OWNER_PERM KEY_USR_SETATTR
#define HANDED_IN_PERM KEY_GRP_VIEW
/* The permissions that add_key(2) gives a readable key, for its possessor and its owner. */
#define DEFAULT_PERM (KEY_POS_ALL | KEY_USR_VIEW)

struct Ring {
    key_serial_t serial;
    const char *name;
    const char *key_type;
};

int32_t ring_serial(const Ring *r)
{
    return r->serial;
}

/* The permissions of `.nvme`: root and possessors may do everything but change its attributes. */
#define STAND_IN_PERMISSIONS                                                                       \
    ((KEY_POS_ALL | KEY_USR_ALL) & ~(key_perm_t)(KEY_POS_SETATTR | KEY_USR_SETATTR))

static key_serial_t stand_in_open(void)
{
    key_serial_t s =
        (key_serial_t)keyctl_search(KEY_SPEC_USER_KEYRING, "keyring", NAMES_RING_STAND_IN, 0);

    if (s >= 0)
        return s;
    /* A service's session does not lead to the user keyring, so make the ring in a keyring that we
     * possess, and then link it where others find it. */
    s = add_key("keyring", NAMES_RING_STAND_IN, NULL, 0, KEY_SPEC_PROCESS_KEYRING);
    if (s >= 0 &&
        (keyctl_setperm(s, STAND_IN_PERMISSIONS) < 0 || keyctl_link(s, KEY_SPEC_USER_KEYRING) < 0))
        return -1;
    return s;
}

/* Reads "SERIAL FLAGS USAGE TIMEOUT PERM UID GID TYPE DESCRIPTION: SUMMARY". The old `.nvme` stays
 * listed for minutes after nvme_keyring was unloaded, revoked. */
static bool is_ring(const char *line, unsigned *ret_serial)
{
    char flags[8], type[16], description[16];
    unsigned serial;

    if (sscanf(line, "%x %7s %*s %*s %*s %*s %*s %15s %15s", &serial, flags, type, description) !=
            4 ||
        strchr(flags, 'R') || strchr(flags, 'D') || strcmp(type, "keyring") != 0 ||
        strcmp(description, NAMES_RING ":") != 0)
        return false;
    *ret_serial = serial;
    return true;
}

/* A line of /proc/keys may be forged, because any user's description may hold a newline. Only the
 * kernel can make a keyring whose name begins with a dot. */
static bool is_nvme_keyring(key_serial_t serial)
{
    char text[64];
    long n = keyctl_describe(serial, text, sizeof(text) - 1);

    if (n <= 0 || (size_t)n >= sizeof(text))
        return false;
    text[n] = '\0';
    return text_after(text, "keyring;0;") && strcmp(strrchr(text, ';'), ";" NAMES_RING) == 0;
}

static key_serial_t find_ring(void)
{
    _cleanup_(fclosep) FILE *f = fopen("/proc/keys", "re");
    _cleanup_(freep) char *line = NULL;
    size_t size = 0;
    unsigned serial;

    while (f && getline(&line, &size, f) >= 0)
        if (is_ring(line, &serial) && serial <= INT32_MAX && is_nvme_keyring((key_serial_t)serial))
            return (key_serial_t)serial;
    return -1;
}

int ring_open(bool stand_in, Ring **ret)
{
    _cleanup_(freep) Ring *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;

    r->name = stand_in ? NAMES_RING_STAND_IN : NAMES_RING;
    r->key_type = stand_in ? NAMES_KEY_TYPE_STAND_IN : NAMES_KEY_TYPE;
    r->serial = stand_in ? stand_in_open() : find_ring();
    if (r->serial < 0)
        return stand_in ? -errno : -ENOKEY;
    if (keyctl_link(r->serial, KEY_SPEC_PROCESS_KEYRING) < 0)
        return -errno;

    *ret = TAKE_PTR(r);
    return 0;
}

const char *ring_error_text(int error)
{
    switch (error) {
    case -EDQUOT:
        return "the key quota of root is used up: raise the sysctls kernel.keys.root_maxkeys and "
               "kernel.keys.root_maxbytes (/proc/key-users shows what is used)";
    case -ENOKEY:
    case -EKEYREVOKED:
        return "the kernel has no such keyring now: nvme_keyring is not loaded";
    case -EACCES:
    case -EPERM:
        return "the kernel does not let nvme-keyd change the keyring";
    default:
        return strerror(-error);
    }
}

Ring *ring_close(Ring *r)
{
    if (r)
        (void)keyctl_unlink(r->serial, KEY_SPEC_PROCESS_KEYRING);
    free(r);
    return NULL;
}

int ring_share(const Ring *r)
{
    return keyctl_link(r->serial, KEY_SPEC_USER_KEYRING) < 0 ? -errno : 0;
}

void ring_list_done(const RingList *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->keys[i].description);
    free(l->keys);
}

/* Splits "type;uid;gid;perm;description"; the description may hold semicolons itself. */
static int parse_description(char *text, const char *type, RingKey *ret)
{
    char *fields[4], *p = text;
    long long gid;
    unsigned long perm;

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        fields[i] = p;
        p = strchr(p, ';');
        if (!p)
            return -EBADMSG;
        *p++ = '\0';
    }
    if (strcmp(fields[0], type) != 0)
        return -ENOENT;

    errno = 0;
    /* The kernel prints it as a signed number. */
    gid = strtoll(fields[2], NULL, 10);
    if (errno != 0 || gid < INT32_MIN || gid > UINT32_MAX)
        return -EBADMSG;
    perm = strtoul(fields[3], NULL, 16);
    if (errno != 0 || perm > UINT32_MAX)
        return -EBADMSG;
    ret->description = strdup(p);
    if (!ret->description)
        return -ENOMEM;
    ret->gid = (gid_t)gid;
    ret->owned = perm & OWNER_PERM;
    ret->handed_in = perm & HANDED_IN_PERM;
    return 0;
}

int ring_describe(const Ring *r, int32_t serial, RingKey *ret)
{
    char text[DESCRIBE_MAX + 1];
    long n = keyctl_describe(serial, text, sizeof(text) - 1);
    int e;

    if (n < 0)
        return -errno;
    if ((size_t)n >= sizeof(text))
        return -ENOKEY;
    text[n] = '\0';
    e = parse_description(text, r->key_type, ret);
    if (e < 0)
        return e == -ENOMEM ? e : -ENOKEY;
    ret->serial = serial;
    return 0;
}

int ring_list(const Ring *r, RingList *ret)
{
    _cleanup_(freep) int32_t *serials = NULL;
    _cleanup_(ring_list_done) RingList list = {NULL, 0};
    size_t n = 0;
    int e;

    e = links_read(r->serial, &serials, &n);
    if (e < 0)
        return e;
    list.keys = calloc(n + 1, sizeof(*list.keys));
    if (!list.keys)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        e = ring_describe(r, serials[i], &list.keys[list.n]);
        if (e == -ENOMEM)
            return e;
        /* Otherwise it is gone, dead, or invisible to us: not a key that we published. */
        list.n += e == 0;
    }

    *ret = list;
    list = (RingList){NULL, 0};
    return 0;
}

void ring_others_done(const RingOthers *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->items[i].description);
    free(l->items);
}

/* Returns -ENOENT for a key of this type, and what cannot be described. */
static int describe_other(int32_t serial, const char *type, RingOther *ret)
{
    char text[DESCRIBE_MAX + 1];
    long n = keyctl_describe(serial, text, sizeof(text) - 1);
    RingKey parts = {0};
    int e;

    if (n < 0 || (size_t)n >= sizeof(text))
        return -ENOENT;
    text[n] = '\0';
    n = (long)strcspn(text, ";");
    *ret = (RingOther){.serial = serial};
    if ((size_t)n >= sizeof(ret->type))
        return -ENOENT;
    memcpy(ret->type, text, (size_t)n);
    if (strcmp(ret->type, type) == 0)
        return -ENOENT;
    e = parse_description(text, ret->type, &parts);
    ret->description = parts.description;
    return e == -ENOMEM ? e : e < 0 ? -ENOENT : 0;
}

int ring_list_others(const Ring *r, RingOthers *ret)
{
    _cleanup_(freep) int32_t *serials = NULL;
    _cleanup_(ring_others_done) RingOthers list = {NULL, 0};
    size_t n = 0;
    int e = links_read(r->serial, &serials, &n);

    if (e < 0)
        return e;
    list.items = calloc(n + 1, sizeof(*list.items));
    if (!list.items)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        e = describe_other(serials[i], r->key_type, &list.items[list.n]);
        if (e == -ENOMEM)
            return e;
        list.n += e == 0;
    }
    *ret = list;
    list = (RingOthers){NULL, 0};
    return 0;
}

bool ring_updates(const Ring *r)
{
    return strcmp(r->key_type, NAMES_KEY_TYPE_STAND_IN) == 0;
}

bool ring_key_is_ours(const RingKey *k)
{
    gid_t own = getegid();

    return k->owned || (own != 0 && k->gid == own);
}

bool ring_key_is_configured(const RingKey *k)
{
    return text_after(k->description, "NVMe") && k->description[4] != '\0' &&
           k->description[5] == 'R';
}

int ring_mark(int32_t serial, bool handed_in)
{
    key_perm_t perm = DEFAULT_PERM | OWNER_PERM | (handed_in ? HANDED_IN_PERM : 0);

    return keyctl_setperm(serial, perm) < 0 ? -errno : 0;
}

int ring_add(const Ring *r, const char *description, const void *payload, size_t size,
             bool handed_in, int32_t *ret_serial)
{
    key_serial_t s = add_key(r->key_type, description, payload, size, r->serial);

    if (s < 0)
        return -errno;
    /* A key without the mark still works, and its group identifies it as ours. */
    (void)ring_mark(s, handed_in);
    *ret_serial = s;
    return 0;
}

bool ring_holds(const Ring *r, const char *description, int32_t serial)
{
    /* The kernel compares `psk` descriptions by their beginning, so another key may come back. */
    return keyctl_search(r->serial, r->key_type, description, 0) == serial;
}

int32_t ring_look_up(const Ring *r, const char *description)
{
    long s = keyctl_search(r->serial, r->key_type, description, 0);
    char text[DESCRIBE_MAX + 1];
    RingKey found = {0};
    bool exact;
    long n;

    n = s > 0 ? keyctl_describe((key_serial_t)s, text, sizeof(text) - 1) : -1;
    if (n < 0 || (size_t)n >= sizeof(text))
        return 0;
    text[n] = '\0';
    if (parse_description(text, r->key_type, &found) < 0)
        return 0;
    exact = strcmp(found.description, description) == 0;
    free(found.description);
    return exact ? (int32_t)s : 0;
}

int ring_key_state(int32_t serial)
{
    return keyctl_describe(serial, NULL, 0) < 0 ? -errno : 0;
}

bool ring_has_dead(const Ring *r, const char *no_description)
{
    return keyctl_search(r->serial, r->key_type, no_description, 0) >= 0 || errno != ENOKEY;
}

int ring_set_timeout(int32_t serial, unsigned timeout_sec)
{
    return keyctl_set_timeout(serial, timeout_sec) < 0 ? -errno : 0;
}

void ring_await_lookups(uint64_t added_usec)
{
    uint64_t now = now_monotonic(), end = added_usec + RING_LOOKUP_USEC;

    if (now < end)
        (void)usleep((useconds_t)(end - now));
}

int ring_unlink(const Ring *r, int32_t serial)
{
    if (keyctl_unlink(serial, r->serial) == 0 || errno == ENOENT)
        return 0;
    /* ENOKEY: the key was garbage-collected, or the ring is gone. */
    return errno == ENOKEY && keyctl_read(r->serial, NULL, 0) >= 0 ? 0 : -errno;
}

int ring_revoke(const Ring *r, int32_t serial)
{
    /* First, so that a process that ends here leaves no dead link. Where it fails, revoking is all
     * that can be done. */
    int e = ring_unlink(r, serial);

    (void)keyctl_revoke(serial);
    return e;
}

/* A line may be forged by a newline in a description. Then a key only counts as not ready. */
static bool is_under_construction(const char *line, unsigned *ret_serial)
{
    char flags[8];

    return sscanf(line, "%x %7s", ret_serial, flags) == 2 && strchr(flags, 'U') &&
           *ret_serial <= INT32_MAX;
}

int ring_under_construction(int32_t **ret, size_t *ret_n)
{
    _cleanup_(fclosep) FILE *f = fopen("/proc/keys", "re");
    _cleanup_(freep) int32_t *serials = NULL;
    _cleanup_(freep) char *line = NULL;
    size_t size = 0, n = 0;
    unsigned serial;

    if (!f)
        return -errno;
    while (getline(&line, &size, f) >= 0) {
        int32_t *grown;

        if (!is_under_construction(line, &serial))
            continue;
        grown = realloc(serials, (n + 1) * sizeof(*serials));
        if (!grown)
            return -ENOMEM;
        serials = grown;
        serials[n++] = (int32_t)serial;
    }
    if (ferror(f))
        return -EIO;
    *ret = TAKE_PTR(serials);
    *ret_n = n;
    return 0;
}

int ring_read(int32_t serial, Secret **ret)
{
    _cleanup_(secret_freep) Secret *bytes = secret_new(PAYLOAD_MAX + 1);
    long n;

    if (!bytes)
        return -ENOMEM;
    n = keyctl_read(serial, (char *)bytes->data, bytes->size);
    if (n < 0)
        return -errno;
    if (n != 32 && n != PAYLOAD_MAX)
        return -EMSGSIZE;
    *ret = secret_new_copy(bytes->data, (size_t)n);
    return *ret ? 0 : -ENOMEM;
}

int ring_key_equals(int32_t serial, const void *payload, size_t size)
{
    uint8_t bytes[PAYLOAD_MAX + 1];
    CLEANUP_ERASE(bytes);
    long n = keyctl_read(serial, (char *)bytes, sizeof(bytes));

    if (n < 0)
        return -errno;
    return (size_t)n == size && CRYPTO_memcmp(bytes, payload, size) == 0;
}
