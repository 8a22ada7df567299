/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "basic/log.h"
#include "basic/macro.h"
#include "basic/names.h"
#include "basic/secret.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/seal-type.h"
#include "credstore/seal/spawn.h"
#include "credstore/store.h"
#include "store-direct.h"
#include "store-fixture.h"
#include "test.h"

static uint64_t in_seconds(unsigned n)
{
    return now_monotonic() + n * USEC_PER_SEC;
}

TEST(a_filter_gets_input_and_gives_output)
{
    static const char *const cat[] = {"/bin/cat", NULL};
    _cleanup_(secret_freep) Secret *output = NULL;

    ASSERT_OK(spawn_filter(cat, "a\0b", 3, 16, in_seconds(60), &output, NULL));
    ASSERT_EQ(output->size, 3);
    ASSERT_MEM(output->data, "a\0b", 3);
    output = secret_free(output);
    ASSERT_EQ(spawn_filter(cat, "0123456789", 10, 9, in_seconds(60), &output, NULL), -EFBIG);
    ASSERT_TRUE(output == NULL);
}

TEST(a_filter_inherits_nothing)
{
    static const char *const env[] = {"/usr/bin/env", NULL};
    static const char *const fds[] = {"/bin/ls", "/proc/self/fd", NULL};
    static const char expected[] =
        "PATH=/usr/bin:/bin\nLC_ALL=C.UTF-8\nSYSTEMD_LOG_TARGET=console\n"
        "SYSTEMD_LOG_LEVEL=err\nSYSTEMD_COLORS=0\nTSS2_LOG=all+NONE\n";
    _cleanup_(secret_freep) Secret *output = NULL;
    _cleanup_(closep) _unused_ int fd = open("/dev/null", O_RDONLY);

    setenv("NVME_KEYD_TEST", "x", 1);
    ASSERT_OK(spawn_filter(env, "", 0, 500, in_seconds(60), &output, NULL));
    ASSERT_EQ(output->size, strlen(expected));
    ASSERT_MEM(output->data, expected, output->size);
    output = secret_free(output);
    /* 3 is the directory itself. */
    ASSERT_OK(spawn_filter(fds, "", 0, 500, in_seconds(60), &output, NULL));
    ASSERT_EQ(output->size, 8);
    ASSERT_MEM(output->data, "0\n1\n2\n3\n", 8);
}

TEST(a_filter_that_fails_is_quoted)
{
    static const char *const fails[] = {
        "/bin/sh", "-c", "echo key; printf 'bad \\033[1m\\377 luck\\n\\n' >&2; exit 3", NULL};
    static const char *const silent[] = {"/bin/true", NULL};
    static const char *const dies[] = {"/bin/sh", "-c", "echo key; kill -9 $$", NULL};
    static const char *const none[] = {"/nonexistent/filter", NULL};
    _cleanup_(secret_freep) Secret *output = NULL;
    _cleanup_(freep) char *detail = NULL;

    ASSERT_EQ(spawn_filter(fails, "", 0, 16, in_seconds(60), &output, &detail), -EREMOTEIO);
    ASSERT_STR(detail, "/bin/sh failed: bad ?[1m? luck");
    ASSERT_EQ(spawn_filter(silent, "", 0, 16, in_seconds(60), &output, &detail), -EREMOTEIO);
    ASSERT_STR(detail, "/bin/true printed nothing");
    ASSERT_EQ(spawn_filter(dies, "", 0, 16, in_seconds(60), &output, &detail), -EREMOTEIO);
    ASSERT_EQ(spawn_filter(none, "", 0, 16, in_seconds(60), &output, &detail), -ENOENT);
    ASSERT_TRUE(output == NULL);
}

TEST(a_filter_cannot_block)
{
    static const char *const sleeps[] = {"/bin/sleep", "1000", NULL};
    static const char *const closes[] = {"/bin/sh", "-c", "echo x; exec >&- 2>&-; exec sleep 1000",
                                         NULL};
    static const char *const floods[] = {"/bin/sh", "-c", "head -c 300000 /dev/zero >&2; echo x",
                                         NULL};
    static char input[4 << 20];
    _cleanup_(secret_freep) Secret *output = NULL;
    uint64_t start = now_monotonic();

    ASSERT_EQ(spawn_filter(sleeps, "", 0, 16, now_monotonic() + 100000, &output, NULL), -ETIMEDOUT);
    ASSERT_EQ(spawn_filter(closes, "", 0, 16, now_monotonic() + 300000, &output, NULL), -ETIMEDOUT);
    ASSERT_OK(spawn_filter(floods, "", 0, 16, in_seconds(60), &output, NULL));
    ASSERT_MEM(output->data, "x\n", 2);
    ASSERT_EQ(spawn_filter(sleeps, input, sizeof(input), 16, in_seconds(60), &output, NULL),
              -E2BIG);
    ASSERT_TRUE(now_monotonic() - start < 60 * USEC_PER_SEC);
}

/* Returns why the store does not open for want of a key. */
static char *why_rejected(const char *dir)
{
    _cleanup_(store_closep) Store *s = NULL;
    char *detail = NULL;

    if (direct_open(dir, &s, &detail) == -EKEYREJECTED)
        return detail;
    free(detail);
    return NULL;
}

#define ASSERT_REJECTED(dir, text)                                                                 \
    do {                                                                                           \
        _cleanup_(freep) char *why_ = why_rejected(dir);                                           \
                                                                                                   \
        if (!why_ || !strstr(why_, text))                                                          \
            TEST_FAIL("rejected with %s, not %s", why_ ? why_ : "(null)", text);                   \
    } while (0)

TEST(the_given_credential)
{
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    char path[160];

    ASSERT_OK(fixture_new(&f));
    fixture_path(&f, "../" NAMES_KEK_CREDENTIAL, path);
    ASSERT_OK(fixture_write(path, "0123456789abcdef0123456789ABCDEG", 32));
    ASSERT_REJECTED(f.dir, "its KEK does not fit this slot");
    ASSERT_OK(fixture_write(path, "short", 5));
    ASSERT_REJECTED(f.dir, "5 bytes");
    ASSERT_OK(unlink(path));
    ASSERT_REJECTED(f.dir, "no credential");
}

/* Any user can make a credential that is sealed with no key, and a whole store that it opens. */
TEST(a_credential_without_a_key)
{
    static const char null_key[] =
        "{\"credential\":\"BYRp2vb1QySABUnaD46i+yAAAAABAAAADAAAABAAAAAvhnLp4dF99wbkUv8AAAAA\"}";
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    char path[160];

    ASSERT_OK(fixture_new(&f));
    fixture_path(&f, "../" NAMES_KEK_CREDENTIAL, path);
    ASSERT_OK(unlink(path));
    ASSERT_OK(fixture_write_store(f.dir, null_key));
    ASSERT_REJECTED(f.dir, "no key");
    ASSERT_OK(fixture_write_store(f.dir, "{\"credential\":\"AAAA\"}"));
    ASSERT_REJECTED(f.dir, "not a systemd credential");
}

static bool systemd_creds_works(void)
{
    return geteuid() == 0 && slot_systemd_creds.usable() == 0;
}

/* Without a handed-in KEK and without the service. */
static void only_systemd_creds(void)
{
    unsetenv("CREDENTIALS_DIRECTORY");
    setenv("NVME_KEYD_CREDS_SOCKET", "/nonexistent/socket", 1);
}

TEST(a_store_by_systemd_creds)
{
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *detail = NULL, *header = NULL;
    char path[160], id[STORE_ID_SIZE];
    size_t size;
    int r;

    if (!systemd_creds_works())
        TEST_SKIP("needs root and systemd-creds");
    ASSERT_OK(fixture_new(&f));
    fixture_path(&f, "store", path);
    ASSERT_OK(unlink(path));

    unsetenv("CREDENTIALS_DIRECTORY");
    r = direct_create(f.dir, &s, &detail);
    if (r < 0)
        TEST_FAIL("direct_create: %s, %s", strerror(-r), detail);
    s = store_close(s);
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(fixture_add(s, "a", "first", id));
    s = store_close(s);
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_TRUE(fixture_has(s, id, "a", "first"));
    ASSERT_OK(fixture_read(path, &header, &size));
    if (strcmp(store_slot_type(s), "systemd-creds") == 0)
        ASSERT_TRUE(strstr(header, "\"withKey\":\"host\"") || strstr(header, "tpm2"));
    ASSERT_EQ(direct_create(f.dir, &s, NULL), -EBUSY);
}

/* A damaged credential is refused with the message of systemd-creds. */
TEST(systemd_creds_says_no)
{
    static const SlotOptions options = {.with_key = "host"};
    _cleanup_(json_putp) json_object *slot = json_object_new_object();
    _cleanup_(secret_freep) Secret *kek = NULL, *got = NULL;
    _cleanup_(freep) char *detail = NULL, *credential = NULL;
    const char *text;

    only_systemd_creds();
    if (!systemd_creds_works())
        TEST_SKIP("needs root and systemd-creds");
    ASSERT_OK(secret_random(STORE_KEY_SIZE, &kek));
    ASSERT_OK(slot_systemd_creds.seal(kek, &options, slot, NULL));
    ASSERT_OK(slot_systemd_creds.unseal(slot, &options, &got, NULL));
    ASSERT_TRUE(secret_equal(kek, got));
    got = secret_free(got);

    ASSERT_EQ(json_get_string(slot, "withKey", &text), 1);
    ASSERT_STR(text, "host");
    ASSERT_EQ(json_get_string(slot, "credential", &text), 1);
    credential = strdup(text);
    credential[strlen(credential) - 10] ^= 1;
    ASSERT_OK(json_add_string(slot, "credential", credential));
    ASSERT_EQ(slot_systemd_creds.unseal(slot, &options, &got, &detail), -EKEYREJECTED);
    ASSERT_TRUE(detail && strstr(detail, "systemd-creds failed: "));
    ASSERT_TRUE(got == NULL);
}

/* The real program seals with no key, and unseals that only if allowed. */
TEST(systemd_creds_without_a_key)
{
    static const SlotOptions options = {.with_key = "null", .allow_null_key = true}, none;
    _cleanup_(json_putp) json_object *slot = json_object_new_object();
    _cleanup_(secret_freep) Secret *kek = NULL, *got = NULL;

    only_systemd_creds();
    if (!systemd_creds_works())
        TEST_SKIP("needs root and systemd-creds");
    ASSERT_OK(secret_random(STORE_KEY_SIZE, &kek));
    ASSERT_OK(slot_systemd_creds.seal(kek, &options, slot, NULL));
    ASSERT_EQ(slot_systemd_creds.unseal(slot, &none, &got, NULL), -EKEYREJECTED);
    ASSERT_OK(slot_systemd_creds.unseal(slot, &options, &got, NULL));
    ASSERT_TRUE(secret_equal(kek, got));
}
