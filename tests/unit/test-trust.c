/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-event.h>

#include "basic/limits.h"
#include "credstore/seal/ways.h"
#include "keyd-fixture.h"
#include "nvme-keyd/vault/vault-private.h"
#include "tree.h"

/* Which store is opened, and the fate of the keyring if it is another one. */

#define OTHER_ID "00000000000000000000000000000000"

static bool set(Config *c, const char *option, const char *value)
{
    return config_set(c, "Store", option, value) == 0;
}

/* Makes a store with one published key. */
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
    ReconcileResult s;
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id));
    ASSERT_TRUE(set(&f.config, "Id", id));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.kept, 1);
    ASSERT_TRUE(!vault_is_refused(manager_vault(f.m)) && !vault_is_foreign(manager_vault(f.m)));

    ASSERT_TRUE(set(&f.config, "Id", OTHER_ID));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
    ASSERT_TRUE(!manager_store(f.m) && vault_is_foreign(manager_vault(f.m)));
    ASSERT_TRUE(strstr(vault_detail(manager_vault(f.m)), id) &&
                strstr(vault_detail(manager_vault(f.m)), OTHER_ID));
    ASSERT_EQ(ring_size(), 1);
    ASSERT_TRUE(!fixture_add(&f, "nqn.2026-11.org.example:b", KEY_ROLE_HOST, 2));
    ASSERT_EQ(ring_size(), 1);

    /* Its key does not get into a new keyring either. */
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
    ASSERT_EQ(ring_size(), 0);
}

TEST(id_of_a_store_that_is_gone)
{
    ReconcileResult s;
    char id[STORE_IDENTITY_SIZE], path[128];
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id));
    f.m = manager_free(f.m);
    tree_remove(f.dir);
    ASSERT_OK(mkdir(f.dir, 0700));
    ASSERT_TRUE(set(&f.config, "Id", id));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
    ASSERT_TRUE(vault_is_foreign(manager_vault(f.m)));
    ASSERT_EQ(ring_size(), 1);
    /* No store is made in its place. */
    ASSERT_TRUE(!fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    ASSERT_TRUE(strstr(vault_detail(manager_vault(f.m)), id));
    snprintf(path, sizeof(path), "%s/store", f.dir);
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
    ReconcileResult s;
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ASSERT_TRUE(set(&f.config, "OpenBy", bad[i]));
        ASSERT_TRUE(fixture_restart(&f));
        ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
        ASSERT_TRUE(vault_is_refused(manager_vault(f.m)) && !vault_is_foreign(manager_vault(f.m)));
        ASSERT_TRUE(strstr(vault_detail(manager_vault(f.m)), "sealed by the key host: OpenBy="));
        ASSERT_EQ(ring_size(), 1);
    }
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        ASSERT_TRUE(set(&f.config, "OpenBy", good[i]));
        ASSERT_TRUE(fixture_restart(&f));
        ASSERT_OK(fixture_sync(&f, &s));
        ASSERT_EQ(s.kept, 1);
    }
}

typedef struct Sealing {
    bool done;
    int error;
    char *detail;
    Secret *slot;
} Sealing;

static void on_sealed(int error, const Secret *slot, const char *detail, void *userdata)
{
    Sealing *s = userdata;

    s->done = true;
    s->error = error;
    s->detail = detail ? strdup(detail) : NULL;
    s->slot = slot ? secret_new_copy(slot->data, slot->size) : NULL;
}

static void seal(const Fixture *f, const SlotRequest *q, Sealing *ret)
{
    vault_seal_slot(manager_vault(f->m), q, on_sealed, ret);
    while (!ret->done && sd_event_run(f->event, UINT64_MAX) >= 0)
        ;
}

/* A slot that OpenBy= would not let open the store is not made. */
TEST(open_by_holds_for_new_slots)
{
    static const char *const types[] = {"systemd-creds", "recovery"};
    char id[STORE_IDENTITY_SIZE];
    ReconcileResult s;
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
        Vault *v = manager_vault(f.m);
        VaultRules narrow = {.closed_ways = ~0U};
        Sealing sealing = {.error = 0};

        ASSERT_OK(fixture_sync(&f, &s));
        /* Set without a reload, which would close the store. */
        narrow = v->rules;
        v->rules.closed_ways = i == 0 ? ~(WAY_RECOVERY | way_of_creds_key("tpm2")) : WAY_RECOVERY;
        if (i == 0)
            seal(&f, &q, &sealing);
        else
            sealing.error = vault_add_recovery(v, &q, &sealed, &sealing.detail);
        detail = sealing.detail;
        ASSERT_EQ(sealing.error, -EXDEV);
        ASSERT_TRUE(detail && strstr(detail, "OpenBy="));
        v->rules = narrow;
    }
    ASSERT_EQ(json_object_array_length(store_slots(manager_store(f.m))), 1);
}

/* A malformed value opens no store. */
TEST(bad_values)
{
    static const struct {
        const char *option, *value, *words;
    } bad[] = {
        {"OpenBy", "systemd-cred", "OpenBy="},
        {"OpenBy", "tpm2, systemd-creds", "OpenBy="},
        {"Id", "12345", "is not the id"},
        {"Id", "0123456789ABCDEF0123456789ABCDEF", "is not the id"},
    };
    char id[STORE_IDENTITY_SIZE];
    ReconcileResult s;
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        f.config = config_default;
        f.config.stand_in = true;
        ASSERT_EQ(config_set(&f.config, "Store", bad[i].option, bad[i].value), -EINVAL);
        ASSERT_TRUE(fixture_restart(&f));
        ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
        ASSERT_TRUE(strstr(vault_detail(manager_vault(f.m)), bad[i].words));
        ASSERT_EQ(ring_size(), 1);
    }
}

TEST(reload)
{
    char id[STORE_IDENTITY_SIZE];
    Config other;
    ReconcileResult s;
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

/* A TPM that takes commands and never answers. */
typedef struct Waiting {
    int tpm_fd;
    char tpm[64];
    int events;
} Waiting;

static void on_event(_unused_ VaultEvent event, void *userdata)
{
    ((Waiting *)userdata)->events++;
}

static bool waiting_new(Waiting *w, Fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char tcti[128];

    snprintf(w->tpm, sizeof(w->tpm), "/tmp/%s.tpm", strrchr(f->dir, '/') + 1);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", w->tpm);
    snprintf(tcti, sizeof(tcti), "swtpm:path=%s", w->tpm);
    w->tpm_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    manager_set_handler(f->m, on_event, w);
    return w->tpm_fd >= 0 && bind(w->tpm_fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
           listen(w->tpm_fd, 4) == 0 && setenv("NVME_KEYD_TCTI", tcti, 1) == 0;
}

static void waiting_done(Waiting *w)
{
    if (w->tpm_fd >= 0)
        close(w->tpm_fd);
    if (w->tpm[0])
        (void)unlink(w->tpm);
    unsetenv("NVME_KEYD_TCTI");
}

static bool add_recovery_key(const Fixture *f, Secret **ret)
{
    const SlotRequest q = {.type = "recovery"};
    _cleanup_(sealed_slot_done) SealedSlot sealed = {.id = ""};
    _cleanup_(freep) char *detail = NULL;

    if (vault_add_recovery(manager_vault(f->m), &q, &sealed, &detail) < 0)
        return false;
    *ret = TAKE_PTR(sealed.recovery_key);
    return true;
}

#define COUNTER 0x1a01234

/* An unlock that fails has ended the opening. Waiting callers get an event, and the request that
 * was at work starts again. */
TEST(unlock_that_ends_a_task_and_fails)
{
    _cleanup_(secret_freep) Secret *key = NULL;
    _cleanup_(freep) char *why = NULL;
    char id[STORE_IDENTITY_SIZE];
    _cleanup_(waiting_done) Waiting w = {.tpm_fd = -1};
    Sealing removal = {.done = false};
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id) && add_recovery_key(&f, &key));
    ASSERT_TRUE(set(&f.config, "Id", OTHER_ID));
    ASSERT_TRUE(fixture_restart(&f) && waiting_new(&w, &f));
    vault_remove_counter(manager_vault(f.m), COUNTER, on_sealed, &removal);
    ASSERT_TRUE(!removal.done && vault_is_working(manager_vault(f.m)));
    ASSERT_EQ(vault_unlock(manager_vault(f.m), key, &why), -EXDEV);
    ASSERT_TRUE(vault_detail(manager_vault(f.m)) &&
                strstr(vault_detail(manager_vault(f.m)), OTHER_ID));
    ASSERT_EQ(w.events, 1);
    ASSERT_TRUE(!removal.done && vault_is_working(manager_vault(f.m)));
    f.m = manager_free(f.m);
    ASSERT_EQ(removal.error, -ECANCELED);
    free(removal.detail);
}

/* A wrong recovery key ends nothing, and leaves no lock on the store. */
TEST(unlock_with_a_wrong_key_beside_a_task)
{
    _cleanup_(secret_freep) Secret *key = NULL;
    _cleanup_(freep) char *why = NULL;
    char id[STORE_IDENTITY_SIZE];
    ReconcileResult s;
    _cleanup_(waiting_done) Waiting w = {.tpm_fd = -1};
    Sealing removal = {.done = false};
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id) && add_recovery_key(&f, &key));
    ASSERT_TRUE(fixture_restart(&f) && waiting_new(&w, &f));
    vault_remove_counter(manager_vault(f.m), COUNTER, on_sealed, &removal);
    key->data[0] ^= 1;
    ASSERT_EQ(vault_unlock(manager_vault(f.m), key, &why), -EKEYREJECTED);
    ASSERT_TRUE(!removal.done && vault_is_working(manager_vault(f.m)));
    /* The TPM goes away, so the job ends. */
    close(w.tpm_fd);
    w.tpm_fd = -1;
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.kept, 1);
    ASSERT_TRUE(removal.done && removal.error < 0);
    free(removal.detail);
}

/* Closing the store ends its job and its requests with -ECANCELED. */
TEST(closed_at_work)
{
    const SlotRequest q = {.type = "systemd-creds"};
    Sealing first = {.done = false}, second = {.done = false};
    char id[STORE_IDENTITY_SIZE];
    ReconcileResult s;
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id));
    vault_seal_slot(manager_vault(f.m), &q, on_sealed, &first);
    vault_seal_slot(manager_vault(f.m), &q, on_sealed, &second);
    ASSERT_TRUE(!first.done && !second.done && vault_is_working(manager_vault(f.m)));
    fixture_close(&f);
    ASSERT_TRUE(!manager_store(f.m) && !vault_is_working(manager_vault(f.m)));
    ASSERT_EQ(first.error, -ECANCELED);
    ASSERT_EQ(second.error, -ECANCELED);
    ASSERT_EQ(fixture_keys(&f), 0);
    free(first.detail);
    free(second.detail);
    manager_set_config(f.m, &f.config);
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.kept, 1);
    vault_seal_slot(manager_vault(f.m), &q, on_sealed, &first);
    f.m = manager_free(f.m);
    ASSERT_EQ(first.error, -ECANCELED);
    free(first.detail);
}
