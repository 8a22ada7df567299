/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "creds-fixture.h"
#include "credstore/seal/creds/blob.h"
#include "credstore/seal/creds/creds.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/seal-type.h"
#include "test.h"

/* The kinds of key that seal a credential, and the host key of systemd, which must survive
 * everything that we ask systemd for. */

#define MACHINE_ID "0123456789abcdef0123456789abcdef"
#define OTHER_ID "fedcba9876543210fedcba9876543210"

/* The head of a host key that systemd makes under MACHINE_ID: the first half of HMAC-SHA256(machine
 * id, d3acecba0dad4cdfb8c9381528936c58), as a UUID of version 4. */
static const uint8_t owner[ID_SIZE] = {0xf6, 0x5a, 0x25, 0xa6, 0xc0, 0x2a, 0x44, 0x88,
                                       0x8e, 0x0e, 0x49, 0xb6, 0xad, 0xb6, 0xb1, 0xf9};

static void write_secret(const Fake *f, const uint8_t *head)
{
    char text[ID_SIZE + 33];
    _cleanup_(closep) int fd = open(f->secret, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0400);

    memset(text, 'k', sizeof(text));
    memcpy(text, head, ID_SIZE);
    if (fd < 0 || io_write_all(fd, text, sizeof(text)) < 0)
        abort();
}

/* Writes a host key that was made under MACHINE_ID, and this machine id. */
static void write_host_key(const Fake *f, const char *machine_id)
{
    write_secret(f, owner);
    write_file(f, "machine-id", machine_id, 0444);
}

/* Behaves as systemd: any use deletes a host key of another machine id. */
#define DELETES "rm -f secret; "

TEST(state_of_the_host_key)
{
    FAKE;

    ASSERT_EQ(host_key_state(&f.creds.host_key), HOST_KEY_ABSENT);
    write_host_key(&f, MACHINE_ID "\n");
    ASSERT_EQ(host_key_state(&f.creds.host_key), HOST_KEY_OURS);
    write_file(&f, "machine-id", "0123456789ABCDEF0123456789abcdef", 0444);
    ASSERT_EQ(host_key_state(&f.creds.host_key), HOST_KEY_OURS);
    write_file(&f, "machine-id", OTHER_ID "\n", 0444);
    ASSERT_EQ(host_key_state(&f.creds.host_key), HOST_KEY_FOREIGN);
    (void)unlink(f.secret);
    ASSERT_EQ(host_key_state(&f.creds.host_key), HOST_KEY_ABSENT);
}

/* systemd refuses these before it compares the machine id, so it deletes nothing. */
TEST(no_host_key_and_no_machine_id)
{
    static const char *const none[] = {"", "uninitialized\n", MACHINE_ID "0", "0123\n",
                                       "00000000000000000000000000000000\n"};
    FAKE;

    write_host_key(&f, MACHINE_ID);
    for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
        write_file(&f, "machine-id", none[i], 0444);
        ASSERT_EQ(host_key_state(&f.creds.host_key), HOST_KEY_UNUSABLE);
        ASSERT_OK(host_key_check(&f.creds.host_key, NULL));
    }
    (void)unlink(f.machine_id);
    ASSERT_EQ(host_key_state(&f.creds.host_key), HOST_KEY_UNUSABLE);
    (void)unlink(f.secret);
    write_file(&f, "secret", "short", 0400);
    ASSERT_EQ(host_key_state(&f.creds.host_key), HOST_KEY_UNUSABLE);
    (void)unlink(f.secret);
    ASSERT_TRUE(symlink(f.program, f.secret) == 0);
    ASSERT_EQ(host_key_state(&f.creds.host_key), HOST_KEY_UNUSABLE);
    (void)unlink(f.secret);
    /* A read error leaves the state of the host key unknown. */
    f.creds.host_key.secret = "/proc/self/mem";
    ASSERT_TRUE(host_key_state(&f.creds.host_key) < 0);
    ASSERT_EQ(host_key_check(&f.creds.host_key, &detail), -EKEYREJECTED);
    ASSERT_TRUE(strstr(detail, "/proc/self/mem") && strstr(detail, "cannot be read"));
}

/* The expected hash comes from systemd's own library and the machine id of this machine. */
TEST(as_systemd_hashes_it)
{
    static const sd_id128_t application =
        SD_ID128_MAKE(d3, ac, ec, ba, 0d, ad, 4c, df, b8, c9, 38, 15, 28, 93, 6c, 58);
    sd_id128_t id;
    FAKE;

    if (sd_id128_get_machine_app_specific(application, &id) < 0)
        TEST_SKIP("this machine has no machine id");
    write_secret(&f, id.bytes);
    f.creds.host_key.machine_id = "/etc/machine-id";
    ASSERT_EQ(host_key_state(&f.creds.host_key), HOST_KEY_OURS);
}

static void expect_refusal(const Fake *f, int error, const char *detail)
{
    ASSERT_EQ(error, -EKEYREJECTED);
    ASSERT_TRUE(detail && strstr(detail, f->secret) && strstr(detail, "another machine id"));
    ASSERT_TRUE(strstr(detail, "restore the old id") && strstr(detail, "recovery key"));
    ASSERT_TRUE(file_is(f, "calls", NULL));
    ASSERT_TRUE(access(f->secret, F_OK) == 0);
}

/* With a foreign host key neither the program nor the service, which runs outside of our sandbox,
 * is asked. */
TEST(opening_never_destroys)
{
    int r;
    FAKE;

    write_host_key(&f, OTHER_ID);
    write_program(&f, DELETES GIVES_KEY);
    r = creds_unseal(&f.creds, slot, &no_options, &got, &detail);
    expect_refusal(&f, r, detail);
    start_service(&f);
    ASSERT_EQ(creds_unseal(&f.creds, slot, &no_options, &got, NULL), -EKEYREJECTED);
    ASSERT_TRUE(got == NULL);
    write_file(&f, "machine-id", MACHINE_ID "\n", 0444);
    ASSERT_OK(creds_unseal(&f.creds, slot, &no_options, &got, NULL));
    ASSERT_TRUE(is_key(got, service_key));
}

static void seal_on_another_machine(const char *with_key, bool goes)
{
    _cleanup_(secret_freep) Secret *kek = secret_new_copy(program_key, STORE_KEY_SIZE);
    SlotOptions options = {.with_key = with_key, .allow_null_key = true};
    int r;
    FAKE;

    write_host_key(&f, OTHER_ID);
    write_program(&f, "cat output");
    write_file(&f, "output", "Whxqht+dQJax1aZeCGLxmiAAAAABAAAADAAAABAAAAA=\n", 0600);
    r = creds_seal(&f.creds, kek, &options, slot, &detail);
    if (goes)
        ASSERT_OK(r);
    else
        expect_refusal(&f, r, detail);
}

TEST(sealing_never_destroys)
{
    seal_on_another_machine(NULL, false);
    seal_on_another_machine("auto", false);
    seal_on_another_machine("host", false);
    seal_on_another_machine("host+tpm2", false);
    seal_on_another_machine("tpm2+host", false);
    seal_on_another_machine("host+tpm2-with-public-key", false);
    seal_on_another_machine("tpm2", true);
    seal_on_another_machine("tpm2-with-public-key", true);
    seal_on_another_machine("auto-initrd", true);
    seal_on_another_machine("null", true);
}

/* The heads of credentials as systemd up to 261 writes them, and those that 262 has changed. */
static const struct {
    uint8_t id[ID_SIZE];
    const char *name;
    bool host, since_262;
} heads[] = {
    {{0x5a, 0x1c, 0x6a, 0x86, 0xdf, 0x9d, 0x40, 0x96, 0xb1, 0xd5, 0xa6, 0x5e, 0x08, 0x62, 0xf1,
      0x9a},
     "host",
     true,
     false},
    {{0x0c, 0x7c, 0xc0, 0x7b, 0x11, 0x76, 0x45, 0x91, 0x9c, 0x4b, 0x0b, 0xea, 0x08, 0xbc, 0x20,
      0xfe},
     "tpm2",
     false,
     false},
    {{0xd4, 0x06, 0x2d, 0xfb, 0x71, 0xad, 0x4c, 0x86, 0x80, 0x4b, 0x40, 0xef, 0x11, 0x80, 0xf1,
      0xfc},
     "tpm2",
     false,
     true},
    {{0x14, 0x14, 0x25, 0x88, 0x18, 0xa2, 0x40, 0xcd, 0x90, 0x0b, 0xce, 0x86, 0x2d, 0xb5, 0xc7,
      0xb9},
     "host+tpm2",
     true,
     true},
    {{0x5e, 0x2d, 0x5c, 0x76, 0x03, 0x72, 0x4e, 0xaf, 0x84, 0x3c, 0x6f, 0xb5, 0xf6, 0x40, 0x98,
      0xf5},
     "tpm2-with-public-key",
     false,
     true},
    {{0xaf, 0xbf, 0xea, 0xac, 0xeb, 0x6a, 0x4a, 0x37, 0x95, 0x41, 0x9d, 0x13, 0x5c, 0x47, 0xf3,
      0x7b},
     "host+tpm2-with-public-key",
     true,
     true},
    {"a future id....", "unknown", true, false},
};

TEST(what_sealed_it)
{
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
        _cleanup_(json_putp) json_object *s = make_slot(heads[i].id, service_key, STORE_KEY_SIZE);
        _cleanup_(json_putp) json_object *made = json_object_new_object();
        const CredsKeyType *type = NULL;
        const char *credential, *name;

        ASSERT_OK(creds_blob_parse(s, false, &credential, &type, NULL));
        ASSERT_STR(type->name, heads[i].name);
        ASSERT_EQ(type->needs_host_key, heads[i].host);
        ASSERT_EQ(type->since_262, heads[i].since_262);
        ASSERT_STR(creds_blob_key_name(s), heads[i].name);
        ASSERT_OK(creds_blob_format(credential, false, made, NULL));
        ASSERT_EQ(json_get_string(made, "withKey", &name), 1);
        ASSERT_STR(name, heads[i].name);
    }
}

/* A credential that needs no host key is opened under any machine id. */
TEST(only_what_needs_the_host_key_is_refused)
{
    FAKE;

    write_host_key(&f, OTHER_ID);
    write_program(&f, GIVES_KEY);
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
        _cleanup_(json_putp) json_object *s = make_slot(heads[i].id, service_key, STORE_KEY_SIZE);
        int r = creds_unseal(&f.creds, s, &no_options, &got, NULL);

        ASSERT_EQ(r, heads[i].host ? -EKEYREJECTED : 0);
        got = secret_free(got);
    }
}

TEST(sealed_by_a_newer_systemd)
{
    _cleanup_(json_putp) json_object *newer = make_slot(heads[2].id, service_key, STORE_KEY_SIZE);
    FAKE;

    write_program(&f, "echo 'Unknown encryption format, or corrupted data.' >&2; exit 1");
    ASSERT_EQ(creds_unseal(&f.creds, newer, &no_options, &got, &detail), -EKEYREJECTED);
    ASSERT_TRUE(strstr(detail, "sealed by systemd 262 or newer"));
    ASSERT_EQ(creds_unseal(&f.creds, slot, &no_options, &got, &detail), -EKEYREJECTED);
    ASSERT_TRUE(strstr(detail, "Unknown encryption format") && !strstr(detail, "262"));
    write_program(&f, "echo 'TPM2 support not available' >&2; exit 1");
    service.error = "io.systemd.System";
    service.error_number = EOPNOTSUPP;
    start_service(&f);
    ASSERT_EQ(creds_unseal(&f.creds, newer, &no_options, &got, &detail), -EKEYREJECTED);
    ASSERT_TRUE(strstr(detail, "TPM2 support not available") && !strstr(detail, "262"));
    (void)unlink(f.program);
    ASSERT_EQ(creds_unseal(&f.creds, newer, &no_options, &got, &detail), -EKEYREJECTED);
    ASSERT_TRUE(strstr(detail, "sealed by systemd 262 or newer"));
}

TEST(files_that_are_sealed)
{
    static const char *const plain[] = {
        "",
        "Whxqht+dQJax1aZeCGLxmg==",
        "nqn.2014-08.org.nvmexpress:uuid:x NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/D:",
        "0123456789abcdef0123456789ABCDEF",
    };
    const CredsKeyType *type;

    for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
        ASSERT_TRUE(creds_blob_find_key_type(plain[i], strlen(plain[i])) == NULL);
    type = creds_blob_find_key_type("Whxqht+dQJax1aZeCGLxmiAAAAAB\nAAAA", 33);
    ASSERT_TRUE(type != NULL);
    ASSERT_STR(type->name, "host");
    type = creds_blob_find_key_type(heads[3].id, ID_SIZE);
    ASSERT_TRUE(type != NULL);
    ASSERT_STR(type->name, "host+tpm2");
}

/* Only root can mount a file system in memory, so this uses /dev/shm. */
TEST(a_machine_id_in_memory)
{
    char path[] = "/dev/shm/test-machine-id-XXXXXX";
    HostKey key = {.secret = "", .machine_id = path};
    int fd = mkstemp(path);

    if (fd < 0)
        TEST_SKIP("no /dev/shm");
    close(fd);
    ASSERT_TRUE(host_key_is_transient(&key));
    (void)unlink(path);
    ASSERT_TRUE(!host_key_is_transient(&key));
    key.machine_id = "/proc/self/exe";
    ASSERT_TRUE(!host_key_is_transient(&key));
}
