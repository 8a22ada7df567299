/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/detail.h"
#include "basic/encoding.h"
#include "basic/names.h"
#include "basic/text.h"
#include "credstore/seal/creds/blob.h"
#include "nvme-keyd/handed/handed-line.h"
#include "nvme-keyd/handed/handed.h"
#include "nvme-keyd/handed/limits.h"
#include "nvme-keyd/keys/key-make.h"
#include "psk/hostnqn.h"
#include "psk/limits.h"

/* A credential and the index of its directory in places. */
typedef struct Found {
    char *name;
    size_t place;
} Found;

typedef struct FoundList {
    Found *items;
    size_t n;
} FoundList;

static const char *const places[] = {"CREDENTIALS_DIRECTORY", NAMES_ENV_CREDENTIALS};

static void found_list_done(const FoundList *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->items[i].name);
    free(l->items);
}

/* The id is a hash of role and identities, so a handed-in key has the same id in every boot. */
static int set_id(Key *k)
{
    char text[sizeof("target") + KEY_VERSIONS * (PSK_IDENTITY_MAX + 1) + 1];
    uint8_t digest[EVP_MAX_MD_SIZE];
    size_t size;
    int n = snprintf(text, sizeof(text), "%s\n%s\n%s", key_role_to_string(k->role),
                     k->identities[0] ? k->identities[0] : "",
                     k->identities[1] ? k->identities[1] : "");

    if (n < 0 || (size_t)n >= sizeof(text) ||
        EVP_Q_digest(NULL, "SHA256", NULL, text, (size_t)n, digest, &size) != 1)
        return -EIO;
    hex_encode(digest, (KEY_ID_SIZE - 1) / 2, k->id);
    return 0;
}

/* Makes the key that an import of the line would make. own: the host NQN for a line that names
 * none. */
static int make_key(const HandedLine *l, const char *own, Key **ret, Secret **ret_payload,
                    char **reterr_detail)
{
    const KeyfileLine *f = &l->key;
    KeyRequest q = {.hostnqn = *f->hostnqn ? f->hostnqn : own,
                    .subsysnqn = f->subsysnqn,
                    .role = l->role,
                    .versions = l->versions,
                    .derivation = l->derivation,
                    .hash = f->hash,
                    .configured = f->psk};

    return key_make(&q, *f->identity ? f->identity : NULL, ret, ret_payload, reterr_detail);
}

static int open_credential(const char *dir, const char *name)
{
    _cleanup_(closep) int dirfd = -EBADF, fd = -EBADF;
    struct stat st;

    dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return -errno;
    fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    return S_ISREG(st.st_mode) ? TAKE_FD(fd) : -EINVAL;
}

static int read_again(const Key *k, Secret **ret)
{
    _cleanup_(secret_freep) Secret *line = NULL;
    _cleanup_(closep) int fd = -EBADF;
    ssize_t n;

    for (size_t i = 0; i < ARRAY_SIZE(places) && fd < 0; i++) {
        const char *dir = secure_getenv(places[i]);

        fd = dir ? open_credential(dir, k->handed_by) : -ENOENT;
    }
    if (fd < 0)
        return fd;
    line = secret_new(k->handed_length);
    if (!line)
        return -ENOMEM;
    n = pread(fd, line->data, line->size, (off_t)k->handed_offset);
    if (n < 0)
        return -errno;
    if ((size_t)n != line->size)
        return -ESTALE;
    *ret = TAKE_PTR(line);
    return 0;
}

static bool same_identities(const Key *a, const Key *b)
{
    for (unsigned v = 0; v < KEY_VERSIONS; v++)
        if (!a->identities[v] != !b->identities[v] ||
            (a->identities[v] && strcmp(a->identities[v], b->identities[v]) != 0))
            return false;
    return true;
}

static int derive_again(const Key *k, _unused_ void *userdata, Secret **ret_payload)
{
    _cleanup_(handed_line_done) HandedLine l = {.role = KEY_ROLE_HOST};
    _cleanup_(secret_freep) Secret *line = NULL, *payload = NULL;
    _cleanup_(key_freep) Key *again = NULL;
    _cleanup_(freep) char *detail = NULL;
    int r = read_again(k, &line);

    if (r < 0 || !line)
        return r;
    r = handed_line_parse((const char *)line->data, line->size, &l);
    if (r == 0 && !l.key.psk)
        r = -ESTALE;
    if (r == 0)
        r = make_key(&l, k->hostnqn, &again, &payload, &detail);
    if (r != 0)
        return r > 0 ? -ESTALE : r;
    if (!same_identities(k, again))
        return -ESTALE;
    *ret_payload = TAKE_PTR(payload);
    return 0;
}

static const KeySource handed_source = {.unseal = derive_again, .is_persistent = false};

/* Makes a key from a line. Deriving its payload is only a check here: derive_again() makes it when
 * it is needed. */
static int read_line(const char *name, const char *line, size_t length, const char *hostnqn,
                     Key **ret, char **reterr_detail)
{
    _cleanup_(handed_line_done) HandedLine l = {.role = KEY_ROLE_HOST};
    _cleanup_(secret_freep) Secret *payload = NULL;
    _cleanup_(key_freep) Key *k = NULL;
    int r = handed_line_parse(line, length, &l);

    if (r > 0)
        return detail_set(reterr_detail, -EINVAL, "%s", handed_line_error_text(r));
    if (r < 0 || !l.key.psk)
        return r;
    if (!*l.key.hostnqn && l.role == KEY_ROLE_TARGET)
        return detail_set(
            reterr_detail, -EINVAL,
            "a key with role=target needs the NQN of the connecting host before the NQN "
            "of the subsystem, because the default is the host NQN of this machine");
    if (!*l.key.hostnqn && !hostnqn)
        return detail_set(reterr_detail, -ENODATA,
                          "no host NQN given, and none in " NAMES_HOSTNQN_FILE ": " HOSTNQN_ADVICE);
    r = make_key(&l, hostnqn, &k, &payload, reterr_detail);
    if (r < 0)
        return r;
    k->created_usec = k->changed_usec = 0;
    k->source = &handed_source;
    k->handed_by = strdup(name);
    if (!k->handed_by)
        return -ENOMEM;
    r = set_id(k);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(k);
    return 0;
}

/* Reports a credential that systemd handed in still sealed as one problem instead of one a line. */
static bool is_still_sealed(const char *name, const char *text, size_t size, const HandedVisitor *v)
{
    const CredsKeyType *type = creds_blob_find_key_type(text, size);
    _cleanup_(freep) char *detail = NULL;

    if (!type)
        return false;
    (void)detail_set(&detail, -EINVAL,
                     "still sealed (by %s): use ImportCredential= or LoadCredentialEncrypted=, "
                     "because LoadCredential= does not unseal",
                     type->name);
    v->on_problem(name, 0, detail ? detail : "still sealed", v->userdata);
    return true;
}

int handed_read_text(const char *name, const char *text, size_t size, const HandedVisitor *v)
{
    const char *end = text + size, *next;
    int r = 0;

    if (is_still_sealed(name, text, size, v))
        return 0;
    for (size_t line = 1; r >= 0 && text < end; line++, text = next) {
        _cleanup_(freep) char *detail = NULL;
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((newline ? newline : end) - text);
        Key *k = NULL;

        next = newline ? newline + 1 : end;
        r = read_line(name, text, length, v->hostnqn, &k, &detail);
        if (k) {
            k->handed_offset = size - (size_t)(end - text);
            k->handed_length = length;
            r = v->on_key(k, line, v->userdata);
        } else if (r == -EINVAL || r == -ENODATA) {
            v->on_problem(name, line, detail ? detail : strerror(-r), v->userdata);
            r = 0;
        }
    }
    return r;
}

bool handed_is_credential(const char *name)
{
    const char *rest = text_after(name, NAMES_PSK_CREDENTIAL);

    return rest && (*rest == '\0' || *rest == '.');
}

static bool is_found(const FoundList *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->items[i].name, name) == 0)
            return true;
    return false;
}

/* Adds the names in one directory; the directory before takes precedence. */
static int find_in(size_t place, FoundList *l)
{
    const char *path = secure_getenv(places[place]);
    _cleanup_(closedirp) DIR *dir = path ? opendir(path) : NULL;
    const FoundList before = *l;
    const struct dirent *e;

    if (!dir)
        return !path || errno == ENOENT ? 0 : -errno;
    while (errno = 0, (e = readdir(dir))) {
        if (!handed_is_credential(e->d_name) || is_found(&before, e->d_name))
            continue;
        if (l->n == HANDED_FILES_MAX)
            return -E2BIG;
        l->items[l->n].name = strdup(e->d_name);
        if (!l->items[l->n].name)
            return -ENOMEM;
        l->items[l->n++].place = place;
    }
    return -errno;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const Found *)a)->name, ((const Found *)b)->name);
}

/* Reads one credential. Its own problems go to on_problem(); an error concerns all credentials. */
static int read_credential(const Found *f, const HandedVisitor *v)
{
    _cleanup_(secret_freep) Secret *text = NULL;
    _cleanup_(closep) int fd = -EBADF;
    int r = 0;

    if (!text_is_printable(f->name)) {
        v->on_problem(NULL, 0, "the name of a credential has unprintable characters", v->userdata);
        return 0;
    }
    fd = open_credential(secure_getenv(places[f->place]), f->name);
    r = fd < 0 ? fd : secret_read_fd(fd, HANDED_SIZE_MAX, 0, &text);
    if (r == -ENOMEM || r == -ENODATA)
        return r == -ENODATA ? 0 : r;
    if (r < 0)
        v->on_problem(f->name, 0,
                      r == -EFBIG ? "more than 32000 bytes: split the credential" : strerror(-r),
                      v->userdata);
    return text ? handed_read_text(f->name, (const char *)text->data, text->size, v) : 0;
}

/* This mark is handed in together with the credentials, so without it some may be missing. */
static bool were_fetched(void)
{
    const char *dir = secure_getenv(NAMES_ENV_CREDENTIALS);
    _cleanup_(closep) int fd = dir ? open_credential(dir, NAMES_FETCHED_CREDENTIAL) : -EBADF;

    return !dir || fd >= 0;
}

int handed_read(const HandedVisitor *v)
{
    _cleanup_(found_list_done) FoundList l = {NULL, 0};
    int r = 0;

    l.items = calloc(HANDED_FILES_MAX, sizeof(*l.items));
    if (!l.items)
        return -ENOMEM;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        r = find_in(i, &l);
        if (r == -ENOMEM)
            return r;
        if (r < 0)
            v->on_problem(NULL, 0, r == -E2BIG ? "too many credentials" : strerror(-r),
                          v->userdata);
    }
    qsort(l.items, l.n, sizeof(*l.items), compare_names);
    r = 0;
    for (size_t i = 0; i < l.n && r >= 0; i++)
        r = read_credential(&l.items[i], v);
    return r < 0 ? r : were_fetched();
}
