/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-event.h>

#include "basic/limits.h"
#include "credstore/seal/ways.h"
#include "keyd-fixture.h"

/* Which store is opened, and what becomes of the keyring where it is another one. */

#define OTHER_ID "00000000000000000000000000000000"

static bool set(Config *c, const char *option, const char *value)
{
    return config_set(c, "Store", option, value) == 0;
}

/* A store with a key that is published, and then nothing but that. */
static bool make_store(Fixture *f, char ret_id[static STORE_IDENTITY_SIZE])
{
    if (!fixture_add(f, SUBSYSTEM, KEY_ROLE_HOST, 1))
        return false;
    strcpy(ret_id, store_identity(manager_store(f->m)));
    return true;
}

TEST(id)
{
    char id[STORE_IDENTITY_SIZE];
    SyncResult s;
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id));
    ASSERT_TRUE(set(&f.config, "Id", id));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.kept, 1);
    ASSERT_TRUE(!manager_store_is_refused(f.m) && !manager_store_is_foreign(f.m));

    ASSERT_TRUE(set(&f.config, "Id", OTHER_ID));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
    ASSERT_TRUE(!manager_store(f.m) && manager_store_is_foreign(f.m));
    ASSERT_TRUE(strstr(manager_store_detail(f.m), id) &&
                strstr(manager_store_detail(f.m), OTHER_ID));
    ASSERT_EQ(ring_size(), 1);
    ASSERT_TRUE(!fixture_add(&f, "nqn.2026-11.org.example:b", KEY_ROLE_HOST, 2));
    ASSERT_EQ(ring_size(), 1);

    /* Nor does it come in by the keyring being made anew. */
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
    ASSERT_EQ(ring_size(), 0);
}

TEST(id_of_a_store_that_is_gone)
{
    SyncResult s;
    char id[STORE_IDENTITY_SIZE], path[128];
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id));
    f.m = manager_free(f.m);
    (void)nftw(f.dir, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    ASSERT_OK(mkdir(f.dir, 0700));
    ASSERT_TRUE(set(&f.config, "Id", id));
    ASSERT_OK(manager_new(&f.config, f.dir, &f.m));
    ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
    ASSERT_TRUE(manager_store_is_foreign(f.m));
    ASSERT_EQ(ring_size(), 1);
    /* None is made in its place. */
    ASSERT_TRUE(!fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    ASSERT_TRUE(strstr(manager_store_detail(f.m), id));
    snprintf(path, sizeof(path), "%s/header.json", f.dir);
    ASSERT_TRUE(access(path, F_OK) < 0);

    ASSERT_TRUE(set(&f.config, "Id", ""));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
}

TEST(open_by)
{
    static const char *const good[] = {"systemd-creds", "systemd-creds:host tpm2", ""};
    static const char *const bad[] = {"tpm2 recovery",
                                      "systemd-creds:host+tpm2 systemd-creds:given"};
    char id[STORE_IDENTITY_SIZE];
    SyncResult s;
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ASSERT_TRUE(set(&f.config, "OpenBy", bad[i]));
        ASSERT_TRUE(fixture_restart(&f));
        ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
        ASSERT_TRUE(manager_store_is_refused(f.m) && !manager_store_is_foreign(f.m));
        ASSERT_TRUE(strstr(manager_store_detail(f.m), "sealed by the key host: OpenBy="));
        ASSERT_EQ(ring_size(), 1);
    }
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        ASSERT_TRUE(set(&f.config, "OpenBy", good[i]));
        ASSERT_TRUE(fixture_restart(&f));
        ASSERT_OK(fixture_sync(&f, &s));
        ASSERT_EQ(s.kept, 1);
    }
}

/* No slot is made that would not open the store. */
TEST(open_by_holds_for_new_slots)
{
    static const char *const types[] = {"systemd-creds", "recovery"};
    char id[STORE_IDENTITY_SIZE];
    SyncResult s;
    FIXTURE;

    ASSERT_TRUE(set(&f.config, "OpenBy", "tpm2"));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_TRUE(!fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    ASSERT_TRUE(set(&f.config, "OpenBy", ""));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_TRUE(make_store(&f, id));
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        const SlotRequest q = {.type = types[i]};
        _cleanup_(sealed_slot_done) SealedSlot sealed = {.id = ""};
        _cleanup_(freep) char *detail = NULL;
        Config narrow = f.config;

        ASSERT_TRUE(
            set(&narrow, "OpenBy", i == 0 ? "recovery systemd-creds:tpm2" : "systemd-creds"));
        ASSERT_OK(fixture_sync(&f, &s));
        /* The open store would be closed by a reload. */
        *(Config *)(uintptr_t)manager_config(f.m) = narrow;
        ASSERT_EQ(manager_seal_slot(f.m, &q, &sealed, &detail), -EXDEV);
        ASSERT_TRUE(detail && strstr(detail, "OpenBy="));
        *(Config *)(uintptr_t)manager_config(f.m) = f.config;
    }
    ASSERT_EQ(json_object_array_length(store_slots(manager_store(f.m))), 1);
}

/* What makes no sense opens nothing. */
TEST(bad_values)
{
    static const struct {
        const char *option, *value, *words;
    } bad[] = {
        {"OpenBy", "systemd-cred", "OpenBy="},
        {"OpenBy", "tpm2, systemd-creds", "OpenBy="},
        {"Id", "12345", "is no id"},
        {"Id", "0123456789ABCDEF0123456789ABCDEF", "is no id"},
    };
    char id[STORE_IDENTITY_SIZE];
    SyncResult s;
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        f.config = config_default;
        f.config.stand_in = true;
        ASSERT_EQ(config_set(&f.config, "Store", bad[i].option, bad[i].value), -EINVAL);
        ASSERT_TRUE(fixture_restart(&f));
        ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
        ASSERT_TRUE(strstr(manager_store_detail(f.m), bad[i].words));
        ASSERT_EQ(ring_size(), 1);
    }
}

TEST(reload)
{
    char id[STORE_IDENTITY_SIZE];
    Config other;
    SyncResult s;
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id));
    other = f.config;
    ASSERT_TRUE(set(&other, "Id", OTHER_ID));
    manager_set_config(f.m, &other);
    ASSERT_TRUE(!manager_store(f.m));
    ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
    ASSERT_EQ(ring_size(), 1);
    manager_set_config(f.m, &f.config);
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.kept, 1);
}

/* A TPM that takes commands and never answers, and a loop for those who wait for it. */
typedef struct Waiting {
    sd_event *event;
    int tpm_fd;
    char tpm[64];
    int calls; /* of the hook */
} Waiting;

static void on_ready(_unused_ ManagerEvent event, void *userdata)
{
    ((Waiting *)userdata)->calls++;
}

static bool waiting_new(Waiting *w, Fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char tcti[128];
    sigset_t set;

    snprintf(w->tpm, sizeof(w->tpm), "/tmp/%s.tpm", strrchr(f->dir, '/') + 1);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", w->tpm);
    snprintf(tcti, sizeof(tcti), "swtpm:path=%s", w->tpm);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || sd_event_new(&w->event) < 0)
        return false;
    w->tpm_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    manager_set_loop(f->m, w->event, on_ready, w);
    return w->tpm_fd >= 0 && bind(w->tpm_fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
           listen(w->tpm_fd, 4) == 0 && setenv("NVME_KEYD_TCTI", tcti, 1) == 0;
}

static void waiting_done(Waiting *w)
{
    sd_event_unref(w->event);
    if (w->tpm_fd >= 0)
        close(w->tpm_fd);
    if (w->tpm[0])
        (void)unlink(w->tpm);
    unsetenv("NVME_KEYD_TCTI");
}

/* Whether the hook is called for the end of something before nothing happens for 3 s. */
static bool is_told(Waiting *w)
{
    while (w->calls == 0 && sd_event_run(w->event, 3 * USEC_PER_SEC) > 0)
        ;
    return w->calls > 0;
}

static bool add_recovery_key(Fixture *f, Secret **ret)
{
    const SlotRequest q = {.type = "recovery"};
    _cleanup_(sealed_slot_done) SealedSlot sealed = {.id = ""};
    _cleanup_(freep) char *detail = NULL;

    if (manager_seal_slot(f->m, &q, &sealed, &detail) < 0)
        return false;
    *ret = TAKE_PTR(sealed.recovery_key);
    return true;
}

#define COUNTER 0x1a01234

/* An unlocking that fails has ended what others wait for: they hear of it, and ask again. */
TEST(unlock_that_ends_a_task_and_fails)
{
    _cleanup_(secret_freep) Secret *key = NULL;
    _cleanup_(freep) char *detail = NULL, *why = NULL;
    char id[STORE_IDENTITY_SIZE];
    _cleanup_(waiting_done) Waiting w = {.tpm_fd = -1};
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id) && add_recovery_key(&f, &key));
    ASSERT_TRUE(set(&f.config, "Id", OTHER_ID));
    ASSERT_TRUE(fixture_restart(&f) && waiting_new(&w, &f));
    if (manager_remove_counter(f.m, COUNTER, &detail) != -EINPROGRESS)
        TEST_SKIP("needs the TPM2 libraries");
    ASSERT_EQ(manager_unlock(f.m, key, &why), -EXDEV);
    ASSERT_TRUE(!manager_is_working(f.m));
    ASSERT_EQ(w.calls, 0);
    ASSERT_TRUE(manager_store_detail(f.m) && strstr(manager_store_detail(f.m), OTHER_ID));
    ASSERT_TRUE(is_told(&w));
}

/* A wrong key ends nothing, and leaves no lock on the store that keeps the next one from it. */
TEST(unlock_with_a_wrong_key_beside_a_task)
{
    _cleanup_(secret_freep) Secret *key = NULL;
    _cleanup_(freep) char *detail = NULL, *why = NULL;
    char id[STORE_IDENTITY_SIZE];
    SyncResult s;
    _cleanup_(waiting_done) Waiting w = {.tpm_fd = -1};
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id) && add_recovery_key(&f, &key));
    ASSERT_TRUE(fixture_restart(&f) && waiting_new(&w, &f));
    if (manager_remove_counter(f.m, COUNTER, &detail) != -EINPROGRESS)
        TEST_SKIP("needs the TPM2 libraries");
    key->data[0] ^= 1;
    ASSERT_EQ(manager_unlock(f.m, key, &why), -EKEYREJECTED);
    ASSERT_TRUE(manager_is_working(f.m));
    /* The TPM is gone, and the task ends. */
    close(w.tpm_fd);
    w.tpm_fd = -1;
    while (manager_is_working(f.m))
        ASSERT_TRUE(sd_event_run(w.event, 30 * USEC_PER_SEC) > 0);
    manager_set_loop(f.m, NULL, NULL, NULL);
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.kept, 1);
}
