/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/macro.h"
#include "basic/names.h"
#include "credstore/head.h"
#include "credstore/keyslots.h"
#include "credstore/seal/limits.h"
#include "store-fixture.h"
#include "tree.h"

static const char fixture_kek[] = "0123456789abcdef0123456789ABCDEF";

void fixture_done(Fixture *f)
{
    tree_remove(f->top);
}

int fixture_write(const char *path, const void *data, size_t size)
{
    _cleanup_(closep) int fd = -EBADF;

    (void)unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : io_write_all(fd, data, size);
}

int fixture_read(const char *path, char **ret, size_t *ret_size)
{
    return tree_read(path, ret, ret_size);
}

int fixture_write_store(const char *dir, const char *slot_members)
{
    _cleanup_(json_putp) json_object *slot = json_tokener_parse(slot_members);
    _cleanup_(secret_freep) Secret *kek = secret_new_copy(fixture_kek, STORE_KEY_SIZE), *key = NULL;
    _cleanup_(header_done) Header header = {.generation = 1, .slots = json_object_new_array()};
    _cleanup_(sealer_freep) Sealer *s = NULL;
    _cleanup_(freep) char *text = NULL;
    char path[128];
    size_t size;

    strcpy(header.id, "00112233445566778899aabbccddeeff");
    if (sealer_new(&s) < 0 || secret_random(STORE_KEY_SIZE, &key) < 0 || !kek ||
        json_add_string(slot, "type", "systemd-creds") < 0 ||
        json_add_string(slot, "id", "01020304") < 0 ||
        keyslots_wrap(s, header.id, slot, kek, key) < 0 ||
        json_append_take(header.slots, json_object_get(slot)) < 0 ||
        head_format(s, key, &header, NULL, 0, &text, &size) < 0)
        return -EIO;
    snprintf(path, sizeof(path), "%s/store", dir);
    return fixture_write(path, text, size);
}

int fixture_new_in(const char *below, Fixture *f)
{
    char path[128];

    snprintf(f->top, sizeof(f->top), "%s/test-store-XXXXXX", below);
    if (!mkdtemp(f->top)) {
        f->top[0] = '\0';
        return -errno;
    }
    snprintf(f->dir, sizeof(f->dir), "%s/store", f->top);
    if (mkdir(f->dir, 0700) < 0)
        return -errno;
    snprintf(path, sizeof(path), "%s/" NAMES_KEK_CREDENTIAL, f->top);
    setenv("CREDENTIALS_DIRECTORY", f->top, 1);
    if (fixture_write(path, fixture_kek, STORE_KEY_SIZE) < 0)
        return -EIO;
    return fixture_write_store(f->dir, "{}");
}

int fixture_new(Fixture *f)
{
    const char *below = getenv("TMPDIR");

    if (!below || strlen(below) >= 32)
        below = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    return fixture_new_in(below, f);
}

void fixture_path(const Fixture *f, const char *name, char ret[static 160])
{
    snprintf(ret, 160, "%s/%s", f->dir, name);
}

bool fixture_exists(const Fixture *f, const char *name)
{
    char path[160];

    fixture_path(f, name, path);
    return access(path, F_OK) == 0;
}

char *fixture_find_line(const char *text, size_t size, const char *id, size_t *ret_size)
{
    char start[32], *line, *end;

    snprintf(start, sizeof(start), "\n{\"id\":\"%s", id);
    line = memmem(text, size, start, strlen(start));
    if (!line)
        return NULL;
    line++;
    end = memchr(line, '\n', size - (size_t)(line - text));
    *ret_size = end ? (size_t)(end - line) : size - (size_t)(line - text);
    return line;
}

size_t fixture_head_size(const char *text, size_t size)
{
    Head head = {.size = 0};

    return head_split(text, size, &head) < 0 ? 0 : head.size;
}

bool fixture_has_new(const char *dir)
{
    char path[160];

    snprintf(path, sizeof(path), "%s/store.new", dir);
    return access(path, F_OK) == 0;
}

char *fixture_meta(const char *name)
{
    char *meta;

    return asprintf(&meta, "{\"name\":\"%s\"}", name) < 0 ? NULL : meta;
}

const char *fixture_name(const StoreRecord *record)
{
    static char name[1024];
    _cleanup_(json_putp) json_object *meta = NULL;
    const char *text;

    if (!record || !record->meta || json_parse(record->meta, record->meta_size, 15, &meta) < 0 ||
        json_get_string(meta, "name", &text) <= 0)
        return NULL;
    snprintf(name, sizeof(name), "%s", text);
    return name;
}

int fixture_add(Store *s, const char *name, const char *secret, char ret_id[static STORE_ID_SIZE])
{
    _cleanup_(secret_freep) Secret *copy = secret_new_copy(secret, strlen(secret));
    _cleanup_(freep) char *meta = fixture_meta(name);
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    int r = store_begin(s, &t);

    if (r == 0)
        r = store_add(t, meta, copy, ret_id);
    return r < 0 ? r : store_commit(t);
}

int fixture_replace(Store *s, const char *id, const char *name, const char *secret)
{
    _cleanup_(secret_freep) Secret *copy = secret ? secret_new_copy(secret, strlen(secret)) : NULL;
    _cleanup_(freep) char *meta = fixture_meta(name);
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    int r = store_begin(s, &t);

    if (r == 0)
        r = store_replace(t, id, meta, copy);
    return r < 0 ? r : store_commit(t);
}

int fixture_delete(Store *s, const char *id)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    int r = store_begin(s, &t);

    if (r == 0)
        r = store_remove(t, id);
    return r < 0 ? r : store_commit(t);
}

bool fixture_has(Store *s, const char *id, const char *name, const char *secret)
{
    _cleanup_(secret_freep) Secret *got = NULL;
    const StoreRecord *record = store_find(s, id);

    return record && record->error == 0 && fixture_name(record) &&
           strcmp(fixture_name(record), name) == 0 && store_unseal(s, id, &got) == 0 &&
           got->size == strlen(secret) && memcmp(got->data, secret, got->size) == 0;
}

static int fixture_count_one(const StoreRecord *record, void *userdata)
{
    size_t *n = userdata;

    n[record->error < 0]++;
    return 0;
}

void fixture_count(Store *s, size_t *ret_sound, size_t *ret_broken)
{
    size_t n[2] = {0, 0};

    store_for_each(s, fixture_count_one, n);
    *ret_sound = n[0];
    *ret_broken = n[1];
}

int fixture_open_by_recovery(const char *dir, const Secret *key, Store **ret)
{
    _cleanup_(secret_freep) Secret *found = NULL;
    _cleanup_(store_closep) Store *s = NULL;
    int r = store_attach(dir, &s, NULL);

    if (r == 0)
        r = store_find_key_by_recovery(s, key, &found);
    if (r == 0)
        r = store_unlock(s, found, NULL);
    if (r == 0)
        *ret = TAKE_PTR(s);
    return r;
}
