/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/json.h"
#include "basic/limits.h"
#include "keyd-fixture.h"
#include "tree.h"

/* Exporting the store for a boot image, and a manager that works with an export. */

#define OTHER "nqn.2026-11.org.example:b"
#define THIRD "nqn.2026-11.org.example:c"

/* A directory for an export, beside the store. */
typedef struct Place {
    char dir[80];
    ExportResult result;
    char *detail;
} Place;

static void place_done(const Place *p)
{
    tree_remove(p->dir);
    free(p->detail);
}

static int export_all(Manager *m, json_object *nqns, Place *p)
{
    _cleanup_(store_export_freep) StoreExport *e = NULL;
    _cleanup_(closep) int fd = -EBADF;
    char path[96];
    const char *text;
    size_t size;
    int r = manager_export(m, nqns, &e, &p->result, &p->detail);

    snprintf(path, sizeof(path), "%s/store", p->dir);
    if (r == 0 && (fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0)
        r = -errno;
    while (r == 0 && store_export_next(e, &text, &size))
        r = io_write_all(fd, text, size);
    return r;
}

/* Exports the keys of up to two subsystems, or all keys if first is NULL. */
static int export(const Fixture *f, Place *p, const char *first, const char *second)
{
    _cleanup_(json_putp) json_object *nqns = first ? json_object_new_array() : NULL;

    place_done(p);
    *p = (Place){.dir = ""};
    if ((first && json_append_take(nqns, json_object_new_string(first)) < 0) ||
        (second && json_append_take(nqns, json_object_new_string(second)) < 0))
        return -ENOMEM;
    snprintf(p->dir, sizeof(p->dir), "%s-export", f->dir);
    if (mkdir(p->dir, 0700) < 0)
        return -errno;
    (void)fixture_open(f, f->m);
    return export_all(f->m, nqns, p);
}

/* Opens an export as the daemon of an initramfs does. */
static int boot(Fixture *f, const Place *p, Manager **ret)
{
    int r = fixture_new_manager(f, p->dir, ret);

    return r < 0 ? r : fixture_open(f, *ret);
}

TEST(keys_of_some_subsystems)
{
    _cleanup_(manager_freep) Manager *m = NULL;
    _cleanup_(place_done) Place p = {.dir = ""};
    char a[STORE_ID_SIZE], b[STORE_ID_SIZE];
    ReconcileResult s = {0};
    Key *k;
    FIXTURE;

    ASSERT_TRUE((k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1)));
    strcpy(a, k->id);
    ASSERT_TRUE((k = fixture_add(&f, OTHER, KEY_ROLE_TARGET, 2)));
    strcpy(b, k->id);
    ASSERT_TRUE(fixture_add(&f, THIRD, KEY_ROLE_HOST, 3));
    ASSERT_TRUE(fixture_rotate(&f, b, 4));

    ASSERT_OK(export(&f, &p, OTHER, SUBSYSTEM));
    ASSERT_EQ(p.result.keys, 3); /* one of them is retiring */
    ASSERT_EQ(p.result.broken, 0);
    setenv("SYSTEMD_IN_INITRD", "1", 1);
    ASSERT_OK(boot(&f, &p, &m));
    ASSERT_EQ(key_table_size(manager_keys(m)), 3);
    ASSERT_TRUE(key_table_find(manager_keys(m), a) && key_table_find(manager_keys(m), b));
    ASSERT_OK(fixture_sync_manager(&f, m, &s));
    m = manager_free(m);

    ASSERT_OK(export(&f, &p, NULL, NULL));
    ASSERT_EQ(p.result.keys, 4);
    ASSERT_OK(export(&f, &p, OTHER, OTHER));
    ASSERT_EQ(p.result.keys, 2);
}

TEST(what_is_asked_for_is_there)
{
    _cleanup_(place_done) Place p = {.dir = ""};
    Key *k;
    FIXTURE;

    ASSERT_EQ(export(&f, &p, NULL, NULL), -ENOMEDIUM);
    ASSERT_STR(p.detail, "there is no store yet");
    ASSERT_TRUE((k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1)));
    ASSERT_EQ(export(&f, &p, SUBSYSTEM, OTHER), -ENOENT);
    ASSERT_STR(p.detail, "no key is for the subsystem NQN \"" OTHER "\"");

    /* The only key is broken, so its subsystem is unknown. */
    ASSERT_TRUE(fixture_break(&f, k->id));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_EQ(export(&f, &p, SUBSYSTEM, NULL), -ENOENT);
    ASSERT_TRUE(p.detail && strstr(p.detail, "broken"));
    ASSERT_EQ(export(&f, &p, NULL, NULL), -ENOENT);
    ASSERT_TRUE(fixture_add(&f, OTHER, KEY_ROLE_HOST, 2));
    ASSERT_OK(export(&f, &p, NULL, NULL));
    ASSERT_EQ(p.result.keys, 1);
    ASSERT_EQ(p.result.broken, 1);
}

/* Outside of an initramfs an export must not open, because in the place of the store it would make
 * keys vanish. */
TEST(it_is_no_store_outside_of_an_initramfs)
{
    static const char *const no[] = {NULL, "", "0", "no"};
    _cleanup_(place_done) Place p = {.dir = ""};
    FIXTURE;

    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    ASSERT_OK(export(&f, &p, NULL, NULL));
    for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
        _cleanup_(manager_freep) Manager *m = NULL;

        (void)unsetenv("SYSTEMD_IN_INITRD");
        if (no[i])
            setenv("SYSTEMD_IN_INITRD", no[i], 1);
        ASSERT_EQ(boot(&f, &p, &m), -EROFS);
        ASSERT_TRUE(!manager_store(m));
        ASSERT_EQ(key_table_size(manager_keys(m)), 0);
        ASSERT_TRUE(strstr(vault_detail(manager_vault(m)), "export"));
    }
}

TEST(it_is_left_as_it_is)
{
    _cleanup_(place_done) Place p = {.dir = ""}, again = {.dir = ""};
    Fixture initramfs = {.dir = ""};
    _cleanup_(freep) char *detail = NULL;
    char old[STORE_ID_SIZE];
    ReconcileResult s = {0};
    Key *k = NULL;
    int r;
    FIXTURE;

    ASSERT_TRUE((k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1)));
    strcpy(old, k->id);
    f.config.retire_usec = USEC_PER_SEC;
    manager_set_config(f.m, &f.config);
    ASSERT_TRUE((k = fixture_rotate(&f, old, 2)));
    ASSERT_OK(export(&f, &p, NULL, NULL));
    ASSERT_EQ(p.result.keys, 2);

    setenv("SYSTEMD_IN_INITRD", "1", 1);
    initramfs = (Fixture){.config = f.config, .event = f.event};
    ASSERT_OK(boot(&f, &p, &initramfs.m));
    (void)usleep(1100 * 1000);
    /* The retiring key is past its deadline: it is withdrawn once, without another try. */
    r = fixture_sync(&initramfs, &s);
    if (r == 0 &&
        (key_table_find(manager_keys(initramfs.m), old) ||
         !key_table_find(manager_keys(initramfs.m), k->id) || manager_deadline(initramfs.m) != 0))
        r = -ESTALE;
    if (r == 0)
        r = fixture_try_add(&initramfs, OTHER, KEY_ROLE_HOST, 0, 3, &k) == -EROFS &&
                    manager_remove(initramfs.m, k->id, false, &detail) == -EROFS &&
                    export(&initramfs, &again, NULL, NULL) == -EROFS
                ? 0
                : -EUCLEAN;
    manager_free(initramfs.m);
    ASSERT_OK(r);
    /* The store still has all keys. */
    ASSERT_OK(export(&f, &p, NULL, NULL));
}
