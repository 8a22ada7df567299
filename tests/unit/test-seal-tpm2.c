/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <tss2/tss2_esys.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/seal-type.h"
#include "credstore/seal/tpm2/context.h"
#include "credstore/seal/tpm2/object.h"
#include "credstore/seal/tpm2/pcr.h"
#include "credstore/seal/tpm2/srk.h"
#include "credstore/store.h"
#include "seal-tpm2-fixture.h"
#include "store-direct.h"
#include "swtpm.h"
#include "test.h"

/* Orders for the ESYS functions below, which are linked before those of the library. */
typedef struct Meddling {
    int pcr_changes;      /* extend a PCR before each of the next calls of Esys_Unseal() */
    uint64_t unseal_usec; /* duration that each of them appears to have */
    uint64_t clock_usec;  /* the sum of these, added to the clock */
    int unseals;          /* calls of Esys_Unseal() */
    TPM2B_SENSITIVE_DATA *unsealed; /* the last result */
    bool wiped;                     /* it was all zero when it was freed */
} Meddling;

static Meddling meddling;

static bool all_zero(const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((const uint8_t *)data)[i] != 0)
            return false;
    return true;
}

TSS2_RC Esys_Unseal(ESYS_CONTEXT *esys, ESYS_TR item, ESYS_TR session1, ESYS_TR session2,
                    ESYS_TR session3, TPM2B_SENSITIVE_DATA **ret)
{
    __typeof__(Esys_Unseal) *real;
    TSS2_RC rc;

    *(void **)&real = dlsym(RTLD_NEXT, "Esys_Unseal");
    meddling.unseals++;
    meddling.clock_usec += meddling.unseal_usec;
    if (meddling.pcr_changes > 0) {
        meddling.pcr_changes--;
        rc = pcr_extend(esys, ESYS_TR_PCR1, 2);
        if (rc != TSS2_RC_SUCCESS)
            return rc;
    }
    rc = real(esys, item, session1, session2, session3, ret);
    if (rc == TSS2_RC_SUCCESS) {
        meddling.unsealed = *ret;
        meddling.wiped = false;
    }
    return rc;
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    int r = (int)syscall(SYS_clock_gettime, clock, ret);

    ret->tv_sec += (time_t)(meddling.clock_usec / USEC_PER_SEC);
    return r;
}

void Esys_Free(void *p)
{
    if (p && p == meddling.unsealed) {
        meddling.wiped = all_zero(p, sizeof(TPM2B_SENSITIVE_DATA));
        meddling.unsealed = NULL;
    }
    free(p);
}

TEST(round_trip)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_OK(slot_tpm2.usable());
    ASSERT_EQ(tpm_do(extend_pcr7), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(member(f.slot, "bank"), "sha256");
    ASSERT_TRUE(tpm_is_clean());
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_TRUE(secret_equal(f.kek, f.again));
    ASSERT_TRUE(tpm_is_clean());

    /* The same boot, with the TPM restarted. */
    swtpm_stop(&tpm);
    ASSERT_OK(swtpm_start(&tpm));
    ASSERT_EQ(tpm_do(extend_pcr7), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_TRUE(secret_equal(f.kek, f.again));
    ASSERT_TRUE(!f.detail);
}

TEST(unsealed_data_is_wiped)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    meddling = (Meddling){};
    ASSERT_OK(fixture_seal(&f));
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_EQ(meddling.unseals, 1);
    ASSERT_TRUE(!meddling.unsealed);
    ASSERT_TRUE(meddling.wiped);
}

TEST(storage_root_key_is_made_once)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {}, g = {};

    ASSERT_EQ(count_handles(PERSISTENTS), 0);
    ASSERT_OK(fixture_seal(&f));
    ASSERT_EQ(count_handles(PERSISTENTS), 1);
    ASSERT_OK(fixture_seal(&g));
    ASSERT_EQ(count_handles(PERSISTENTS), 1);
    ASSERT_STR(member(f.slot, "srkName"), member(g.slot, "srkName"));
    ASSERT_TRUE(strcmp(member(f.slot, "private"), member(g.slot, "private")) != 0);
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_OK(fixture_unseal(&g));
    ASSERT_TRUE(secret_equal(f.kek, f.again) && secret_equal(g.kek, g.again));
}

TEST(existing_rsa_key_is_used)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_EQ(tpm_do(persist_rsa), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_seal(&f));
    ASSERT_EQ(count_handles(PERSISTENTS), 1);
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_TRUE(secret_equal(f.kek, f.again));
}

TEST(changed_pcr)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_OK(fixture_seal(&f));
    ASSERT_EQ(tpm_do(extend_pcr7), TSS2_RC_SUCCESS);
    ASSERT_EQ(fixture_unseal(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "bound to PCR 7 (sha256)");
    ASSERT_TRUE(!f.again);
    ASSERT_TRUE(tpm_is_clean());
}

static TSS2_RC unseal_by_password(ESYS_CONTEXT *esys, const Tpm2Object *slot)
{
    TPM2B_SENSITIVE_DATA *data = NULL;
    ESYS_TR srk, object;
    TSS2_RC rc = Esys_TR_FromTPMPublic(esys, TPM2_SRK_HANDLE, ESYS_TR_NONE, ESYS_TR_NONE,
                                       ESYS_TR_NONE, &srk);

    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_Load(esys, srk, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &slot->private,
                       &slot->public, &object);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    rc = Esys_Unseal(esys, object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &data);
    Esys_Free(data);
    (void)Esys_FlushContext(esys, object);
    return rc;
}

/* The empty policy cannot be bypassed either. */
TEST(no_way_past_the_policy)
{
    static const SlotOptions options[] = {{}, PCRS(0)};
    SWTPM(tpm);

    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        _cleanup_(fixture_done) Fixture f = {.options = options[i]};
        _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;
        Tpm2Object slot;

        ASSERT_OK(fixture_seal(&f));
        ASSERT_OK(tpm2_object_parse(f.slot, &slot));
        ASSERT_OK(tpm2_context_open(NULL, &c));
        ASSERT_EQ(unseal_by_password(c->esys, &slot), TPM2_RC_AUTH_UNAVAILABLE);
    }
}

TEST(pcr_changes_while_unsealing)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_OK(fixture_seal(&f));
    meddling = (Meddling){.pcr_changes = 3};
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_EQ(meddling.unseals, 4);
    ASSERT_TRUE(!f.detail);
    ASSERT_TRUE(secret_equal(f.kek, f.again));
    ASSERT_TRUE(tpm_is_clean());

    meddling = (Meddling){.pcr_changes = 1000};
    ASSERT_EQ(fixture_unseal(&f), -ETIMEDOUT);
    ASSERT_EQ(meddling.unseals, 8);
    ASSERT_DETAIL(f, "keep changing");
    ASSERT_TRUE(tpm_is_clean());
    meddling = (Meddling){};
}

TEST(slow_tpm)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_OK(fixture_seal(&f));
    meddling = (Meddling){.unseal_usec = SEAL_TIMEOUT_USEC - USEC_PER_SEC};
    ASSERT_OK(fixture_unseal(&f));
    meddling = (Meddling){.unseal_usec = SEAL_TIMEOUT_USEC + USEC_PER_SEC};
    ASSERT_EQ(fixture_unseal(&f), -ETIMEDOUT);
    ASSERT_DETAIL(f, "the TPM took too long to unseal the key");
    ASSERT_TRUE(!f.again);
    meddling = (Meddling){};
    ASSERT_TRUE(tpm_is_clean());
}

/* A caller survives a hanging TPM only because the call is in a process of its own, which can be
 * killed. */
TEST(tpm_that_hangs)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};
    uint64_t start;
    pid_t pid;

    ASSERT_OK(fixture_seal(&f));
    swtpm_freeze(&tpm);
    pid = fork();
    if (pid == 0)
        _exit(fixture_unseal(&f) < 0);
    ASSERT_TRUE(pid > 0);
    usleep(300 * 1000);
    ASSERT_EQ(waitpid(pid, NULL, WNOHANG), 0);

    start = now_monotonic();
    ASSERT_OK(kill(pid, SIGKILL));
    ASSERT_EQ(waitpid(pid, NULL, 0), pid);
    ASSERT_TRUE(now_monotonic() - start < SEAL_TIMEOUT_USEC / 2);

    /* The TPM works as before. */
    swtpm_thaw(&tpm);
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_TRUE(secret_equal(f.kek, f.again));
}

TEST(another_tpm)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {}, g = {};

    ASSERT_OK(fixture_seal(&f));
    swtpm_stop(&tpm);

    _cleanup_(swtpm_done) Swtpm other = {};
    ASSERT_OK(swtpm_start(&other));
    ASSERT_EQ(fixture_unseal(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "it has no storage root key");
    ASSERT_EQ(count_handles(PERSISTENTS), 0);

    ASSERT_OK(fixture_seal(&g));
    ASSERT_EQ(fixture_unseal(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "another TPM or it was cleared");

    /* Also with the forged name of the right key. */
    ASSERT_OK(json_add_string(f.slot, "srkName", member(g.slot, "srkName")));
    ASSERT_EQ(fixture_unseal(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "another TPM");
    ASSERT_TRUE(tpm_is_clean());
}

TEST(cleared_tpm)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_OK(fixture_seal(&f));
    ASSERT_EQ(tpm_do(clear_tpm), TSS2_RC_SUCCESS);
    ASSERT_EQ(fixture_unseal(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "it was cleared");
}

TEST(owner_password)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {}, g = {};

    ASSERT_EQ(tpm_do(change_owner_auth), TSS2_RC_SUCCESS);
    ASSERT_EQ(fixture_seal(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "owner hierarchy has a password");
    ASSERT_EQ(json_object_object_length(f.slot), 0);
    ASSERT_TRUE(tpm_is_clean());

    /* The password of the owner hierarchy matters only until there is a storage root key. */
    ASSERT_EQ(tpm_do(clear_tpm), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_seal(&g));
    ASSERT_EQ(tpm_do(change_owner_auth), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_seal(&g));
    ASSERT_OK(fixture_unseal(&g));
}

TEST(lockout)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {}, g = {};

    /* Our own objects are exempt from the lockout. */
    ASSERT_OK(fixture_seal(&f));
    ASSERT_EQ(tpm_do(lock_out), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_unseal(&f));

    ASSERT_EQ(tpm_do(clear_tpm), TSS2_RC_SUCCESS);
    ASSERT_EQ(tpm_do(persist_rsa), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_seal(&g));
    ASSERT_EQ(tpm_do(lock_out), TSS2_RC_SUCCESS);
    ASSERT_EQ(fixture_unseal(&g), -EKEYREJECTED);
    ASSERT_DETAIL(g, "lockout");
    ASSERT_TRUE(tpm_is_clean());
}

TEST(no_tpm)
{
    _cleanup_(fixture_done) Fixture f = {};
    SWTPM(tpm);
    uint64_t start;

    ASSERT_OK(fixture_seal(&f));
    swtpm_stop(&tpm);
    start = now_monotonic();
    ASSERT_EQ(slot_tpm2.usable(), -ENOENT);
    ASSERT_EQ(fixture_unseal(&f), -ENODEV);
    ASSERT_DETAIL(f, "no TPM");

    /* A socket without a listener. */
    char path[2 * SWTPM_DIRECTORY_MAX];
    snprintf(path, sizeof(path), "%s/tpm", tpm.dir);
    _cleanup_(closep) int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ASSERT_TRUE(fd >= 0);
    ASSERT_OK(slot_tpm2.usable());
    ASSERT_EQ(fixture_unseal(&f), -ENODEV);
    ASSERT_DETAIL(f, "cannot reach the TPM");
    ASSERT_TRUE(now_monotonic() - start < SEAL_TIMEOUT_USEC / 2);
}

TEST(key_is_never_on_the_wire)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};
    Tpm2Object sealed;
    char wire[2 * SWTPM_DIRECTORY_MAX];

    snprintf(wire, sizeof(wire), "%s/wire", tpm.dir);
    setenv("TCTI_PCAP_FILE", wire, true);
    swtpm_set_tcti(&tpm, "pcap:");
    if (fixture_seal(&f) == -ENODEV)
        TEST_SKIP("the TSS has no pcap TCTI");
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_TRUE(secret_equal(f.kek, f.again));

    /* The recording must contain the public parts, or it would prove nothing. */
    ASSERT_OK(tpm2_object_parse(f.slot, &sealed));
    ASSERT_TRUE(file_contains(wire, sealed.public.publicArea.authPolicy.buffer, 32));
    ASSERT_TRUE(!file_contains(wire, f.kek->data, 8));
    for (size_t i = 0; i + 8 <= f.kek->size; i += 8)
        ASSERT_TRUE(!file_contains(wire, f.kek->data + i, 8));
}

TEST(nothing_on_standard_error)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};
    char path[2 * SWTPM_DIRECTORY_MAX];
    struct stat st;

    snprintf(path, sizeof(path), "%s/stderr", tpm.dir);
    _cleanup_(closep) int log = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    _cleanup_(closep) int before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    ASSERT_TRUE(log >= 0 && before >= 0 && dup2(log, STDERR_FILENO) >= 0);

    int sealed = fixture_seal(&f);
    int extended = (int)tpm_do(extend_pcr7);
    int unsealed = fixture_unseal(&f);
    fflush(stderr);
    (void)dup2(before, STDERR_FILENO);

    ASSERT_OK(sealed);
    ASSERT_OK(extended);
    ASSERT_EQ(unsealed, -EKEYREJECTED);
    ASSERT_OK(fstat(log, &st));
    ASSERT_EQ(st.st_size, 0);
}

TEST(damaged_slot)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};
    Tpm2Object sealed, other;

    ASSERT_OK(fixture_seal(&f));
    ASSERT_OK(tpm2_object_parse(f.slot, &sealed));

    /* Well-formed, but not made by this TPM. */
    other = sealed;
    other.private.buffer[other.private.size - 1] ^= 1;
    ASSERT_OK(tpm2_object_format(&other, f.slot));
    ASSERT_EQ(fixture_unseal(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "damaged");
    other = sealed;
    other.private.size -= 40;
    ASSERT_OK(tpm2_object_format(&other, f.slot));
    ASSERT_TRUE(fixture_unseal(&f) < 0);
    other = sealed;
    other.private.size = 3;
    ASSERT_OK(tpm2_object_format(&other, f.slot));
    ASSERT_EQ(fixture_unseal(&f), -EBADMSG);
    other = sealed;
    other.public.publicArea.authPolicy.buffer[0] ^= 1;
    ASSERT_OK(tpm2_object_format(&other, f.slot));
    ASSERT_EQ(fixture_unseal(&f), -EKEYREJECTED);

    ASSERT_OK(json_add_string(f.slot, "private", "AAAA"));
    ASSERT_EQ(fixture_unseal(&f), -EBADMSG);
    ASSERT_TRUE(!f.again);
    ASSERT_TRUE(tpm_is_clean());
}

TEST(wrong_size_of_key)
{
    _cleanup_(json_putp) json_object *slot = json_object_new_object();
    _cleanup_(secret_freep) Secret *kek = secret_new(STORE_KEY_SIZE - 1);

    ASSERT_EQ(slot_tpm2.seal(kek, &(SlotOptions){}, slot, NULL), -EINVAL);
}

/* A new store has a slot of each type, so after a change of the PCR the other one opens it. */
TEST(store_with_two_slots)
{
    char dir[] = "/tmp/test-two-slots-XXXXXX", command[64];
    _cleanup_(store_closep) Store *s = NULL;
    SWTPM(tpm);
    int r = -ENOENT;

    if (slot_systemd_creds.usable() < 0 || geteuid() != 0)
        TEST_SKIP("needs root and systemd-creds");
    ASSERT_TRUE(mkdtemp(dir));
    if (direct_create(dir, &s, NULL) == 0) {
        s = store_close(s);
        r = direct_open(dir, &s, NULL);
    }
    ASSERT_OK(r);
    ASSERT_STR(store_slot_type(s), "tpm2");
    s = store_close(s);
    ASSERT_EQ(tpm_do(extend_pcr7), TSS2_RC_SUCCESS);
    ASSERT_OK(direct_open(dir, &s, NULL));
    ASSERT_STR(store_slot_type(s), "systemd-creds");
    snprintf(command, sizeof(command), "rm -r %s", dir);
    ASSERT_OK(system(command));
}

TEST(time_to_unseal)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};
    uint64_t start;

    ASSERT_OK(fixture_seal(&f));
    start = now_monotonic();
    for (int i = 0; i < 20; i++)
        ASSERT_OK(fixture_unseal(&f));
    printf("# unseal: %.1f ms\n", (double)(now_monotonic() - start) / 20 / 1000);
}
