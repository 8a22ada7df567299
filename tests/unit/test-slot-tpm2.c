/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_tctildr.h>
#include <unistd.h>

#include "basic/encoding.h"
#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "credstore/slot.h"
#include "credstore/tpm2-context.h"
#include "credstore/tpm2-pcr.h"
#include "credstore/tpm2-slot.h"
#include "credstore/tpm2-srk.h"
#include "test.h"

/*
 * The TPM is a swtpm of each test's own, with its state in a directory that goes with it.
 */

/* The library's own constants of these names shift into the sign bit. */
#define TRANSIENTS UINT32_C(0x80000000)
#define SESSIONS UINT32_C(0x02000000)
#define PERSISTENTS UINT32_C(0x81000000)

#define NO_SWTPM "swtpm is not installed"
#define DIRECTORY_MAX 64

/* What to do to ESYS, whose functions of the same names below stand before the library's. */
typedef struct Meddling {
    int pcr_changes;                 /* extend a PCR before so many calls of Esys_Unseal() */
    int unseals;                     /* calls of Esys_Unseal() */
    TPM2B_SENSITIVE_DATA *unsealed;  /* the last that it returned */
    bool wiped;                      /* that was all zero when it was freed */
} Meddling;

static Meddling meddling;

static bool all_zero(const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((const uint8_t *)data)[i] != 0)
            return false;
    return true;
}

static TSS2_RC pcr_extend(ESYS_CONTEXT *esys, ESYS_TR pcr)
{
    TPML_DIGEST_VALUES digests = {
        .count = 2,
        .digests = {{.hashAlg = TPM2_ALG_SHA1}, {.hashAlg = TPM2_ALG_SHA256}},
    };

    return Esys_PCR_Extend(esys, pcr, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digests);
}

TSS2_RC Esys_Unseal(ESYS_CONTEXT *esys, ESYS_TR item, ESYS_TR session1, ESYS_TR session2,
                    ESYS_TR session3, TPM2B_SENSITIVE_DATA **ret)
{
    __typeof__(Esys_Unseal) *real;
    TSS2_RC rc;

    *(void **)&real = dlsym(RTLD_NEXT, "Esys_Unseal");
    meddling.unseals++;
    if (meddling.pcr_changes > 0) {
        meddling.pcr_changes--;
        rc = pcr_extend(esys, ESYS_TR_PCR1);
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

void Esys_Free(void *p)
{
    if (p && p == meddling.unsealed) {
        meddling.wiped = all_zero(p, sizeof(TPM2B_SENSITIVE_DATA));
        meddling.unsealed = NULL;
    }
    free(p);
}

typedef struct Swtpm {
    char dir[DIRECTORY_MAX];
    pid_t pid;
} Swtpm;

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void swtpm_stop(Swtpm *s)
{
    if (s->pid > 0) {
        (void)kill(s->pid, SIGTERM);
        (void)waitpid(s->pid, NULL, 0);
    }
    s->pid = 0;
}

static void swtpm_done(Swtpm *s)
{
    swtpm_stop(s);
    if (s->dir[0])
        (void)nftw(s->dir, unlink_one, 8, FTW_DEPTH | FTW_PHYS);
    unsetenv(TPM2_ENV_TCTI);
    meddling = (Meddling){};
}

static void tcti_set(const Swtpm *s, const char *prefix)
{
    char conf[2 * DIRECTORY_MAX];

    snprintf(conf, sizeof(conf), "%sswtpm:path=%s/tpm", prefix, s->dir);
    setenv(TPM2_ENV_TCTI, conf, true);
}

static void swtpm_exec(const char *dir)
{
    char state[2 * DIRECTORY_MAX], control[2 * DIRECTORY_MAX], server[2 * DIRECTORY_MAX];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    snprintf(state, sizeof(state), "dir=%s", dir);
    snprintf(control, sizeof(control), "type=unixio,path=%s/tpm.ctrl", dir);
    snprintf(server, sizeof(server), "type=unixio,path=%s/tpm", dir);
    (void)dup2(null, STDOUT_FILENO);
    (void)dup2(null, STDERR_FILENO);
    execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--ctrl", control, "--server",
           server, "--flags", "not-need-init,startup-clear", (char *)NULL);
    _exit(127);
}

/* Starts on the state that is there, or a fresh one. Returns false where there is no swtpm. */
static bool swtpm_start(Swtpm *s)
{
    if (s->dir[0] == '\0') {
        strcpy(s->dir, "/tmp/test-slot-tpm2.XXXXXX");
        if (!mkdtemp(s->dir))
            return false;
    }
    s->pid = fork();
    if (s->pid == 0)
        swtpm_exec(s->dir);

    tcti_set(s, "");
    for (int i = 0; i < 500; i++) {
        _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;

        if (tpm2_context_open(NULL, &c) == 0)
            return true;
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            s->pid = 0;
            return false;
        }
        usleep(10 * 1000);
    }
    return false;
}

#define SWTPM(s)                                                                                   \
    _cleanup_(swtpm_done) Swtpm s = {};                                                            \
    if (!swtpm_start(&s))                                                                          \
    TEST_SKIP(NO_SWTPM)

/* Does something to the TPM behind the back of the slot. */
static TSS2_RC tpm_do(TSS2_RC (*fn)(ESYS_CONTEXT *esys))
{
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;

    if (tpm2_context_open(NULL, &c) < 0)
        return TSS2_ESYS_RC_IO_ERROR;
    return fn(c->esys);
}

static TSS2_RC extend_pcr7(ESYS_CONTEXT *esys)
{
    return pcr_extend(esys, ESYS_TR_PCR7);
}

static const TPM2B_SENSITIVE_CREATE no_secret;
static const TPM2B_DATA no_data;
static const TPML_PCR_SELECTION no_pcrs;

static TSS2_RC persist_primary(ESYS_CONTEXT *esys, const TPM2B_PUBLIC *template)
{
    ESYS_TR made, kept;
    TSS2_RC rc = Esys_CreatePrimary(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                    ESYS_TR_NONE, &no_secret, template, &no_data, &no_pcrs, &made,
                                    NULL, NULL, NULL, NULL);

    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_EvictControl(esys, ESYS_TR_RH_OWNER, made, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                               ESYS_TR_NONE, TPM2_SRK_HANDLE, &kept);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_FlushContext(esys, made);
    return rc;
}

/* Without NODA, as vendors have made them: its use counts for the lockout. */
static TSS2_RC persist_rsa(ESYS_CONTEXT *esys)
{
    static const TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_RSA,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                           TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                           TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_RESTRICTED |
                                           TPMA_OBJECT_DECRYPT,
                       .parameters.rsaDetail = {.symmetric = {.algorithm = TPM2_ALG_AES,
                                                              .keyBits.aes = 128,
                                                              .mode.aes = TPM2_ALG_CFB},
                                                .scheme.scheme = TPM2_ALG_NULL,
                                                .keyBits = 2048}}};

    return persist_primary(esys, &template);
}

/* Persists an object of that kind with a password where the storage root key belongs. */
static TSS2_RC change_owner_auth(ESYS_CONTEXT *esys)
{
    static const TPM2B_AUTH password = {.size = 5, .buffer = "owner"};

    return Esys_HierarchyChangeAuth(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                    ESYS_TR_NONE, &password);
}

static TSS2_RC clear_tpm(ESYS_CONTEXT *esys)
{
    return Esys_Clear(esys, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE);
}

/* Tries a wrong password until the TPM will hear no more. */
static TSS2_RC lock_out(ESYS_CONTEXT *esys)
{
    static const TPM2B_AUTH wrong = {.size = 5, .buffer = "wrong"};
    TPM2B_SENSITIVE_CREATE secret = {
        .sensitive = {.userAuth = {.size = 5, .buffer = "right"},
                      .data = {.size = 4, .buffer = {1, 2, 3, 4}}}};
    TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_KEYEDHASH,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes =
                           TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_USERWITHAUTH,
                       .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL}};
    ESYS_TR object;
    TSS2_RC rc = Esys_CreatePrimary(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                    ESYS_TR_NONE, &secret, &template, &no_data, &no_pcrs, &object,
                                    NULL, NULL, NULL, NULL);

    if (rc != TSS2_RC_SUCCESS)
        return rc;
    rc = Esys_TR_SetAuth(esys, object, &wrong);
    for (int i = 0; rc == TSS2_RC_SUCCESS && i < 64; i++) {
        TPM2B_SENSITIVE_DATA *data = NULL;

        if (tpm2_rc_is(Esys_Unseal(esys, object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &data),
                       TPM2_RC_LOCKOUT))
            break;
    }
    return Esys_FlushContext(esys, object);
}

/* From the next start on, the only PCR bank is that of SHA-1. */
static TSS2_RC allocate_sha1(ESYS_CONTEXT *esys)
{
    TPML_PCR_SELECTION banks = {.count = 2,
                                .pcrSelections = {{.hash = TPM2_ALG_SHA1,
                                                   .sizeofSelect = 3,
                                                   .pcrSelect = {0xff, 0xff, 0xff}},
                                                  {.hash = TPM2_ALG_SHA256, .sizeofSelect = 3}}};
    TPMI_YES_NO done = TPM2_NO;
    uint32_t max, needed, available;
    TSS2_RC rc = Esys_PCR_Allocate(esys, ESYS_TR_RH_PLATFORM, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                   ESYS_TR_NONE, &banks, &done, &max, &needed, &available);

    return rc == TSS2_RC_SUCCESS && !done ? TPM2_RC_FAILURE : rc;
}

/* How many handles of a kind the TPM holds. */
static int count_handles(TPM2_HANDLE first)
{
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;
    _cleanup_(esys_freep) TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;

    if (tpm2_context_open(NULL, &c) < 0 ||
        Esys_GetCapability(c->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES, first,
                           16, &more, &data) != TSS2_RC_SUCCESS)
        return -1;
    return (int)data->data.handles.count;
}

static bool tpm_is_clean(void)
{
    return count_handles(TRANSIENTS) == 0 &&
           count_handles(SESSIONS) == 0;
}

/* A sealed KEK and what is asked of it. */
typedef struct Fixture {
    Secret *kek;
    Secret *again;
    json_object *slot;
    char *detail;
} Fixture;

static void fixture_done(Fixture *f)
{
    f->kek = secret_free(f->kek);
    f->again = secret_free(f->again);
    json_object_put(f->slot);
    if (f->detail)
        printf("# %s\n", f->detail);
    free(f->detail);
}

static int fixture_seal(Fixture *f)
{
    if (!f->kek && secret_random(STORE_KEY_SIZE, &f->kek) < 0)
        return -ENOMEM;
    json_object_put(f->slot);
    f->slot = json_object_new_object();
    return slot_tpm2.seal(f->kek, f->slot, &f->detail);
}

static int fixture_unseal(Fixture *f)
{
    f->again = secret_free(f->again);
    return slot_tpm2.unseal(f->slot, &f->again, &f->detail);
}

#define ASSERT_DETAIL(f, words)                                                                    \
    do {                                                                                           \
        if (!(f).detail || !strstr((f).detail, words))                                             \
            TEST_FAIL("the detail is \"%s\", without \"%s\"", (f).detail ? (f).detail : "", words); \
    } while (0)

static const char *member(json_object *slot, const char *key)
{
    const char *text = NULL;

    return json_get_string(slot, key, &text) > 0 ? text : NULL;
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
    ASSERT_TRUE(!f.detail);
}

TEST(survives_a_restart)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_OK(fixture_seal(&f));
    swtpm_stop(&tpm);
    ASSERT_TRUE(swtpm_start(&tpm));
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_TRUE(secret_equal(f.kek, f.again));
}

TEST(unsealed_data_is_wiped)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

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
    ASSERT_DETAIL(f, "PCRs");
    ASSERT_TRUE(!f.again);
    ASSERT_TRUE(tpm_is_clean());
}

TEST(pcr_changes_while_unsealing)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_OK(fixture_seal(&f));
    meddling.pcr_changes = 3;
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_EQ(meddling.unseals, 4);
    ASSERT_TRUE(secret_equal(f.kek, f.again));
    ASSERT_TRUE(tpm_is_clean());

    meddling.pcr_changes = 1000;
    meddling.unseals = 0;
    ASSERT_EQ(fixture_unseal(&f), -ETIMEDOUT);
    ASSERT_EQ(meddling.unseals, 8);
    ASSERT_DETAIL(f, "over and over");
    ASSERT_TRUE(tpm_is_clean());
}

TEST(another_tpm)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {}, g = {};

    ASSERT_OK(fixture_seal(&f));
    swtpm_stop(&tpm);

    _cleanup_(swtpm_done) Swtpm other = {};
    ASSERT_TRUE(swtpm_start(&other));
    ASSERT_EQ(fixture_unseal(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "it has no storage root key");
    ASSERT_EQ(count_handles(PERSISTENTS), 0);

    ASSERT_OK(fixture_seal(&g));
    ASSERT_EQ(fixture_unseal(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "another TPM or it was cleared");

    /* Even when the name of its key is forged. */
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

    /* It matters only as long as there is no storage root key. */
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

TEST(bank_of_sha1)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_EQ(tpm_do(allocate_sha1), TSS2_RC_SUCCESS);
    swtpm_stop(&tpm);
    ASSERT_TRUE(swtpm_start(&tpm));

    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(member(f.slot, "bank"), "sha1");
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_TRUE(secret_equal(f.kek, f.again));
    /* Unlike the TPM, firmware may not know a bank at all. */
    ASSERT_EQ(tpm_do(extend_pcr7), TSS2_RC_SUCCESS);
    ASSERT_EQ(fixture_unseal(&f), -EKEYREJECTED);
    ASSERT_OK(fixture_seal(&f));
    ASSERT_OK(fixture_unseal(&f));
}

static TSS2_RC extend_sha1_only(ESYS_CONTEXT *esys)
{
    TPML_DIGEST_VALUES digests = {.count = 1, .digests = {{.hashAlg = TPM2_ALG_SHA1}}};

    return Esys_PCR_Extend(esys, ESYS_TR_PCR7, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                           &digests);
}

TEST(bank_without_measurements)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    /* Nothing measured at all: the better bank, whose first measurement locks. */
    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(member(f.slot, "bank"), "sha256");
    ASSERT_OK(fixture_unseal(&f));

    ASSERT_EQ(tpm_do(extend_sha1_only), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(member(f.slot, "bank"), "sha1");
    ASSERT_OK(fixture_unseal(&f));
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

    /* A socket that nobody listens on. */
    char path[2 * DIRECTORY_MAX];
    snprintf(path, sizeof(path), "%s/tpm", tpm.dir);
    _cleanup_(closep) int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ASSERT_TRUE(fd >= 0);
    ASSERT_OK(slot_tpm2.usable());
    ASSERT_EQ(fixture_unseal(&f), -ENODEV);
    ASSERT_DETAIL(f, "cannot reach the TPM");
    ASSERT_TRUE(now_monotonic() - start < USEC_PER_SEC);
}

TEST(usable)
{
    setenv(TPM2_ENV_TCTI, "device:/nonexistent/tpmrm0", true);
    ASSERT_EQ(slot_tpm2.usable(), -ENOENT);
    setenv(TPM2_ENV_TCTI, "device:/dev/null", true);
    ASSERT_OK(slot_tpm2.usable());
    setenv(TPM2_ENV_TCTI, "mssim", true);
    ASSERT_EQ(slot_tpm2.usable(), -EOPNOTSUPP);
    unsetenv(TPM2_ENV_TCTI);
    ASSERT_EQ(slot_tpm2.usable(), access("/dev/tpmrm0", R_OK | W_OK) < 0 ? -errno : 0);
}

static int run_as_nobody(int (*fn)(void))
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0 ? 255
                                                                                       : -fn());
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

TEST(usable_without_permission)
{
    if (geteuid() != 0)
        TEST_SKIP("not root");
    setenv(TPM2_ENV_TCTI, "device:/etc/shadow", true);
    ASSERT_EQ(run_as_nobody(slot_tpm2.usable), -EACCES);
    unsetenv(TPM2_ENV_TCTI);
}

/* Finds needle in a file. */
static bool file_contains(const char *path, const uint8_t *needle, size_t size)
{
    _cleanup_(freep) char *data = NULL;
    size_t n;

    return io_read_file_at(AT_FDCWD, path, (size_t)16 << 20, &data, &n) == 0 &&
           memmem(data, n, needle, size);
}

TEST(key_is_never_on_the_wire)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};
    _cleanup_(freep) char *why = NULL;
    Tpm2Slot sealed;
    char wire[2 * DIRECTORY_MAX];

    snprintf(wire, sizeof(wire), "%s/wire", tpm.dir);
    setenv("TCTI_PCAP_FILE", wire, true);
    tcti_set(&tpm, "pcap:");
    if (fixture_seal(&f) == -ENODEV)
        TEST_SKIP("the TSS has no pcap TCTI");
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_TRUE(secret_equal(f.kek, f.again));

    /* What is not secret shows that the recording is one. */
    ASSERT_OK(tpm2_slot_parse(f.slot, &sealed));
    ASSERT_TRUE(file_contains(wire, sealed.public.publicArea.authPolicy.buffer, 32));
    ASSERT_TRUE(!file_contains(wire, f.kek->data, 8));
    for (size_t i = 0; i + 8 <= f.kek->size; i += 8)
        ASSERT_TRUE(!file_contains(wire, f.kek->data + i, 8));
}

TEST(nothing_on_standard_error)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};
    char path[2 * DIRECTORY_MAX];
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

/* A slot without a TPM, as a parser sees it. */
static json_object *sample(void)
{
    Tpm2Slot slot = {.srk_name = {.size = 34, .name = {0x00, 0x0b}},
                     .bank = TPM2_ALG_SHA256,
                     .pcrs = 1 << 7,
                     .public = tpm2_sealed_template,
                     .private = {.size = 160}};
    json_object *object = json_object_new_object();

    slot.public.publicArea.authPolicy.size = 32;
    slot.public.publicArea.unique.keyedHash.size = 32;
    return tpm2_slot_format(&slot, object) < 0 ? NULL : object;
}

/* Parses the sample with one member replaced, NULL for none of it. */
static int parse_with(const char *key, const char *json)
{
    _cleanup_(json_putp) json_object *object = sample();
    Tpm2Slot slot;

    json_object_object_del(object, key);
    if (json && json_object_object_add(object, key, json_tokener_parse(json)) < 0)
        return -ENOMEM;
    return tpm2_slot_parse(object, &slot);
}

TEST(parse)
{
    _cleanup_(json_putp) json_object *object = sample(), *again = json_object_new_object();
    Tpm2Slot slot;

    ASSERT_OK(tpm2_slot_parse(object, &slot));
    ASSERT_EQ(slot.bank, TPM2_ALG_SHA256);
    ASSERT_EQ(slot.pcrs, 1 << 7);
    ASSERT_EQ(slot.srk_name.size, 34);
    ASSERT_EQ(slot.private.size, 160);
    ASSERT_OK(tpm2_slot_format(&slot, again));
    ASSERT_TRUE(json_object_equal(object, again));

    ASSERT_OK(parse_with("pcrs", "[0, 7, 23]"));
    ASSERT_OK(parse_with("bank", "\"sha1\""));
    ASSERT_OK(parse_with("unknown", "1"));
}

TEST(parse_refuses)
{
    static const char *const keys[] = {"srkName", "bank", "pcrs", "public", "private"};
    static const char *const pcrs[] = {"[]",     "[24]",  "[-1]",    "[7, 7]", "[8, 7]",
                                       "[\"7\"]", "[7.0]", "[null]", "7",      "[4294967303]"};
    static const char *const banks[] = {"\"\"", "\"sha384\"", "\"SHA256\"", "11"};
    static const char *const blobs[] = {"\"\"", "\"A\"", "\"AAAA\"", "\"AAA\\u0000\"", "\"AAAA \"", "1"};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        ASSERT_EQ(parse_with(keys[i], NULL), -EBADMSG);
        ASSERT_EQ(parse_with(keys[i], "null"), -EBADMSG);
        ASSERT_EQ(parse_with(keys[i], "{}"), -EBADMSG);
    }
    for (size_t i = 0; i < ARRAY_SIZE(pcrs); i++)
        ASSERT_EQ(parse_with("pcrs", pcrs[i]), -EBADMSG);
    for (size_t i = 0; i < ARRAY_SIZE(banks); i++)
        ASSERT_EQ(parse_with("bank", banks[i]), -EBADMSG);
    for (size_t i = 0; i < ARRAY_SIZE(blobs); i++) {
        ASSERT_EQ(parse_with("public", blobs[i]), -EBADMSG);
        ASSERT_EQ(parse_with("private", blobs[i]), -EBADMSG);
    }
}

/* Each shortening and each flipped bit of what the TPM gave is refused, by whom does not matter. */
static int parse_cut(const char *key, size_t size, size_t flip)
{
    _cleanup_(json_putp) json_object *object = sample();
    uint8_t blob[1024];
    char text[BASE64_LENGTH(sizeof(blob)) + 1];
    size_t have;
    Tpm2Slot slot;

    if (base64_decode(member(object, key), strlen(member(object, key)), blob, sizeof(blob), &have) < 0)
        return -EINVAL;
    if (size > have + 1)
        return -ERANGE;
    blob[have] = 0;
    blob[flip] ^= 0x40;
    base64_encode(blob, size, text);
    if (json_add_string(object, key, text) < 0)
        return -ENOMEM;
    return tpm2_slot_parse(object, &slot);
}

TEST(parse_refuses_other_objects)
{
    static const size_t unused = 1000;
    int r = -EBADMSG;

    for (size_t n = 0; r != -ERANGE; n++) {
        r = parse_cut("public", n, unused);
        if (r == 0)
            ASSERT_EQ(n, 2 + 2 + 2 + 4 + 34 + 2 + 34);
        else if (r != -ERANGE)
            ASSERT_EQ(r, -EBADMSG);
    }
    r = -EBADMSG;
    for (size_t n = 0; r != -ERANGE; n++) {
        r = parse_cut("private", n, unused);
        if (r == 0)
            ASSERT_EQ(n, 2 + 160);
        else if (r != -ERANGE)
            ASSERT_EQ(r, -EBADMSG);
    }
    /* Size, type, name algorithm, attributes, policy size, scheme. */
    for (size_t i = 0; i < 12; i++)
        ASSERT_EQ(parse_cut("public", 80, i), -EBADMSG);
    for (size_t i = 44; i < 48; i++)
        ASSERT_EQ(parse_cut("public", 80, i), -EBADMSG);
}

TEST(damaged_slot)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};
    Tpm2Slot sealed, other;

    ASSERT_OK(fixture_seal(&f));
    ASSERT_OK(tpm2_slot_parse(f.slot, &sealed));

    /* Well-formed, but not what this TPM gave. */
    other = sealed;
    other.private.buffer[other.private.size - 1] ^= 1;
    ASSERT_OK(tpm2_slot_format(&other, f.slot));
    ASSERT_EQ(fixture_unseal(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "damaged");
    other = sealed;
    other.private.size -= 40;
    ASSERT_OK(tpm2_slot_format(&other, f.slot));
    ASSERT_TRUE(fixture_unseal(&f) < 0);
    other = sealed;
    other.private.size = 3;
    ASSERT_OK(tpm2_slot_format(&other, f.slot));
    ASSERT_EQ(fixture_unseal(&f), -EBADMSG);
    other = sealed;
    other.public.publicArea.authPolicy.buffer[0] ^= 1;
    ASSERT_OK(tpm2_slot_format(&other, f.slot));
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

    ASSERT_EQ(slot_tpm2.seal(kek, slot, NULL), -EINVAL);
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

TEST_MAIN(TEST_ENTRY(usable), TEST_ENTRY(usable_without_permission), TEST_ENTRY(parse),
          TEST_ENTRY(parse_refuses), TEST_ENTRY(parse_refuses_other_objects),
          TEST_ENTRY(wrong_size_of_key), TEST_ENTRY(nothing_on_standard_error),
          TEST_ENTRY(round_trip), TEST_ENTRY(survives_a_restart), TEST_ENTRY(unsealed_data_is_wiped),
          TEST_ENTRY(storage_root_key_is_made_once), TEST_ENTRY(existing_rsa_key_is_used),
          TEST_ENTRY(changed_pcr), TEST_ENTRY(pcr_changes_while_unsealing), TEST_ENTRY(another_tpm),
          TEST_ENTRY(cleared_tpm), TEST_ENTRY(owner_password), TEST_ENTRY(lockout),
          TEST_ENTRY(bank_of_sha1), TEST_ENTRY(bank_without_measurements), TEST_ENTRY(no_tpm),
          TEST_ENTRY(key_is_never_on_the_wire), TEST_ENTRY(damaged_slot),
          TEST_ENTRY(time_to_unseal))
