/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "creds-fixture.h"
#include "credstore/seal/creds/creds.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/seal-type.h"
#include "test.h"

TEST(the_service_unseals)
{
    FAKE;

    start_service(&f);
    write_program(&f, GIVES_KEY);
    ASSERT_OK(creds_unseal(&f.creds, slot, &no_options, &got, &detail));
    ASSERT_TRUE(is_key(got, service_key));
    ASSERT_TRUE(file_is(&f, "calls", NULL));
    ASSERT_TRUE(detail == NULL);
}

TEST(the_program_unseals_without_a_service)
{
    FAKE;

    write_program(&f, "cat >input; " GIVES_KEY);
    ASSERT_OK(creds_unseal(&f.creds, slot, &no_options, &got, &detail));
    ASSERT_TRUE(is_key(got, program_key));
    ASSERT_TRUE(file_is(&f, "calls", CALL_DECRYPT));
    ASSERT_TRUE(
        file_is(&f, "input", json_object_get_string(json_object_object_get(slot, "credential"))));
}

static void unseal_otherwise(void)
{
    FAKE;

    start_service(&f);
    ASSERT_EQ(creds_unseal(&f.creds, slot, &no_options, &got, &detail), -EKEYREJECTED);
    ASSERT_TRUE(detail && strstr(detail, "io.systemd.Credentials: "));
    ASSERT_TRUE(strstr(detail, "program: No such file"));
    write_program(&f, GIVES_KEY);
    ASSERT_OK(creds_unseal(&f.creds, slot, &no_options, &got, &detail));
    ASSERT_TRUE(is_key(got, program_key));
}

/* These errors of the service are no verdict on the credential, so the program is asked. */
TEST(a_service_that_cannot)
{
    service.without_methods = true;
    unseal_otherwise();
    service.error = "org.varlink.service.InterfaceNotFound";
    unseal_otherwise();
    service.error = "org.varlink.service.InvalidParameter";
    unseal_otherwise();
    service.error = "org.varlink.service.PermissionDenied";
    unseal_otherwise();
    service.error = "io.systemd.InteractiveAuthenticationRequired";
    unseal_otherwise();
    service.error = "io.systemd.System";
    service.error_number = EIO;
    unseal_otherwise();
}

TEST(what_a_service_without_a_word_failed_with)
{
    FAKE;

    service.error = "io.systemd.System";
    service.error_number = EREMOTE;
    start_service(&f);
    write_program(&f, "echo 'bad luck' >&2; exit 1");
    ASSERT_EQ(creds_unseal(&f.creds, slot, &no_options, &got, &detail), -EKEYREJECTED);
    ASSERT_TRUE(strstr(detail, "io.systemd.Credentials: Object is remote; "));
    ASSERT_TRUE(strstr(detail, "program failed: bad luck"));
}

static void hang_up(int listener)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        close(accept(listener, NULL, NULL));
}

static void talk_nonsense(int listener)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (io_write_all(fd, "hello", 6) < 0)
            _exit(1);
        close(fd);
    }
}

static void unseal_beside(void (*fn)(int listener))
{
    FAKE;

    open_socket(&f);
    if (fn) {
        f.pid = fork();
        if (f.pid == 0)
            fn(f.listener);
    }
    closep(&f.listener);
    f.listener = -EBADF;
    write_program(&f, GIVES_KEY);
    ASSERT_OK(creds_unseal(&f.creds, slot, &no_options, &got, &detail));
    ASSERT_TRUE(is_key(got, program_key));
}

TEST(a_broken_service)
{
    unseal_beside(hang_up);
    unseal_beside(talk_nonsense);
    /* The socket has no listener. */
    unseal_beside(NULL);
}

static void reject(const char *error, const char *text)
{
    FAKE;

    service.error = error;
    start_service(&f);
    write_program(&f, GIVES_KEY);
    ASSERT_EQ(creds_unseal(&f.creds, slot, &no_options, &got, &detail), -EKEYREJECTED);
    ASSERT_TRUE(got == NULL);
    ASSERT_STR(detail, text);
    ASSERT_TRUE(file_is(&f, "calls", NULL));
}

/* A verdict of the service is final: the program is not asked. */
TEST(a_service_that_says_no)
{
    reject("io.systemd.Credentials.BadFormat",
           "io.systemd.Credentials: the credential is damaged, or sealed by another host key");
    reject("io.systemd.Credentials.NameMismatch",
           "io.systemd.Credentials: the credential has another name than nvme-keyd.kek");
    reject("io.systemd.Credentials.TPMInDictionaryLockout",
           "io.systemd.Credentials: the TPM is locked out after wrong attempts");
    reject("io.systemd.Credentials.OfAnotherTime", "io.systemd.Credentials.OfAnotherTime");
}

static void answer_with(const char *reply)
{
    FAKE;

    service.reply = json_tokener_parse(reply);
    start_service(&f);
    write_program(&f, GIVES_KEY);
    ASSERT_EQ(creds_unseal(&f.creds, slot, &no_options, &got, &detail), -EBADMSG);
    ASSERT_STR(detail, "credential nvme-keyd.kek is not 32 bytes");
    ASSERT_TRUE(got == NULL);
}

TEST(what_is_no_key)
{
    answer_with("{}");
    answer_with("{\"data\":7}");
    answer_with("{\"data\":\"\"}");
    answer_with("{\"data\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlBQkNERUY\"}");
    answer_with("{\"data\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlBQkNERQ==\"}");
    answer_with("{\"data\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlBQkNERUZH\"}");
    answer_with("{\"data\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlBQkNE!UY=\"}");
}

TEST(what_is_no_key_either)
{
    FAKE;

    write_program(&f, GIVES_KEY ".");
    ASSERT_EQ(creds_unseal(&f.creds, slot, &no_options, &got, &detail), -EBADMSG);
    ASSERT_STR(detail, "credential nvme-keyd.kek has more than 32 bytes");
    ASSERT_TRUE(got == NULL);
}

TEST(the_program_seals)
{
    _cleanup_(secret_freep) Secret *kek = secret_new_copy(service_key, STORE_KEY_SIZE);
    const char *text;
    FAKE;

    start_service(&f);
    write_program(&f, "cat >input; cat output");
    write_file(&f, "output", "Whxqht+dQJax1aZeCGLxmiAAAAAB\nAAAADAAAABAAAAA=\n", 0600);
    ASSERT_OK(creds_seal(&f.creds, kek, &no_options, slot, &detail));
    ASSERT_TRUE(file_is(&f, "calls", CALL_ENCRYPT("auto")));
    ASSERT_TRUE(file_is(&f, "input", service_key));
    ASSERT_EQ(json_get_string(slot, "credential", &text), 1);
    ASSERT_STR(text, "Whxqht+dQJax1aZeCGLxmiAAAAABAAAADAAAABAAAAA=");
    ASSERT_EQ(json_get_string(slot, "withKey", &text), 1);
    ASSERT_STR(text, "host");
}

TEST(the_service_seals_without_a_program)
{
    _cleanup_(secret_freep) Secret *kek = secret_new_copy(program_key, STORE_KEY_SIZE);
    const char *text;
    FAKE;

    ASSERT_EQ(creds_seal(&f.creds, kek, &no_options, slot, &detail), -ENOENT);
    ASSERT_TRUE(strstr(detail, "program: No such file"));
    start_service(&f);
    ASSERT_OK(creds_seal(&f.creds, kek, &no_options, slot, NULL));
    ASSERT_EQ(json_get_string(slot, "withKey", &text), 1);
    ASSERT_STR(text, "host");
    ASSERT_OK(creds_unseal(&f.creds, slot, &no_options, &got, NULL));
    ASSERT_TRUE(is_key(got, program_key));
}

TEST(what_is_no_credential)
{
    _cleanup_(secret_freep) Secret *kek = secret_new_copy(program_key, STORE_KEY_SIZE);
    FAKE;

    write_program(&f, "echo 'AAAA'");
    ASSERT_EQ(creds_seal(&f.creds, kek, &no_options, slot, &detail), -EBADMSG);
    ASSERT_STR(detail, "not a systemd credential");
    write_program(&f, "head -c 9000 /dev/zero");
    ASSERT_EQ(creds_seal(&f.creds, kek, &no_options, slot, &detail), -EBADMSG);
    ASSERT_TRUE(strstr(detail, "printed more than"));
    service.reply = json_tokener_parse("{\"data\":\"AAAA\"}");
    start_service(&f);
    write_program(&f, "exit 1");
    ASSERT_EQ(creds_seal(&f.creds, kek, &no_options, slot, &detail), -EBADMSG);
    ASSERT_TRUE(strstr(detail, "program failed; io.systemd.Credentials: a reply without"));
    ASSERT_EQ(creds_unseal(&f.creds, slot, &no_options, &got, NULL), -EBADMSG);
    ASSERT_OK(json_add_string(slot, "credential", "Whxqht+dQJax1aZeCGLxmiAA"));
    ASSERT_EQ(creds_unseal(&f.creds, slot, &no_options, &got, &detail), -EBADMSG);
    ASSERT_STR(detail, "not a systemd credential");
    json_object_object_del(slot, "credential");
    ASSERT_EQ(creds_unseal(&f.creds, slot, &no_options, &got, &detail), -EBADMSG);
    ASSERT_STR(detail, "the slot has no credential");
}

static void seal_with_key(const char *with_key, const char *calls)
{
    _cleanup_(secret_freep) Secret *kek = secret_new_copy(program_key, STORE_KEY_SIZE);
    SlotOptions options = {.with_key = with_key, .allow_null_key = true};
    FAKE;

    write_program(&f, "cat output");
    write_file(&f, "output", "Whxqht+dQJax1aZeCGLxmiAAAAABAAAADAAAABAAAAA=\n", 0600);
    ASSERT_OK(creds_seal(&f.creds, kek, &options, slot, &detail));
    if (!file_is(&f, "calls", calls))
        TEST_FAIL("%s is not passed on as %s", with_key, calls);
}

TEST(with_key)
{
    seal_with_key("auto", CALL_ENCRYPT("auto"));
    seal_with_key("auto-initrd", CALL_ENCRYPT("auto-initrd"));
    seal_with_key("host", CALL_ENCRYPT("host"));
    seal_with_key("tpm2", CALL_ENCRYPT("tpm2"));
    seal_with_key("host+tpm2", CALL_ENCRYPT("host+tpm2"));
    seal_with_key("tpm2+host", CALL_ENCRYPT("host+tpm2"));
    seal_with_key("tpm2-with-public-key", CALL_ENCRYPT("tpm2-with-public-key"));
    seal_with_key("host+tpm2-with-public-key", CALL_ENCRYPT("host+tpm2-with-public-key"));
    /* "tpm2-absent" is the only name that all versions accept. */
    seal_with_key("null", CALL_ENCRYPT("tpm2-absent"));
    seal_with_key("tpm2-absent", CALL_ENCRYPT("tpm2-absent"));
}

TEST(with_a_key_that_makes_no_sense)
{
    static const char *const unknown[] = {"", "Host", "host ", "help", "host+tpm2+x", "autos"};
    _cleanup_(secret_freep) Secret *kek = secret_new_copy(program_key, STORE_KEY_SIZE);
    SlotOptions options = {.with_key = "null"};
    FAKE;

    write_program(&f, "exit 0");
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
        SlotOptions wrong = {.with_key = unknown[i], .allow_null_key = true};

        ASSERT_EQ(creds_seal(&f.creds, kek, &wrong, slot, &detail), -EINVAL);
        ASSERT_TRUE(strstr(detail, "no such type of key") && !strchr(detail, '\n'));
    }
    ASSERT_EQ(creds_seal(&f.creds, kek, &options, slot, &detail), -EKEYREJECTED);
    ASSERT_STR(detail, "key type null is no key at all, which is not allowed");
    ASSERT_TRUE(file_is(&f, "calls", NULL));
}

/* The service accepts no choice of key, so it is not asked. */
TEST(with_key_is_for_the_program)
{
    _cleanup_(secret_freep) Secret *kek = secret_new_copy(program_key, STORE_KEY_SIZE);
    SlotOptions options = {.with_key = "tpm2"};
    FAKE;

    start_service(&f);
    ASSERT_EQ(creds_seal(&f.creds, kek, &options, slot, &detail), -ENOENT);
    write_program(&f, "echo 'no TPM' >&2; exit 1");
    ASSERT_EQ(creds_seal(&f.creds, kek, &options, slot, &detail), -EREMOTEIO);
    ASSERT_TRUE(strstr(detail, "failed: no TPM"));
}

/* auto-initrd gives such a credential on a machine without a TPM. */
TEST(no_credential_without_a_key_is_made)
{
    _cleanup_(secret_freep) Secret *kek = secret_new_copy(program_key, STORE_KEY_SIZE);
    const char *text;
    FAKE;

    write_file(&f, "output", "BYRp2vb1QySABUnaD46i+yAAAAABAAAADAAAABAAAAA=\n", 0600);
    write_program(&f, "cat output");
    ASSERT_EQ(creds_seal(&f.creds, kek, &no_options, slot, &detail), -EKEYREJECTED);
    ASSERT_TRUE(strstr(detail, "no key"));
    ASSERT_OK(creds_seal(&f.creds, kek, &null_allowed, slot, NULL));
    ASSERT_EQ(json_get_string(slot, "withKey", &text), 1);
    ASSERT_STR(text, "null");
    service.id = null_id;
    start_service(&f);
    (void)unlink(f.program);
    ASSERT_EQ(creds_seal(&f.creds, kek, &no_options, slot, &detail), -EKEYREJECTED);
    ASSERT_TRUE(strstr(detail, "no key"));
}

TEST(no_credential_without_a_key_is_opened)
{
    _cleanup_(json_putp) json_object *null = make_slot(null_id, service_key, STORE_KEY_SIZE);
    FAKE;

    start_service(&f);
    write_program(&f, GIVES_KEY);
    ASSERT_EQ(creds_unseal(&f.creds, null, &no_options, &got, &detail), -EKEYREJECTED);
    ASSERT_TRUE(strstr(detail, "no key"));
    ASSERT_TRUE(got == NULL && file_is(&f, "calls", NULL));
    ASSERT_OK(creds_unseal(&f.creds, null, &null_allowed, &got, &detail));
    ASSERT_TRUE(is_key(got, service_key));
}

/* An older service does not know allowNull, and an older program not its option. */
TEST(older_ways_to_a_credential_without_a_key)
{
    _cleanup_(json_putp) json_object *null = make_slot(null_id, service_key, STORE_KEY_SIZE);
    FAKE;

    service.old = true;
    start_service(&f);
    write_program(&f, GIVES_KEY);
    ASSERT_OK(creds_unseal(&f.creds, null, &null_allowed, &got, &detail));
    ASSERT_TRUE(is_key(got, program_key));
    ASSERT_TRUE(file_is(&f, "calls", CALL_DECRYPT_NULL));
    got = secret_free(got);
    write_program(&f, "[ \"$3\" = - ] || exit 1; " GIVES_KEY);
    ASSERT_OK(creds_unseal(&f.creds, null, &null_allowed, &got, &detail));
    ASSERT_TRUE(is_key(got, program_key));
    ASSERT_TRUE(file_is(&f, "calls", CALL_DECRYPT_NULL CALL_DECRYPT_NULL CALL_DECRYPT));
    /* allowNull is sent only for a credential of that kind. */
    got = secret_free(got);
    service.old = false;
    ASSERT_OK(creds_unseal(&f.creds, slot, &null_allowed, &got, &detail));
    ASSERT_TRUE(is_key(got, service_key));
}

/* At the deadline both are given up, and the program is killed. */
TEST(a_service_that_hangs)
{
    uint64_t start = now_monotonic();
    FAKE;

    open_socket(&f);
    write_program(&f, GIVES_KEY);
    f.creds.deadline_usec = start + USEC_PER_SEC / 5;
    ASSERT_EQ(creds_unseal(&f.creds, slot, &no_options, &got, &detail), -ETIMEDOUT);
    ASSERT_STR(detail, "systemd did not answer in time");
    ASSERT_TRUE(got == NULL);
    ASSERT_TRUE(now_monotonic() - start < 60 * USEC_PER_SEC);
}

TEST(a_program_that_hangs)
{
    _cleanup_(secret_freep) Secret *kek = secret_new_copy(program_key, STORE_KEY_SIZE);
    uint64_t start = now_monotonic();
    FAKE;

    write_program(&f, "exec sleep 1000");
    f.creds.deadline_usec = start + USEC_PER_SEC;
    ASSERT_EQ(creds_unseal(&f.creds, slot, &no_options, &got, &detail), -ETIMEDOUT);
    ASSERT_STR(detail, "systemd did not answer in time");
    /* The program is gone and reaped. */
    ASSERT_EQ(waitpid(-1, NULL, WNOHANG), -1);
    ASSERT_EQ(errno, ECHILD);
    f.creds.deadline_usec = now_monotonic() + USEC_PER_SEC / 5;
    ASSERT_EQ(creds_seal(&f.creds, kek, &no_options, slot, NULL), -ETIMEDOUT);
    ASSERT_TRUE(now_monotonic() - start < 60 * USEC_PER_SEC);
}

/* Through the slot type: a handed-in KEK comes before the service. */
TEST(the_slot)
{
    FAKE;

    unsetenv("CREDENTIALS_DIRECTORY");
    setenv("NVME_KEYD_CREDS_SOCKET", f.socket, 1);
    start_service(&f);
    ASSERT_OK(slot_systemd_creds.usable());
    ASSERT_OK(slot_systemd_creds.unseal(slot, &no_options, &got, NULL));
    ASSERT_TRUE(is_key(got, service_key));
    got = secret_free(got);

    write_file(&f, "nvme-keyd.kek", program_key, 0600);
    setenv("CREDENTIALS_DIRECTORY", f.dir, 1);
    ASSERT_OK(slot_systemd_creds.unseal(slot, &no_options, &got, NULL));
    ASSERT_TRUE(is_key(got, program_key));
    got = secret_free(got);

    write_file(&f, "nvme-keyd.kek", "too short", 0600);
    ASSERT_OK(slot_systemd_creds.unseal(slot, &no_options, &got, NULL));
    ASSERT_TRUE(is_key(got, service_key));
    got = secret_free(got);
    write_file(&f, "nvme-keyd.kek", "Whxqht+dQJax1aZeCGLxmiAAAAABAAAADAAAABAAAAA=\n", 0600);
    ASSERT_OK(slot_systemd_creds.unseal(slot, &no_options, &got, NULL));
    ASSERT_TRUE(is_key(got, service_key));
    got = secret_free(got);
    json_object_object_del(slot, "credential");
    ASSERT_EQ(slot_systemd_creds.unseal(slot, &no_options, &got, &detail), -EBADMSG);
    ASSERT_TRUE(detail && strstr(detail, "credential nvme-keyd.kek is still sealed: "));
    write_file(&f, "nvme-keyd.kek", "too short", 0600);
    ASSERT_EQ(slot_systemd_creds.unseal(slot, &no_options, &got, &detail), -EBADMSG);
    ASSERT_TRUE(detail && strstr(detail, "credential nvme-keyd.kek has 9 bytes, not 32; "));
    ASSERT_TRUE(got == NULL);
    unsetenv("CREDENTIALS_DIRECTORY");
    unsetenv("NVME_KEYD_CREDS_SOCKET");
}
