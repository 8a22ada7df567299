/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

/* Has functions for PEM only after pem.h. */
#include <openssl/cms.h>

#include "envelope/cms.h"
#include "envelope/limits.h"
#include "test.h"

/* A fleet of an issuer, two machines, and strangers. */
typedef struct Fleet {
    EVP_PKEY *issuer, *host, *target, *stranger;
    X509 *issuer_cert, *host_cert, *target_cert, *stranger_cert;
} Fleet;

static void fleet_done(const Fleet *f)
{
    EVP_PKEY_free(f->issuer);
    EVP_PKEY_free(f->host);
    EVP_PKEY_free(f->target);
    EVP_PKEY_free(f->stranger);
    X509_free(f->issuer_cert);
    X509_free(f->host_cert);
    X509_free(f->target_cert);
    X509_free(f->stranger_cert);
}

static bool fleet_make(Fleet *f)
{
    return machine_key_new(&f->issuer) == 0 && machine_key_new(&f->host) == 0 &&
           machine_key_new(&f->target) == 0 && machine_key_new(&f->stranger) == 0 &&
           machine_certificate(f->issuer, NULL, true, &f->issuer_cert) == 0 &&
           machine_certificate(f->host, "nqn.2026-11.org.example:host", false, &f->host_cert) ==
               0 &&
           machine_certificate(f->target, NULL, false, &f->target_cert) == 0 &&
           machine_certificate(f->stranger, NULL, true, &f->stranger_cert) == 0;
}

#define FLEET                                                                                      \
    _cleanup_(fleet_done) Fleet f = {.issuer = NULL};                                              \
    _cleanup_(secret_freep) Secret *content = secret_new_copy("{\"keys\":[]}", 11);                \
    _cleanup_(secret_freep) Secret *opened = NULL;                                                 \
    _cleanup_(freep) char *sealed = NULL;                                                          \
    char issuer[MACHINE_FINGERPRINT_SIZE] = "", expected[MACHINE_FINGERPRINT_SIZE];                \
    ASSERT_TRUE(content &&fleet_make(&f))

static int seal_to(const Fleet *f, const Secret *content, X509 *machine, char **ret)
{
    return envelope_seal(content, f->issuer_cert, f->issuer, &machine, 1, ret);
}

static int open_as(const Fleet *f, const char *sealed, EVP_PKEY *machine, Secret **ret,
                   char ret_issuer[static MACHINE_FINGERPRINT_SIZE])
{
    X509 *issuers[] = {f->stranger_cert, f->issuer_cert};

    return envelope_open(sealed, strlen(sealed), machine, issuers, 2, ret, ret_issuer);
}

typedef struct Der {
    uint8_t data[8192];
    size_t size;
} Der;

static bool to_der(const char *pem, Der *ret)
{
    BIO *b = BIO_new_mem_buf(pem, -1);
    CMS_ContentInfo *cms = b ? PEM_read_bio_CMS(b, NULL, NULL, NULL) : NULL;
    unsigned char *p = ret->data;
    int n = cms ? i2d_CMS_ContentInfo(cms, NULL) : -1;
    bool good = n > 0 && (size_t)n <= sizeof(ret->data) && i2d_CMS_ContentInfo(cms, &p) == n;

    ret->size = good ? (size_t)n : 0;
    CMS_ContentInfo_free(cms);
    BIO_free(b);
    return good;
}

TEST(both_machines_open)
{
    FLEET;
    X509 *both[] = {f.host_cert, f.target_cert};

    ASSERT_OK(envelope_seal(content, f.issuer_cert, f.issuer, both, 2, &sealed));
    ASSERT_OK(open_as(&f, sealed, f.host, &opened, issuer));
    ASSERT_TRUE(secret_equal(content, opened));
    ASSERT_OK(machine_fingerprint(f.issuer, expected));
    ASSERT_STR(issuer, expected);
    opened = secret_free(opened);
    ASSERT_OK(open_as(&f, sealed, f.target, &opened, issuer));
    ASSERT_TRUE(secret_equal(content, opened));
}

TEST(other_machine)
{
    FLEET;

    ASSERT_OK(seal_to(&f, content, f.host_cert, &sealed));
    ASSERT_EQ(open_as(&f, sealed, f.target, &opened, issuer), ENVELOPE_NOT_FOR_US);
    ASSERT_TRUE(!opened);
    (void)expected;
}

TEST(unknown_issuer)
{
    FLEET;
    X509 *only[] = {f.issuer_cert};

    ASSERT_OK(envelope_seal(content, f.stranger_cert, f.stranger, &f.host_cert, 1, &sealed));
    ASSERT_EQ(envelope_open(sealed, strlen(sealed), f.host, only, 1, &opened, issuer),
              ENVELOPE_ISSUER);
    ASSERT_EQ(envelope_open(sealed, strlen(sealed), f.host, NULL, 0, &opened, issuer),
              ENVELOPE_ISSUER);
    ASSERT_TRUE(!opened);
    (void)expected;
}

/* A signature under the name of the issuer, by another key. */
TEST(forged_signature)
{
    FLEET;
    _cleanup_(X509_freep) X509 *forged = X509_dup(f.issuer_cert);

    ASSERT_TRUE(forged && X509_set_pubkey(forged, f.stranger) == 1 &&
                X509_sign(forged, f.stranger, EVP_sha256()) > 0);
    ASSERT_OK(envelope_seal(content, forged, f.stranger, &f.host_cert, 1, &sealed));
    ASSERT_EQ(open_as(&f, sealed, f.host, &opened, issuer), ENVELOPE_SIGNATURE);
    ASSERT_TRUE(!opened);
    (void)expected;
}

/* Whoever carries an envelope may change any of its bytes. */
TEST(each_byte_counts)
{
    FLEET;
    size_t opens = 0;
    Der der;

    ASSERT_OK(seal_to(&f, content, f.host_cert, &sealed));
    ASSERT_TRUE(to_der(sealed, &der));
    for (size_t i = 0; i < der.size; i++) {
        int r;

        der.data[i] ^= 0x55;
        r = envelope_open(der.data, der.size, f.host, &f.issuer_cert, 1, &opened, issuer);
        der.data[i] ^= 0x55;
        /* Some bytes name the recipient and carry nothing. Then the content is the same. */
        if (r == 0) {
            ASSERT_TRUE(secret_equal(content, opened));
            opens++;
        }
        opened = secret_free(opened);
    }
    ASSERT_TRUE(opens < der.size / 8);
    (void)expected;
}

TEST(truncated_and_appended)
{
    FLEET;
    Der der;

    ASSERT_OK(seal_to(&f, content, f.host_cert, &sealed));
    ASSERT_TRUE(to_der(sealed, &der));
    ASSERT_OK(envelope_open(der.data, der.size, f.host, &f.issuer_cert, 1, &opened, issuer));
    opened = secret_free(opened);
    for (size_t n = 0; n < der.size; n += 7)
        ASSERT_TRUE(envelope_open(der.data, n, f.host, &f.issuer_cert, 1, &opened, issuer) > 0);
    for (size_t n = 0; n < strlen(sealed) - 2; n += 7)
        ASSERT_TRUE(envelope_open(sealed, n, f.host, &f.issuer_cert, 1, &opened, issuer) > 0);
    der.data[der.size] = 0;
    ASSERT_EQ(envelope_open(der.data, der.size + 1, f.host, &f.issuer_cert, 1, &opened, issuer),
              ENVELOPE_MALFORMED);
    (void)expected;
}

static bool begins(const char *text, const char *beginning)
{
    return beginning[0] && strncmp(text, beginning, strlen(beginning)) == 0;
}

TEST(recipients)
{
    FLEET;
    X509 *both[] = {f.host_cert, f.target_cert};
    char ids[2][MACHINE_KEY_ID_SIZE] = {"", ""};

    ASSERT_OK(envelope_seal(content, f.issuer_cert, f.issuer, both, 2, &sealed));
    ASSERT_EQ(envelope_recipients(sealed, strlen(sealed), ids, 1), 2);
    ASSERT_STR(ids[1], "");
    ASSERT_EQ(envelope_recipients(sealed, strlen(sealed), ids, 2), 2);
    /* They are a SET, which DER sorts. */
    ASSERT_OK(machine_fingerprint(f.host, expected));
    ASSERT_TRUE(begins(expected, ids[0]) || begins(expected, ids[1]));
    ASSERT_OK(machine_fingerprint(f.target, expected));
    ASSERT_TRUE(begins(expected, ids[0]) || begins(expected, ids[1]));
    ASSERT_TRUE(strcmp(ids[0], ids[1]) != 0);
    ASSERT_EQ(envelope_recipients("x", 1, ids, 2), -EBADMSG);
    (void)opened;
    (void)issuer;
}

TEST(unsigned_content)
{
    FLEET;
    BIO *in = BIO_new_mem_buf(content->data, (int)content->size), *out = BIO_new(BIO_s_mem());
    CMS_ContentInfo *cms = CMS_AuthEnvelopedData_create(EVP_aes_256_gcm());
    char *der;
    long n;

    ASSERT_TRUE(in && out && cms && CMS_set_detached(cms, 0) == 1 &&
                CMS_add1_recipient_cert(cms, f.host_cert, CMS_USE_KEYID) &&
                CMS_final(cms, in, NULL, CMS_BINARY | CMS_PARTIAL) == 1 &&
                i2d_CMS_bio(out, cms) == 1);
    n = BIO_get_mem_data(out, &der);
    ASSERT_EQ(envelope_open(der, (size_t)n, f.host, &f.issuer_cert, 1, &opened, issuer),
              ENVELOPE_MALFORMED);
    BIO_free(in);
    BIO_free(out);
    CMS_ContentInfo_free(cms);
    (void)sealed;
    (void)expected;
}

TEST(limits)
{
    FLEET;
    _cleanup_(secret_freep) Secret *long_content = secret_new(ENVELOPE_CONTENT_MAX + 1);
    X509 *many[ENVELOPE_RECIPIENTS_MAX + 1];

    for (size_t i = 0; i < ENVELOPE_RECIPIENTS_MAX + 1; i++)
        many[i] = f.host_cert;
    ASSERT_EQ(envelope_seal(content, f.issuer_cert, f.issuer, many, 0, &sealed), -EINVAL);
    ASSERT_EQ(
        envelope_seal(content, f.issuer_cert, f.issuer, many, ENVELOPE_RECIPIENTS_MAX + 1, &sealed),
        -EINVAL);
    ASSERT_TRUE(long_content);
    ASSERT_EQ(seal_to(&f, long_content, f.host_cert, &sealed), -EINVAL);
    ASSERT_OK(
        envelope_seal(content, f.issuer_cert, f.issuer, many, ENVELOPE_RECIPIENTS_MAX, &sealed));
    ASSERT_TRUE(strlen(sealed) <= ENVELOPE_SIZE_MAX);
    ASSERT_OK(open_as(&f, sealed, f.host, &opened, issuer));
    (void)expected;
}

/* Files for the program openssl. */
static bool write_key(const char *path, EVP_PKEY *key)
{
    FILE *file = fopen(path, "w");
    bool good = file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1;

    return (file ? fclose(file) == 0 : false) && good;
}

static bool write_bytes(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "w");
    bool good = file && fwrite(data, 1, size, file) == size;

    return (file ? fclose(file) == 0 : false) && good;
}

static bool write_certificate(const char *path, X509 *certificate)
{
    _cleanup_(freep) char *pem = NULL;

    return machine_certificate_to_pem(certificate, &pem) == 0 &&
           write_bytes(path, pem, strlen(pem));
}

static size_t read_bytes(const char *path, uint8_t *ret, size_t size)
{
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(ret, 1, size, file) : 0;

    if (file)
        (void)fclose(file);
    return n;
}

static bool enter_directory(void)
{
    char dir[] = "/tmp/keyd-envelope.XXXXXX";

    return mkdtemp(dir) && chdir(dir) == 0;
}

static void leave_directory(void)
{
    char command[96];
    char *dir = get_current_dir_name();

    if (dir && snprintf(command, sizeof(command), "rm -rf %s", dir) > 0 && chdir("/") == 0)
        (void)!system(command);
    free(dir);
}

#define RUN(command) ASSERT_EQ(system(command " 2>openssl.log"), 0)

TEST(openssl_opens_ours)
{
    FLEET;
    uint8_t data[64];

    if (system("openssl version >/dev/null 2>&1") != 0)
        TEST_SKIP("openssl is not installed");
    ASSERT_OK(seal_to(&f, content, f.host_cert, &sealed));
    ASSERT_TRUE(enter_directory());
    ASSERT_TRUE(write_bytes("envelope", sealed, strlen(sealed)) && write_key("host.key", f.host) &&
                write_certificate("host.pem", f.host_cert) &&
                write_certificate("issuer.pem", f.issuer_cert));
    RUN("openssl cms -decrypt -inform PEM -in envelope -inkey host.key -recip host.pem -binary "
        "-out inner");
    RUN("openssl cms -verify -inform DER -in inner -certfile issuer.pem -nointern -noverify "
        "-binary -out content");
    ASSERT_EQ(read_bytes("content", data, sizeof(data)), content->size);
    ASSERT_MEM(data, content->data, content->size);
    leave_directory();
    (void)opened;
    (void)issuer;
    (void)expected;
}

TEST(we_open_those_of_openssl)
{
    FLEET;
    uint8_t data[8192];
    size_t n;

    if (system("openssl version >/dev/null 2>&1") != 0)
        TEST_SKIP("openssl is not installed");
    ASSERT_TRUE(enter_directory());
    ASSERT_TRUE(write_bytes("content", content->data, content->size) &&
                write_key("issuer.key", f.issuer) && write_certificate("host.pem", f.host_cert) &&
                write_certificate("issuer.pem", f.issuer_cert));
    RUN("openssl cms -sign -binary -nodetach -nocerts -nosmimecap -md sha256 -outform DER -in "
        "content -signer issuer.pem -inkey issuer.key -out inner");
    RUN("openssl cms -encrypt -binary -aes-256-gcm -outform DER -in inner -out envelope -recip "
        "host.pem -keyopt ecdh_kdf_md:sha256");
    n = read_bytes("envelope", data, sizeof(data));
    ASSERT_OK(envelope_open(data, n, f.host, &f.issuer_cert, 1, &opened, issuer));
    ASSERT_TRUE(secret_equal(content, opened));
    leave_directory();
    (void)sealed;
    (void)expected;
}
