/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/log.h"
#include "basic/names.h"
#include "basic/text.h"
#include "nvme-keyd/keys/key-neighbours.h"
#include "nvme-keyd/upcall/answer.h"
#include "nvme-keyd/upcall/limits.h"
#include "psk/identity.h"
#include "psk/nqn.h"

/* The kernel counts whole seconds, and the requester of a key that expires before its helper ends
 * gets ENOKEY, whatever the key was rejected with. A timeout of one second may be over at once, so
 * these are two. */

/* The kernel should search again at once, because its keys are in `.nvme` now. */
#define SEARCH_AGAIN_TIMEOUT_SEC 2
/* The store may open soon: a TPM answers, or a person enters a recovery key. */
#define STORE_RETRY_SEC 2

typedef struct Question {
    Manager *manager;
    const char *type;
    const char *description;
    const char *callout;
} Question;

static void reject(UpcallReply *reply, unsigned error, unsigned timeout_sec)
{
    reply->error = error;
    reply->timeout_sec = timeout_sec;
    reply->size = 0;
}

static void miss(const Manager *m, UpcallReply *reply)
{
    reject(reply, ENOKEY, manager_config(m)->negative_timeout_sec);
}

/* Returns the key of one identity that should be published now, or NULL. */
static const Key *find_identity(Manager *m, const PskIdentity *i, const char *text)
{
    uint64_t now = now_realtime();
    Key *k = key_table_pair(manager_keys(m), i->hostnqn, i->hostnqn_length, i->subsysnqn,
                            i->subsysnqn_length);

    for (; k; k = k->next_of_pair) {
        const char *identity = k->identities[i->version];

        if (identity && strcmp(identity, text) == 0 && key_is_publishable(k, now) &&
            key_own_versions(manager_keys(m), k) & KEY_VERSION_BIT(i->version))
            break;
    }
    return k;
}

/* A request for a version 1 identity without its digest cannot be instantiated: the description of
 * a key never changes, so the wrong identity would go out on the wire. Publish the real keys
 * instead; the next search finds them. */
static bool publish_for_search(Manager *m, const PskIdentity *i, UpcallReply *reply)
{
    const Key *first = key_table_pair(manager_keys(m), i->hostnqn, i->hostnqn_length, i->subsysnqn,
                                      i->subsysnqn_length);

    reject(reply, EAGAIN, SEARCH_AGAIN_TIMEOUT_SEC);
    return publisher_publish_pair(manager_publisher(m), first) > 0;
}

static bool copy_tls_psk(Manager *m, const PskIdentity *i, const char *text, UpcallReply *reply)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    const Key *k = find_identity(m, i, text);
    const uint8_t *bytes;
    size_t size;

    if (!k || key_unseal(k, &payload) < 0 ||
        key_payload_tls_psk(payload, i->version, &bytes, &size) < 0)
        return false;
    memcpy(reply->payload, bytes, size);
    reply->size = (uint32_t)size;
    reply->timeout_sec = publisher_lifetime(manager_publisher(m), k);
    return true;
}

/* Answers a request for one key of the type of the ring. */
static void answer_identity(const Question *q, UpcallReply *reply)
{
    const char *text = q->description;
    bool found = false;
    PskIdentity i;

    if (psk_identity_parse(text, strlen(text), &i) == 0)
        found = i.version == 1 && !i.digest ? publish_for_search(q->manager, &i, reply)
                                            : copy_tls_psk(q->manager, &i, text, reply);
    if (!found)
        miss(q->manager, reply);
}

typedef struct Filter {
    unsigned versions;
    bool any_hash;
    PskHash hash;
} Filter;

static int filter_word(Filter *f, const char *word, size_t n)
{
    char value[16] = "";
    const char *equals = memchr(word, '=', n);
    size_t name = equals ? (size_t)(equals - word) : n;

    if (equals && n - name - 1 < sizeof(value))
        memcpy(value, equals + 1, n - name - 1);
    if (name == 7 && memcmp(word, "version", name) == 0) {
        f->versions = strcmp(value, "0") == 0   ? KEY_VERSION_BIT(0)
                      : strcmp(value, "1") == 0 ? KEY_VERSION_BIT(1)
                                                : 0;
        return f->versions ? 0 : -EINVAL;
    }
    if (name == 4 && memcmp(word, "hash", name) == 0) {
        f->any_hash = false;
        return psk_hash_from_string(value, &f->hash) < 0 || f->hash == PSK_HASH_NONE ? -EINVAL : 0;
    }
    /* A later kernel may send more words, so unknown ones are ignored. */
    return 0;
}

static int parse_callout(const char *callout, Filter *ret)
{
    Filter f = {~0u, true, PSK_HASH_SHA256};
    int r = 0;

    for (const char *p = callout; r == 0 && *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");

        r = filter_word(&f, p, n);
        p += n;
    }
    *ret = f;
    return r < 0 ? -EINVAL : 0;
}

static void put_serials(const Key *k, const Filter *f, UpcallReply *reply)
{
    for (unsigned v = 0; v < KEY_VERSIONS; v++) {
        char *p = (char *)reply->payload + reply->size;
        size_t room = sizeof(reply->payload) - reply->size;
        int n;

        if (!k->serials[v] || !(f->versions & KEY_VERSION_BIT(v)) ||
            !(f->any_hash || f->hash == k->hash))
            continue;
        n = snprintf(p, room, "%s%d", reply->size > 0 ? " " : "", k->serials[v]);
        if (n > 0 && (size_t)n < room)
            reply->size += (uint32_t)n;
    }
}

static const Key *find_pair(const Question *q)
{
    const char *hostnqn = q->description + strlen(NAMES_PAIR_REQUEST);
    const char *blank = strchr(hostnqn, ' ');
    size_t n = blank ? (size_t)(blank - hostnqn) : 0;

    if (!blank || !nqn_is_usable(hostnqn, n) || !nqn_is_usable(blank + 1, strlen(blank + 1)))
        return NULL;
    return key_table_pair(manager_keys(q->manager), hostnqn, n, blank + 1, strlen(blank + 1));
}

/* Answers "nvme-tls-psk:HOSTNQN SUBSYSNQN": publishes all keys of the pair and lists their serials
 * in decimal, separated by blanks. */
static void answer_pair(const Question *q, UpcallReply *reply)
{
    const Key *first = find_pair(q);
    Filter f;

    if (parse_callout(q->callout, &f) < 0) {
        reject(reply, EINVAL, NEGATIVE_TIMEOUT_SEC);
        return;
    }
    if (publisher_publish_pair(manager_publisher(q->manager), first) > 0)
        for (const Key *k = first; k; k = k->next_of_pair)
            if (key_is_publishable(k, now_realtime()))
                put_serials(k, &f, reply);
    reply->timeout_sec = UPCALL_ANSWER_SEC;
    if (reply->size == 0)
        miss(q->manager, reply);
}

/* Parses a packet. q->manager is set already; description and callout point into text, which has
 * room for them and a terminator. */
static int read_question(const UpcallRequest *request, size_t size, char *text, Question *q)
{
    size_t length = size - offsetof(UpcallRequest, text), n;

    if (size <= offsetof(UpcallRequest, text) ||
        size > offsetof(UpcallRequest, text) + sizeof(request->text) ||
        request->magic != UPCALL_MAGIC || request->type[UPCALL_TYPE_MAX] != '\0')
        return -EINVAL;
    memcpy(text, request->text, length);
    text[length] = '\0';
    n = strlen(text);
    if (n == 0 || n > KEY_DESCRIPTION_MAX)
        return -EINVAL;
    q->type = request->type;
    q->description = text;
    q->callout = n < length ? text + n + 1 : "";
    /* At most one NUL, and not at the end. */
    return n == length || (n + 1 < length && n + 1 + strlen(q->callout) == length) ? 0 : -EINVAL;
}

static void answer_question(const Question *q, UpcallReply *reply)
{
    const char *key_type =
        manager_config(q->manager)->stand_in ? NAMES_KEY_TYPE_STAND_IN : NAMES_KEY_TYPE;

    if (strcmp(q->type, "user") == 0 &&
        strncmp(q->description, NAMES_PAIR_REQUEST, strlen(NAMES_PAIR_REQUEST)) == 0)
        answer_pair(q, reply);
    else if (strcmp(q->type, key_type) == 0)
        answer_identity(q, reply);
    else
        miss(q->manager, reply);
}

/* True if a handed-in key answers the request, which then does not wait for the store. */
static bool is_known(const Question *q)
{
    const char *text = q->description;
    const Key *k = NULL;
    PskIdentity i;

    if (strncmp(text, NAMES_PAIR_REQUEST, strlen(NAMES_PAIR_REQUEST)) == 0)
        k = find_pair(q);
    else if (psk_identity_parse(text, strlen(text), &i) == 0)
        k = i.version == 1 && !i.digest
                ? key_table_pair(manager_keys(q->manager), i.hostnqn, i.hostnqn_length, i.subsysnqn,
                                 i.subsysnqn_length)
                : find_identity(q->manager, &i, text);
    return k && key_is_publishable(k, now_realtime());
}

bool upcall_answer(Manager *manager, const UpcallRequest *request, size_t size, UpcallReply *ret)
{
    Question q = {.manager = manager};
    Vault *vault = manager_vault(manager);
    char text[sizeof(request->text) + 1];
    bool settled, known;

    *ret = (UpcallReply){.magic = UPCALL_MAGIC};
    if (read_question(request, size, text, &q) < 0) {
        reject(ret, EINVAL, NEGATIVE_TIMEOUT_SEC);
        return true;
    }
    settled = vault_await(vault);
    known = manager_store(manager) || is_known(&q);
    if (!settled && !known)
        return false;
    /* ENOKEY would claim that a store which cannot be opened lacks the key. EBUSY is taken: it is
     * the answer of the kernel when it cannot start the helper. */
    if (!known && vault_error(vault) < 0)
        reject(ret, EKEYREJECTED, STORE_RETRY_SEC);
    else
        answer_question(&q, ret);
    return true;
}

void upcall_log_miss(const UpcallRequest *request, size_t size, const UpcallReply *reply)
{
    const LogFields fields = {.message_id = MESSAGE_REQUEST_MISS};
    char text[sizeof(request->text) + 1];
    Question q = {NULL, NULL, NULL, NULL};

    if (reply->error == ENOKEY && read_question(request, size, text, &q) == 0)
        (void)log_full(LOG_NOTICE, 0, &fields, "The kernel asked for a PSK that is not here: %s",
                       text_is_printable(q.description) ? q.description : "(unprintable)");
}
