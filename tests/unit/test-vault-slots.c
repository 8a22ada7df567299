/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tss2/tss2_esys.h>
#include <unistd.h>

#include "basic/io.h"
#include "credstore/seal/environment.h"
#include "credstore/store-private.h"
#include "fs-shim.h"
#include "keyd-fixture.h"
#include "nvme-keyd/vault/vault.h"
#include "swtpm.h"
#include "test.h"

/* Slots with a rollback counter. This program is its own helper, which finds orders as files in the
 * directory of the TPM. */

#define OTHER "nqn.2026-11.org.example:b"

/* True once for each file of that name. */
static bool take_order(const char *name)
{
    const char *tcti = getenv(TPM2_ENV_TCTI), *path = tcti ? strchr(tcti, '/') : NULL;
    char file[128];

    if (!path)
        return false;
    snprintf(file, sizeof(file), "%.*s/%s", (int)(strrchr(path, '/') - path), path, name);
    return unlink(file) == 0;
}

static bool give_order(const Swtpm *tpm, const char *name)
{
    _cleanup_(closep) int fd = -EBADF;
    char file[128];

    snprintf(file, sizeof(file), "%s/%s", tpm->dir, name);
    fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd >= 0;
}

TSS2_RC Esys_NV_DefineSpace(ESYS_CONTEXT *esys, ESYS_TR owner, ESYS_TR session1, ESYS_TR session2,
                            ESYS_TR session3, const TPM2B_AUTH *auth, const TPM2B_NV_PUBLIC *public,
                            ESYS_TR *ret)
{
    __typeof__(Esys_NV_DefineSpace) *real;
    TSS2_RC rc;

    *(void **)&real = dlsym(RTLD_NEXT, "Esys_NV_DefineSpace");
    if (take_order("taken")) {
        TPM2B_NV_PUBLIC foreign = *public;

        foreign.nvPublic.authPolicy.buffer[31] ^= 1;
        (void)real(esys, owner, session1, session2, session3, auth, &foreign, ret);
    }
    rc = real(esys, owner, session1, session2, session3, auth, public, ret);
    if (take_order("kill"))
        (void)raise(SIGKILL);
    return rc;
}

typedef struct Sealing {
    Vault *vault;
    bool done, put;
    int fault, n_faults; /* of the calls that put the slot; see shim_inject() */
    int error;
    char *detail;
} Sealing;

static void sealing_done(Sealing *s)
{
    if (s->detail)
        printf("# %s\n", s->detail);
    free(s->detail);
}

static void on_sealed(int error, const Secret *slot, const char *detail, void *userdata)
{
    SealedSlot sealed = {.id = ""};
    Sealing *s = userdata;

    s->done = true;
    s->error = error;
    free(s->detail);
    s->detail = detail ? strdup(detail) : NULL;
    if (!slot || !s->put)
        return;
    shim_inject(s->fault, s->n_faults, EIO);
    s->error = vault_put_slot(s->vault, slot, &sealed, NULL);
    shim_inject(0, 0, 0);
}

static void seal(const Fixture *f, Sealing *s)
{
    const SlotRequest q = {.type = "tpm2", .options.rollback_counter = true};

    s->vault = manager_vault(f->m);
    s->done = false;
    vault_seal_slot(s->vault, &q, on_sealed, s);
    while (!s->done && sd_event_run(f->event, UINT64_MAX) >= 0)
        ;
}

/* Removes all orphans, as the daemon does, one after each event. */
static void count(const Fixture *f)
{
    Vault *v = manager_vault(f->m);

    for (vault_count(v); vault_is_working(v); vault_count(v))
        (void)sd_event_run(f->event, UINT64_MAX);
}

#define STORE_WITH_TPM                                                                             \
    FIXTURE;                                                                                       \
    SWTPM(tpm);                                                                                    \
    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));                                     \
    ASSERT_EQ(count_handles(NV_INDICES), 0)

TEST(helper_killed_after_the_definition)
{
    _cleanup_(sealing_done) Sealing s = {.put = true};
    STORE_WITH_TPM;

    ASSERT_TRUE(give_order(&tpm, "kill"));
    seal(&f, &s);
    ASSERT_EQ(s.error, -ECHILD);
    ASSERT_EQ(count_handles(NV_INDICES), 1);
    /* The kernel flushes the sessions of a killed process; swtpm does not. */
    flush_sessions();
    count(&f);
    ASSERT_EQ(count_handles(NV_INDICES), 0);
    ASSERT_EQ(vault_store(s.vault)->header.n_orphans, 0);

    /* The daemon ends before it can remove the counter. */
    ASSERT_TRUE(give_order(&tpm, "kill"));
    seal(&f, &s);
    ASSERT_EQ(count_handles(NV_INDICES), 1);
    flush_sessions();
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_OK(fixture_open(&f, f.m));
    count(&f);
    ASSERT_EQ(count_handles(NV_INDICES), 0);

    seal(&f, &s);
    ASSERT_OK(s.error);
    ASSERT_TRUE(store_has_counter(vault_store(s.vault)));
    count(&f);
    ASSERT_EQ(count_handles(NV_INDICES), 1);
    ASSERT_EQ(vault_store(s.vault)->header.n_orphans, 0);
}

TEST(caller_has_gone)
{
    _cleanup_(sealing_done) Sealing s = {.put = false};
    STORE_WITH_TPM;

    seal(&f, &s);
    ASSERT_OK(s.error);
    ASSERT_EQ(count_handles(NV_INDICES), 1);
    count(&f);
    ASSERT_EQ(count_handles(NV_INDICES), 0);
    ASSERT_EQ(vault_store(s.vault)->header.n_orphans, 0);
}

/* Another index is chosen. The foreign counter stays. */
TEST(index_is_taken)
{
    _cleanup_(sealing_done) Sealing s = {.put = true};
    STORE_WITH_TPM;

    ASSERT_TRUE(give_order(&tpm, "taken"));
    seal(&f, &s);
    ASSERT_OK(s.error);
    ASSERT_EQ(count_handles(NV_INDICES), 2);
    count(&f);
    ASSERT_EQ(count_handles(NV_INDICES), 2);
    ASSERT_EQ(vault_store(s.vault)->header.n_orphans, 0);
}

/* A counter that cannot be listed is not made. */
TEST(store_cannot_be_written)
{
    _cleanup_(sealing_done) Sealing s = {.put = true};
    char path[128];
    STORE_WITH_TPM;

    snprintf(path, sizeof(path), "%s/store.new", f.dir);
    ASSERT_OK(mkdir(path, 0700));
    seal(&f, &s);
    ASSERT_EQ(s.error, -EIO);
    ASSERT_TRUE(s.detail && strstr(s.detail, "cannot write the store"));
    ASSERT_EQ(count_handles(NV_INDICES), 0);
    ASSERT_OK(rmdir(path));
    ASSERT_EQ(vault_store(s.vault)->header.n_orphans, 0);
}

static void on_counter_removed(int error, const Secret *slot, const char *detail, void *userdata)
{
    Sealing *s = userdata;

    (void)slot;
    (void)detail;
    s->done = true;
    s->error = error;
}

static int remove_counter(const Fixture *f, uint32_t index)
{
    Sealing s = {.done = false};

    vault_remove_counter(manager_vault(f->m), index, on_counter_removed, &s);
    while (!s.done && sd_event_run(f->event, UINT64_MAX) >= 0)
        ;
    return s.error;
}

/* The slot is not put. The counter stays as long as the file may be in the state that uses it. */
static void check_fault(int fault, int n, bool read_only, bool *ret_put, int *n_uncertain)
{
    _cleanup_(sealing_done) Sealing s = {.put = true, .fault = fault, .n_faults = n};
    const Store *store;
    STORE_WITH_TPM;

    seal(&f, &s);
    *ret_put = s.error == 0;
    if (s.error == 0)
        return;
    store = vault_store(s.vault);
    *n_uncertain += store->uncertain;
    if (read_only) {
        shim.read_only = true;
        if (store->uncertain)
            ASSERT_EQ(remove_counter(&f, store->header.orphans[0].index), -EBUSY);
        count(&f);
        shim.read_only = false;
    } else {
        ASSERT_TRUE(fixture_add(&f, OTHER, KEY_ROLE_HOST, 2));
        count(&f);
        ASSERT_EQ(count_handles(NV_INDICES), 0);
        ASSERT_EQ(store->header.n_orphans, 0);
    }
    ASSERT_TRUE(fixture_restart(&f));
    if (fixture_open(&f, f.m) < 0)
        TEST_FAIL("fault %d: %s", fault, vault_detail(manager_vault(f.m)));
    count(&f);
    store = vault_store(manager_vault(f.m));
    ASSERT_EQ(store->header.n_orphans, 0);
    ASSERT_EQ(count_handles(NV_INDICES), store_has_counter(store));
}

static void check_faults(int n, bool read_only, bool expect_uncertain)
{
    int n_uncertain = 0;
    bool put = false;

    for (int fault = 1; !put && !test_failed && !test_skipped; fault++)
        check_fault(fault, n, read_only, &put, &n_uncertain);
    if (!test_skipped)
        ASSERT_EQ(n_uncertain > 0, expect_uncertain);
}

TEST(one_call_of_the_commit_fails)
{
    check_faults(1, true, false);
}

TEST(disk_is_lost_during_the_commit)
{
    check_faults(1000, true, true);
}

TEST(disk_returns_after_the_commit)
{
    check_faults(1000, false, true);
}

/* A directory that cannot be synced may have another state after a crash. */
TEST(store_may_not_be_on_the_disk)
{
    _cleanup_(sealing_done) Sealing s = {.put = false};
    bool uncertain = false;
    STORE_WITH_TPM;

    seal(&f, &s);
    ASSERT_EQ(count_handles(NV_INDICES), 1);
    for (int fault = 1; !uncertain && fault < 50; fault++) {
        int r;

        ASSERT_TRUE(fixture_restart(&f));
        shim_inject(fault, 1, EIO);
        r = fixture_open(&f, f.m);
        shim_inject(0, 0, 0);
        uncertain = r == 0 && vault_store(manager_vault(f.m))->uncertain;
    }
    ASSERT_TRUE(uncertain);
    count(&f);
    ASSERT_EQ(count_handles(NV_INDICES), 1);
    ASSERT_TRUE(fixture_add(&f, OTHER, KEY_ROLE_HOST, 2));
    count(&f);
    ASSERT_EQ(count_handles(NV_INDICES), 0);
}
