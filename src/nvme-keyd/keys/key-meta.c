/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/encoding.h"
#include "basic/scan.h"
#include "nvme-keyd/keys/key.h"
#include "psk/limits.h"
#include "psk/nqn.h"

/* The metadata of a record. Reader and writer have the same members in the same order. */

#define KIND "{\"kind\":"
#define HOST_NQN ",\"hostNQN\":"
#define SUBSYSTEM_NQN ",\"subsystemNQN\":"
#define ROLE ",\"role\":"
#define STATE ",\"state\":"
#define HASH ",\"hash\":"
#define DERIVATION ",\"derivation\":"
#define VERSIONS ",\"identityVersions\":"
#define CREATED ",\"created\":"
#define CHANGED ",\"changed\":"
#define DIGEST ",\"digest\":"
#define DEADLINE ",\"deadline\":"
#define STEP ",\"step\":"
#define PLANNED ",\"planned\":"
#define UNSYNCHRONIZED ",\"unsynchronized\":true"
#define SUCCEEDS ",\"succeeds\":"
#define CONFIRMED ",\"confirmed\":"
#define FOLLOW ",\"follow\":true"
#define EXPIRES ",\"expires\":"
#define ROTATE_AFTER ",\"rotateAfter\":"
#define COMMENT ",\"comment\":"

/* By KEY_VERSION_BIT()s. */
static const char *const version_texts[] = {NULL, "[0]", "[1]", "[0,1]"};

/* More than all names of members, words, times, a digest and an id. */
#define FIXED_LENGTH_MAX 832
/* "configured" is the longest word. */
#define WORD_SIZE 16

static bool scan_member(Scan *s, const char *member, char *ret, size_t capacity)
{
    return scan_literal(s, member) && scan_string(s, ret, capacity);
}

static int scan_nqn(Scan *s, const char *member, char **ret)
{
    char name[NQN_LENGTH_MAX + 1];

    if (!scan_member(s, member, name, sizeof(name)) || !nqn_is_usable(name, strlen(name)))
        return -EBADMSG;
    *ret = strdup(name);
    return *ret ? 0 : -ENOMEM;
}

static bool scan_kind(Scan *s, Key *k)
{
    char word[WORD_SIZE];

    if (!scan_member(s, KIND, word, sizeof(word)))
        return false;
    k->kind = strcmp(word, key_kind_to_string(KEY_DERIVED)) == 0 ? KEY_DERIVED : KEY_CONFIGURED;
    return strcmp(word, key_kind_to_string(k->kind)) == 0;
}

static bool scan_state(Scan *s, Key *k)
{
    char word[WORD_SIZE];

    if (!scan_member(s, STATE, word, sizeof(word)))
        return false;
    while (k->state < KEY_BROKEN && strcmp(word, key_state_to_string(k->state)) != 0)
        k->state++;
    return k->state < KEY_BROKEN;
}

static bool scan_versions(Scan *s, Key *k)
{
    if (!scan_literal(s, VERSIONS))
        return false;
    for (k->versions = 1; k->versions < ARRAY_SIZE(version_texts); k->versions++)
        if (scan_literal(s, version_texts[k->versions]))
            return true;
    return false;
}

static bool scan_words(Scan *s, Key *k)
{
    char word[WORD_SIZE];

    return scan_member(s, ROLE, word, sizeof(word)) && key_role_from_string(word, &k->role) == 0 &&
           scan_state(s, k) && scan_member(s, HASH, word, sizeof(word)) &&
           psk_hash_from_string(word, &k->hash) == 0 &&
           scan_member(s, DERIVATION, word, sizeof(word)) &&
           psk_derivation_from_string(word, &k->derivation) == 0 && scan_versions(s, k);
}

/* Whether this kind of key has a digest of so many bytes; 0: none. */
static bool digest_fits(const Key *k, size_t size)
{
    if (k->kind == KEY_CONFIGURED)
        return size == 32 || size == 48;
    if (k->hash == PSK_HASH_NONE)
        return false;
    if (k->versions == KEY_VERSION_BIT(1))
        return size == psk_hash_size(k->hash);
    return k->versions == KEY_VERSION_BIT(0) && size == 0;
}

static bool scan_digest(Scan *s, Key *k)
{
    uint8_t digest[PSK_SIZE_MAX];
    size_t size = 0;

    if (scan_literal(s, DIGEST) &&
        (!scan_string(s, k->digest, sizeof(k->digest)) ||
         base64_decode(k->digest, strlen(k->digest), digest, sizeof(digest), &size) < 0 ||
         size == 0))
        return false;
    return digest_fits(k, size);
}

static bool scan_times(Scan *s, Key *k)
{
    return scan_literal(s, CREATED) && scan_number(s, INT64_MAX, &k->created_usec) &&
           scan_literal(s, CHANGED) && scan_number(s, INT64_MAX, &k->changed_usec);
}

/* An optional member that is a time, 0 if it is absent. */
static bool scan_time(Scan *s, const char *member, uint64_t *ret)
{
    return !scan_literal(s, member) || (scan_number(s, INT64_MAX, ret) && *ret > 0);
}

/* True if the step need not be written: the one that a retiring key always had. */
static bool has_usual_step(const Key *k)
{
    return k->state == KEY_RETIRING && k->step == KEY_STEP_REMOVE &&
           k->planned_usec == k->changed_usec;
}

static bool scan_step_word(Scan *s, Key *k)
{
    char word[WORD_SIZE];

    if (!scan_string(s, word, sizeof(word)))
        return false;
    for (k->step = KEY_STEP_ACTIVATE; k->step <= KEY_STEP_REMOVE; k->step++)
        if (strcmp(word, key_step_to_string(k->step)) == 0)
            return true;
    return false;
}

static bool scan_planned(Scan *s, Key *k)
{
    if (!scan_literal(s, STEP)) {
        k->step = KEY_STEP_REMOVE;
        k->planned_usec = k->changed_usec;
        return k->state == KEY_RETIRING;
    }
    return scan_step_word(s, k) && scan_literal(s, PLANNED) &&
           scan_number(s, INT64_MAX, &k->planned_usec) && !has_usual_step(k);
}

static bool scan_step(Scan *s, Key *k)
{
    if (!scan_time(s, DEADLINE, &k->deadline_usec))
        return false;
    if (k->deadline_usec == 0)
        return true;
    if (!scan_planned(s, k))
        return false;
    k->unsynchronized = scan_literal(s, UNSYNCHRONIZED);
    return true;
}

static bool scan_succeeds(Scan *s, Key *k)
{
    Scan id;
    uint64_t number;

    if (!scan_literal(s, SUCCEEDS))
        return true;
    if (!scan_string(s, k->succeeds, sizeof(k->succeeds)))
        return false;
    id = (Scan){k->succeeds, k->succeeds + strlen(k->succeeds)};
    return scan_hex64(&id, &number) && id.p == id.end;
}

static bool scan_life(Scan *s, Key *k)
{
    if (!scan_step(s, k) || !scan_succeeds(s, k) || !scan_time(s, CONFIRMED, &k->confirmed_usec))
        return false;
    k->follow = scan_literal(s, FOLLOW);
    return scan_time(s, EXPIRES, &k->expires_usec) && scan_time(s, ROTATE_AFTER, &k->rotate_usec);
}

static int scan_comment(Scan *s, Key *k)
{
    size_t capacity;

    if (!scan_literal(s, COMMENT))
        return 0;
    /* It is the last member, and its text is never longer than its string. */
    capacity = (size_t)(s->end - s->p);
    k->comment = malloc(capacity + 1);
    if (!k->comment)
        return -ENOMEM;
    return scan_string(s, k->comment, capacity) ? 0 : -EBADMSG;
}

int key_from_meta(const char *text, size_t size, Key **ret)
{
    _cleanup_(key_freep) Key *k = calloc(1, sizeof(*k));
    Scan s = {text, text + size};
    int r;

    if (!k)
        return -ENOMEM;
    if (!scan_kind(&s, k))
        return -EBADMSG;
    if ((r = scan_nqn(&s, HOST_NQN, &k->hostnqn)) < 0 ||
        (r = scan_nqn(&s, SUBSYSTEM_NQN, &k->subsysnqn)) < 0)
        return r;
    if (!scan_words(&s, k) || !scan_times(&s, k) || !scan_digest(&s, k) || !scan_life(&s, k))
        return -EBADMSG;
    if ((r = scan_comment(&s, k)) < 0)
        return r;
    if (!scan_literal(&s, "}") || s.p != s.end)
        return -EBADMSG;
    r = key_set_identities(k);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(k);
    return 0;
}

static char *write_member(char *p, const char *member, const char *value)
{
    return scan_write_string(stpcpy(p, member), value);
}

static char *write_time(char *p, const char *member, uint64_t usec)
{
    return usec > 0 ? scan_write_number(stpcpy(p, member), usec) : p;
}

static char *write_life(char *p, const Key *k)
{
    p = write_time(p, DEADLINE, k->deadline_usec);
    if (k->step != KEY_STEP_NONE && !has_usual_step(k)) {
        p = write_member(p, STEP, key_step_to_string(k->step));
        p = scan_write_number(stpcpy(p, PLANNED), k->planned_usec);
    }
    if (k->unsynchronized)
        p = stpcpy(p, UNSYNCHRONIZED);
    if (k->succeeds[0])
        p = write_member(p, SUCCEEDS, k->succeeds);
    p = write_time(p, CONFIRMED, k->confirmed_usec);
    if (k->follow)
        p = stpcpy(p, FOLLOW);
    p = write_time(p, EXPIRES, k->expires_usec);
    return write_time(p, ROTATE_AFTER, k->rotate_usec);
}

char *key_to_meta(const Key *k)
{
    size_t length =
        strlen(k->hostnqn) + strlen(k->subsysnqn) + (k->comment ? strlen(k->comment) : 0);
    char *text = malloc(FIXED_LENGTH_MAX + SCAN_STRING_LENGTH_MAX(length)), *p = text;

    if (!text)
        return NULL;
    p = write_member(p, KIND, key_kind_to_string(k->kind));
    p = write_member(p, HOST_NQN, k->hostnqn);
    p = write_member(p, SUBSYSTEM_NQN, k->subsysnqn);
    p = write_member(p, ROLE, key_role_to_string(k->role));
    p = write_member(p, STATE, key_state_to_string(k->state));
    p = write_member(p, HASH, psk_hash_to_string(k->hash));
    p = write_member(p, DERIVATION, psk_derivation_to_string(k->derivation));
    p = stpcpy(stpcpy(p, VERSIONS), version_texts[k->versions]);
    p = scan_write_number(stpcpy(p, CREATED), k->created_usec);
    p = scan_write_number(stpcpy(p, CHANGED), k->changed_usec);
    if (k->digest[0])
        p = write_member(p, DIGEST, k->digest);
    p = write_life(p, k);
    if (k->comment)
        p = write_member(p, COMMENT, k->comment);
    strcpy(p, "}");
    return text;
}
