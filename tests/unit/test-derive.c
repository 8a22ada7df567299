/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>

#include "basic/encoding.h"
#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "psk/derive.h"
#include "psk/identity.h"
#include "psk/limits.h"
#include "test.h"
#include "tree.h"

/* An emptied or shortened file must not pass; change this together with psk-vectors.json. */
#define VECTORS 15

/* One entry of the file; a member that is absent or null stays NULL. */
typedef struct Vector {
    const char *id, *kind, *variant, *hostnqn, *subsysnqn, *interchange;
    const char *configured_hex, *retained_hex, *tls_psk_hex, *expected_tls_psk_hex;
    const char *digest, *identity, *expected_identity;
    uint64_t hmac, version;
} Vector;

static json_object *load_vectors(void)
{
    const char *path = getenv("PSK_VECTORS");
    _cleanup_(freep) char *text = NULL;
    json_object *o = NULL;
    size_t size;

    if (!path || tree_read(path, &text, &size) < 0 || json_parse(text, size, 8, &o) < 0)
        return NULL;
    return o;
}

/* Members that this file uses, and those for people: "checks", "source", "status" and "note" are
 * for people. */
static bool member_is_known(const char *key)
{
    static const char *const known[] = {
        "id",
        "kind",
        "source",
        "variant",
        "hostnqn",
        "subsysnqn",
        "hmac",
        "configured_hex",
        "identity_version",
        "interchange",
        "checks",
        "computed",
        "status",
        "expected_identity",
        "expected_tls_psk_hex",
        "note",
        "skey_hex",
        "c1_hex",
        "c2_hex",
        "expected",
        "identity",
        "digest",
        "retained_hex",
        "tls_psk_hex",
        "generated_psk_hex",
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (strcmp(key, known[i]) == 0)
            return true;
    printf("# unknown member %s\n", key);
    return false;
}

static bool members_are_known(json_object *o)
{
    bool good = true;

    if (!json_object_is_type(o, json_type_object))
        return true;
    json_object_object_foreach (o, key, value)
        good = member_is_known(key) && (strcmp(key, "checks") == 0 || members_are_known(value)) &&
               good;
    return good;
}

static bool read_string(json_object *o, const char *key, const char **ret)
{
    return json_get_string(o, key, ret) >= 0;
}

static bool read_vector(json_object *o, Vector *v)
{
    json_object *result = NULL;
    bool generated;

    *v = (Vector){0};
    if (!o || json_get_string(o, "kind", &v->kind) != 1)
        return false;
    generated = strcmp(v->kind, "G") == 0;
    if (json_get_object(o, generated ? "expected" : "computed", &result) != 1)
        return false;
    return json_get_string(o, "id", &v->id) == 1 &&
           json_get_string(o, "variant", &v->variant) == 1 &&
           json_get_string(o, "hostnqn", &v->hostnqn) == 1 &&
           json_get_string(o, "subsysnqn", &v->subsysnqn) == 1 &&
           json_get_uint(o, "hmac", 2, &v->hmac) == 1 &&
           json_get_uint(o, "identity_version", 1, &v->version) == 1 &&
           json_get_string(result, "digest", &v->digest) == 1 &&
           json_get_string(result, "tls_psk_hex", &v->tls_psk_hex) == 1 &&
           json_get_string(generated ? o : result, "identity", &v->identity) == 1 &&
           json_get_string(generated ? result : o,
                           generated ? "generated_psk_hex" : "configured_hex",
                           &v->configured_hex) == 1 &&
           read_string(result, "retained_hex", &v->retained_hex) &&
           read_string(o, "interchange", &v->interchange) &&
           read_string(o, "expected_identity", &v->expected_identity) &&
           read_string(o, "expected_tls_psk_hex", &v->expected_tls_psk_hex);
}

static Secret *secret_from_hex(const char *hex)
{
    size_t size = strlen(hex) / 2;
    Secret *s = secret_new(size);

    for (size_t i = 0; s && i < size; i++)
        if (sscanf(hex + 2 * i, "%2hhx", &s->data[i]) != 1)
            return secret_free(s);
    return s;
}

static bool secret_is_hex(const Secret *s, const char *expected)
{
    char hex[2 * PSK_SIZE_MAX + 1];

    if (!s || s->size > PSK_SIZE_MAX)
        return false;
    hex_encode(s->data, s->size, hex);
    return strcmp(hex, expected) == 0;
}

/* True if the source gives the vector's digest, TLS PSK and identity. */
static bool derives(const Vector *v, const PskSource *source, const char *identity)
{
    _cleanup_(tls_psk_done) TlsPsk psk = {0};
    char digest[PSK_DIGEST_MAX + 1] = "";

    if (psk_digest(source, digest) != 0 || psk_derive(source, (unsigned)v->version, &psk) != 0)
        return false;
    return strcmp(digest, v->digest) == 0 && secret_is_hex(psk.key, v->tls_psk_hex) &&
           strcmp(psk.identity, identity) == 0;
}

/* Parses interchange text, and formats the same text again. */
static bool interchange_fits(const Vector *v, const Secret *configured)
{
    _cleanup_(secret_freep) Secret *parsed = NULL, *text = NULL;
    PskHash hash;

    return psk_interchange_parse(v->interchange, strlen(v->interchange), &hash, &parsed) == 0 &&
           secret_equal(parsed, configured) && hash == (PskHash)v->hmac &&
           psk_interchange_format(hash, configured, &text) == 0 &&
           strcmp((const char *)text->data, v->interchange) == 0;
}

/* An identity is parsed into its parts. Not all vectors have names that begin with "nqn.". */
static bool identity_parses(const Vector *v)
{
    size_t host = strlen(v->hostnqn), subsys = strlen(v->subsysnqn);
    PskIdentity i;

    return psk_identity_parse(v->identity, strlen(v->identity), &i) == 0 &&
           i.version == v->version && i.hostnqn_length == host && i.subsysnqn_length == subsys &&
           strncmp(i.hostnqn, v->hostnqn, host) == 0 &&
           strncmp(i.subsysnqn, v->subsysnqn, subsys) == 0 &&
           (v->version == 1) == (i.digest != NULL) &&
           (!i.digest || strncmp(i.digest, v->digest, i.digest_length) == 0);
}

static bool check_configured(const Vector *v)
{
    _cleanup_(secret_freep) Secret *configured = secret_from_hex(v->configured_hex);
    _cleanup_(secret_freep) Secret *retained =
        v->retained_hex ? secret_from_hex(v->retained_hex) : NULL;
    PskSource source = {configured, (PskHash)v->hmac, PSK_RFC8446, v->hostnqn, v->subsysnqn};

    if (!configured || !retained || !v->interchange || !interchange_fits(v, configured) ||
        psk_derivation_from_string(v->variant, &source.derivation) != 0 ||
        !derives(v, &source, v->identity) || !identity_parses(v))
        return false;
    if ((v->expected_identity && strcmp(v->expected_identity, v->identity) != 0) ||
        (v->expected_tls_psk_hex && strcmp(v->expected_tls_psk_hex, v->tls_psk_hex) != 0))
        return false;

    /* A retained PSK that is used as a configured one without a hash is not transformed again. */
    source.configured = retained;
    source.hash = PSK_HASH_NONE;
    return derives(v, &source, v->identity);
}

/* The kernel's own test of a generated PSK is the one published oracle for the bytes of a TLS PSK:
 * from the retained PSK on it takes the same steps, with another letter in the identity. */
static bool check_generated(const Vector *v)
{
    _cleanup_(secret_freep) Secret *psk = secret_from_hex(v->configured_hex);
    PskSource source = {psk, PSK_HASH_NONE, PSK_RFC8446, v->hostnqn, v->subsysnqn};
    char identity[PSK_IDENTITY_MAX + 1];

    if (!psk || strncmp(v->identity, "NVMe1G", 6) != 0 || strlen(v->identity) > PSK_IDENTITY_MAX)
        return false;
    strcpy(identity, v->identity);
    identity[5] = 'R';
    return derives(v, &source, identity);
}

TEST(vectors)
{
    _cleanup_(json_putp) json_object *o = load_vectors();
    size_t length, checked = 0, generated = 0;
    json_object *list = NULL;

    ASSERT_TRUE(o);
    ASSERT_EQ(json_get_array(o, "vectors", &list), 1);
    length = json_object_array_length(list);
    for (size_t i = 0; i < length; i++) {
        json_object *entry = json_object_array_get_idx(list, i);
        Vector v;

        if (!members_are_known(entry) || !read_vector(entry, &v))
            TEST_FAIL("vector %zu is not understood", i);
        if (strcmp(v.kind, "G") == 0 ? !check_generated(&v)
                                     : strcmp(v.kind, "R") != 0 || !check_configured(&v))
            TEST_FAIL("vector %s", v.id);
        generated += v.kind[0] == 'G';
        checked++;
    }
    ASSERT_EQ(checked, length);
    ASSERT_EQ(checked, VECTORS);
    ASSERT_EQ(generated, 1);
}

/* Fills in a valid NQN of exactly length characters. */
static void make_nqn(char *ret, size_t length)
{
    memset(ret, 'x', length);
    memcpy(ret, "nqn.", 4);
    ret[length] = '\0';
}

/* Derives for two NQNs of these lengths; a failure must leave the output untouched. */
static int derive_for_lengths(unsigned version, size_t host_length, size_t subsys_length)
{
    _cleanup_(secret_freep) Secret *key = secret_new(48);
    char host[NQN_LENGTH_MAX + 1], subsys[NQN_LENGTH_MAX + 1];
    PskSource source = {key, PSK_HASH_SHA384, PSK_RFC8446, host, subsys};
    size_t expected = 9 + host_length + 1 + subsys_length + (version == 1 ? 65 : 0);
    TlsPsk psk = {.identity = "untouched"};
    int r;

    make_nqn(host, host_length);
    make_nqn(subsys, subsys_length);
    if (!key)
        return -ENOMEM;
    r = psk_derive(&source, version, &psk);
    if (r != 0)
        return !psk.key && strcmp(psk.identity, "untouched") == 0 ? r : -EPROTO;
    r = strlen(psk.identity) == expected && psk.key->size == 48 ? 0 : -EPROTO;
    tls_psk_done(&psk);
    return r;
}

TEST(identity_lengths)
{
    /* 9 + 122 + 1 + 123 characters make 255. */
    ASSERT_OK(derive_for_lengths(0, 122, 123));
    ASSERT_OK(derive_for_lengths(0, 22, 223));
    ASSERT_EQ(derive_for_lengths(0, 123, 123), PSK_E_IDENTITY_LENGTH);
    ASSERT_EQ(derive_for_lengths(0, 23, 223), PSK_E_IDENTITY_LENGTH);
    ASSERT_EQ(derive_for_lengths(0, 223, 223), PSK_E_IDENTITY_LENGTH);
    ASSERT_OK(derive_for_lengths(1, 123, 123));
    ASSERT_OK(derive_for_lengths(1, 223, 223));
    ASSERT_OK(derive_for_lengths(1, 5, 5));
}

/* Each input changes the TLS PSK, and equal inputs give the same one. */
TEST(every_input_counts)
{
    _cleanup_(secret_freep) Secret *key = NULL, *other = NULL;
    TlsPsk psks[9] = {0};
    PskSource sources[9];
    bool good = true;

    ASSERT_OK(secret_random(32, &key));
    other = secret_new_copy(key->data, key->size);
    ASSERT_TRUE(other);
    other->data[31] ^= 1;
    for (size_t i = 0; i < 9; i++)
        sources[i] = (PskSource){key, PSK_HASH_SHA256, PSK_RFC8446, "nqn.a", "nqn.b"};
    sources[1].configured = other;
    sources[2].hash = PSK_HASH_NONE;
    sources[3].derivation = PSK_COMPAT;
    sources[4].hostnqn = "nqn.c";
    sources[5].subsysnqn = "nqn.c";
    sources[8].derivation = PSK_LASTFRAG;

    /* 6 is of the other version, and 7 is equal to 0. */
    for (size_t i = 0; i < 9; i++)
        good = good && psk_derive(&sources[i], i == 6 ? 0 : 1, &psks[i]) == 0;
    for (size_t i = 0; good && i < 9; i++)
        for (size_t k = 0; k < i; k++) {
            bool same = k == 0 && i == 7;

            good = good && secret_equal(psks[i].key, psks[k].key) == same &&
                   (strcmp(psks[i].identity, psks[k].identity) == 0) == same;
        }
    for (size_t i = 0; i < 9; i++)
        tls_psk_done(&psks[i]);
    ASSERT_TRUE(good);
}

TEST(derivation_names)
{
    PskDerivation d = PSK_COMPAT;

    ASSERT_STR(psk_derivation_to_string(PSK_RFC8446), "rfc8446");
    ASSERT_STR(psk_derivation_to_string(PSK_COMPAT), "compat");
    ASSERT_STR(psk_derivation_to_string(PSK_LASTFRAG), "lastfrag");
    ASSERT_OK(psk_derivation_from_string("rfc8446", &d));
    ASSERT_EQ(d, PSK_RFC8446);
    ASSERT_EQ(psk_derivation_from_string("RFC8446", &d), -EINVAL);
    ASSERT_EQ(psk_derivation_from_string("c", &d), -EINVAL);
    ASSERT_EQ(psk_derivation_from_string("", &d), -EINVAL);
    ASSERT_EQ(d, PSK_RFC8446);
    ASSERT_OK(psk_derivation_from_string("lastfrag", &d));
    ASSERT_EQ(d, PSK_LASTFRAG);
    ASSERT_OK(psk_derivation_from_string("compat", &d));
    ASSERT_EQ(d, PSK_COMPAT);
}

/* With a little more locked memory in each round, each step fails once, until all succeed. */
TEST(without_memory)
{
    static Secret *blocks[SECRET_ARENA_SIZE / 32];
    _cleanup_(secret_freep) Secret *key = secret_new(32);
    PskSource source = {key, PSK_HASH_SHA256, PSK_RFC8446, "nqn.a", "nqn.b"};
    TlsPsk psk = {.identity = "untouched"};
    size_t n = 0, failed = 0;
    int r = 0;

    ASSERT_TRUE(key);
    while (n < ARRAY_SIZE(blocks) && (blocks[n] = secret_new(8)))
        n++;
    while (n > 0 && (r = psk_derive(&source, 1, &psk)) != 0) {
        failed++;
        if ((r != -ENOMEM && r != -EIO) || psk.key || strcmp(psk.identity, "untouched") != 0)
            break;
        secret_free(blocks[--n]);
    }
    while (n > 0)
        secret_free(blocks[--n]);
    ASSERT_OK(r);
    ASSERT_TRUE(failed > 1 && psk.key);
    tls_psk_done(&psk);
}

/* A sanitizer's shadow memory is larger, and holds no data. */
#define MAPPING_SIZE_MAX ((size_t)64 * 1024 * 1024)
#define MAPPINGS_MAX 1024
#define SAMPLE 16

/* All writable memory of the process. */
typedef struct Mappings {
    struct {
        unsigned long start, end;
    } list[MAPPINGS_MAX];
    size_t n;
} Mappings;

static bool list_mappings(Mappings *ret)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512], write;

    ret->n = 0;
    while (maps && ret->n < MAPPINGS_MAX && fgets(line, sizeof(line), maps)) {
        unsigned long start, end;

        if (sscanf(line, "%lx-%lx r%c", &start, &end, &write) == 3 && write == 'w' &&
            end - start <= MAPPING_SIZE_MAX) {
            ret->list[ret->n].start = start;
            ret->list[ret->n++].end = end;
        }
    }
    if (maps)
        fclose(maps);
    return ret->n > 0 && ret->n < MAPPINGS_MAX;
}

/* Counts a sample in memory that no pointer owns. A copy of the sample would be found as well, so
 * it is passed as its complement. This calls no function, because a call would overwrite the stack
 * below before it is searched. */
__attribute__((no_sanitize("address", "undefined"))) static size_t
count_sample(const Mappings *m, const uint8_t complement[static SAMPLE])
{
    size_t n = 0;

    for (size_t k = 0; k < m->n; k++)
        for (unsigned long at = m->list[k].start; at + SAMPLE <= m->list[k].end; at++) {
            const volatile uint8_t *p = (const volatile uint8_t *)at;
            size_t i = 0;

            while (i < SAMPLE && (p[i] ^ complement[i]) == 0xff)
                i++;
            n += i == SAMPLE;
        }
    return n;
}

static void take_complement(const uint8_t *data, uint8_t ret[static SAMPLE])
{
    for (size_t i = 0; i < SAMPLE; i++)
        ret[i] = (uint8_t)~data[i];
}

/* Makes a key and returns it as text. ret_key gets the complement of a sample of the key, which
 * count_sample() takes. */
static Secret *new_text(uint8_t ret_key[static SAMPLE])
{
    _cleanup_(secret_freep) Secret *key = NULL, *text = NULL;

    if (psk_generate(PSK_HASH_SHA384, &key) != 0 ||
        psk_interchange_format(PSK_HASH_SHA384, key, &text) != 0)
        return NULL;
    take_complement(key->data, ret_key);
    return TAKE_PTR(text);
}

/* Each of the use_*() functions has a secret in memory and returns true if its sample is found
 * then: the search works. The secret should be gone when the function has returned. */
static bool use_format(const Mappings *m, uint8_t ret[static SAMPLE])
{
    _cleanup_(secret_freep) Secret *text = new_text(ret);

    if (!text)
        return false;
    take_complement(text->data + sizeof("NVMeTLSkey-1:02:"), ret);
    return count_sample(m, ret) == 1;
}

static bool use_parse(const Mappings *m, const Secret *text, const uint8_t sample[static SAMPLE])
{
    _cleanup_(secret_freep) Secret *key = NULL;
    PskHash hash;

    return psk_interchange_parse((const char *)text->data, text->size - 1, &hash, &key) == 0 &&
           count_sample(m, sample) >= 1;
}

static bool use_derive(const Mappings *m, uint8_t ret_configured[static SAMPLE],
                       uint8_t ret_tls[static SAMPLE])
{
    _cleanup_(secret_freep) Secret *key = NULL;
    _cleanup_(tls_psk_done) TlsPsk psk = {0};
    PskSource source = {NULL, PSK_HASH_SHA384, PSK_RFC8446, "nqn.a", "nqn.b"};

    if (psk_generate(PSK_HASH_SHA384, &key) != 0)
        return false;
    source.configured = key;
    if (psk_derive(&source, 1, &psk) != 0)
        return false;
    take_complement(key->data, ret_configured);
    take_complement(psk.key->data, ret_tls);
    return count_sample(m, ret_configured) >= 1 && count_sample(m, ret_tls) >= 1;
}

TEST(nothing_stays_behind)
{
    static Mappings m;
    uint8_t sample[SAMPLE], tls[SAMPLE];
    Secret *text = new_text(sample);

    ASSERT_TRUE(list_mappings(&m) && text);
    ASSERT_EQ(count_sample(&m, sample), 0);
    ASSERT_TRUE(use_parse(&m, text, sample));
    ASSERT_EQ(count_sample(&m, sample), 0);
    secret_free(text);
    ASSERT_TRUE(use_format(&m, sample));
    ASSERT_EQ(count_sample(&m, sample), 0);
    ASSERT_TRUE(use_derive(&m, sample, tls));
    ASSERT_EQ(count_sample(&m, sample), 0);
    ASSERT_EQ(count_sample(&m, tls), 0);
}
