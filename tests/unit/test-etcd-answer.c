/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "nvme-keyd-fetch/etcd-answer.h"
#include "test.h"

#define HEADER                                                                                     \
    "\"header\":{\"cluster_id\":\"14841639068965178418\",\"member_id\":\"1\",\"revision\":\"7\"}"

/* The items that came, as "KEY=VALUE@REVISION " or "KEY-@REVISION ". */
typedef struct Seen {
    char text[512];
    int result;
} Seen;

static int on_item(const EtcdItem *item, void *userdata)
{
    Seen *s = userdata;
    size_t n = strlen(s->text);

    if (item->value)
        snprintf(s->text + n, sizeof(s->text) - n, "%s=%.*s@%d ", item->key, (int)item->value_size,
                 (const char *)item->value, (int)item->revision);
    else
        snprintf(s->text + n, sizeof(s->text) - n, "%s-@%d ", item->key, (int)item->revision);
    return s->result;
}

static int range(const char *text, Seen *seen, EtcdHeader *header, bool *more)
{
    return etcd_answer_range(text, strlen(text), on_item, seen, header, more);
}

static int watch(const char *text, Seen *seen, EtcdWatch *w)
{
    return etcd_answer_watch(text, strlen(text), on_item, seen, w);
}

TEST(range)
{
    Seen seen = {.result = 0};
    EtcdHeader header;
    bool more;

    ASSERT_OK(range("{" HEADER ",\"kvs\":[{\"key\":\"L2E=\",\"create_revision\":\"2\","
                    "\"mod_revision\":\"3\",\"version\":\"1\",\"value\":\"aGk=\"},"
                    "{\"key\":\"L2I=\",\"mod_revision\":\"9\"}],\"more\":true,\"count\":\"5\"}",
                    &seen, &header, &more));
    ASSERT_STR(seen.text, "/a=hi@3 /b=@9 ");
    ASSERT_TRUE(more);
    ASSERT_EQ(header.revision, 7);
    ASSERT_TRUE(header.cluster == 14841639068965178418ULL);
    seen.text[0] = '\0';
    ASSERT_OK(range("{" HEADER "}", &seen, &header, &more));
    ASSERT_STR(seen.text, "");
    ASSERT_TRUE(!more);
}

TEST(range_makes_no_sense)
{
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        "{" HEADER,
        "{" HEADER "} x",
        "{" HEADER ",\"kvs\":{}}",
        "{" HEADER ",\"kvs\":[1]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L2E=\"}]}",
        "{" HEADER ",\"kvs\":[{\"mod_revision\":\"3\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L2E\",\"mod_revision\":\"3\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"AAAA\",\"mod_revision\":\"3\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L2E=\",\"mod_revision\":3}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L2E=\",\"mod_revision\":\"-3\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L2E=\",\"mod_revision\":\"99999999999999999999\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L2E=\",\"mod_revision\":\"3\",\"value\":\"!\"}]}",
        "{\"header\":{\"revision\":\"x\"}}",
    };
    Seen seen = {.result = 0};
    EtcdHeader header;
    bool more;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (range(texts[i], &seen, &header, &more) != -EBADMSG)
            TEST_FAIL("%s is accepted", texts[i]);
        ASSERT_STR(seen.text, "");
    }
}

/* A value takes a hundred times as much memory as its text. */
TEST(too_many_values)
{
    size_t n = 3 * FETCH_JSON_VALUES_MAX;
    char *text = calloc(1, n + 16);
    Seen seen = {.result = 0};
    EtcdWatch w;
    char *p = stpcpy(text, "{\"a\":[");

    while (p < text + n)
        p = stpcpy(p, "{},");
    strcpy(p, "{}]}");
    ASSERT_EQ(watch(text, &seen, &w), -EFBIG);
    free(text);
}

TEST(watch_events)
{
    Seen seen = {.result = 0};
    EtcdWatch w;

    ASSERT_OK(watch("{\"result\":{" HEADER ",\"created\":true}}", &seen, &w));
    ASSERT_EQ(w.kind, ETCD_WATCH_CREATED);
    ASSERT_EQ(w.header.revision, 7);
    ASSERT_OK(watch("{\"result\":{" HEADER
                    ",\"events\":[{\"kv\":{\"key\":\"L2E=\",\"mod_revision\":\"6\","
                    "\"value\":\"aGk=\"}},{\"type\":\"DELETE\",\"kv\":{\"key\":\"L2I=\","
                    "\"mod_revision\":\"7\"}}]}}",
                    &seen, &w));
    ASSERT_EQ(w.kind, ETCD_WATCH_EVENTS);
    ASSERT_STR(seen.text, "/a=hi@6 /b-@7 ");
    ASSERT_OK(watch("{\"result\":{" HEADER "}}", &seen, &w));
    ASSERT_EQ(w.kind, ETCD_WATCH_PROGRESS);
    /* An inbox that is full ends it. */
    seen.result = -ENOSPC;
    ASSERT_EQ(watch("{\"result\":{" HEADER ",\"events\":[{\"kv\":{\"key\":\"L2E=\","
                    "\"mod_revision\":\"6\"}}]}}",
                    &seen, &w),
              -ENOSPC);
}

TEST(watch_ends)
{
    Seen seen = {.result = 0};
    EtcdWatch w;

    ASSERT_OK(
        watch("{\"result\":{" HEADER ",\"canceled\":true,\"compact_revision\":\"5\"}}", &seen, &w));
    ASSERT_EQ(w.kind, ETCD_WATCH_COMPACTED);
    /* etcd refuses a watch with HTTP status 200, and calls it created. */
    ASSERT_OK(watch("{\"result\":{" HEADER ",\"created\":true,\"canceled\":true,\"cancel_reason\":"
                    "\"rpc error: code = PermissionDenied desc = etcdserver: permission "
                    "denied\"}}",
                    &seen, &w));
    ASSERT_EQ(w.kind, ETCD_WATCH_CANCELED);
    ASSERT_EQ(etcd_fault_of(w.why), ETCD_FAULT_DENIED);
    ASSERT_OK(watch("{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":"
                    "\"etcdserver: no leader\"}}",
                    &seen, &w));
    ASSERT_EQ(w.kind, ETCD_WATCH_CANCELED);
    ASSERT_STR(w.why, "etcdserver: no leader");
    ASSERT_EQ(watch("{\"result\":{}}", &seen, &w), -EBADMSG);
    ASSERT_EQ(watch("{\"other\":{}}", &seen, &w), -EBADMSG);
    ASSERT_EQ(watch("{\"result\":{" HEADER ",\"events\":[{\"type\":\"MOVE\",\"kv\":{\"key\":"
                    "\"L2E=\",\"mod_revision\":\"6\"}}]}}",
                    &seen, &w),
              -EBADMSG);
}

TEST(token)
{
    static const char good[] = "{" HEADER ",\"token\":\"abc.12\"}";
    static const char *const bad[] = {"{}", "{\"token\":\"\"}", "{\"token\":7}",
                                      "{\"token\":\"a\\nb\"}"};
    _cleanup_(secret_freep) Secret *token = NULL;

    ASSERT_OK(etcd_answer_token(good, strlen(good), &token));
    ASSERT_STR((const char *)token->data, "abc.12");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        Secret *none = NULL;

        ASSERT_EQ(etcd_answer_token(bad[i], strlen(bad[i]), &none), -EBADMSG);
    }
}

TEST(lease)
{
    static const char granted[] = "{" HEADER ",\"ID\":\"7587848943239472601\",\"TTL\":\"30\"}";
    static const char alive[] = "{\"result\":{" HEADER ",\"ID\":\"7\",\"TTL\":\"29\"}}\n";
    static const char ended[] = "{\"result\":{" HEADER ",\"ID\":\"7\"}}";
    uint64_t id, ttl;

    ASSERT_OK(etcd_answer_lease(granted, strlen(granted), &id, &ttl));
    ASSERT_TRUE(id == 7587848943239472601ULL && ttl == 30);
    ASSERT_OK(etcd_answer_lease(alive, strlen(alive), &id, &ttl));
    ASSERT_TRUE(id == 7 && ttl == 29);
    ASSERT_OK(etcd_answer_lease(ended, strlen(ended), &id, &ttl));
    ASSERT_TRUE(id == 7 && ttl == 0);
    ASSERT_EQ(etcd_answer_lease("{}", 2, &id, &ttl), -EBADMSG);
}

/* As etcd 3.4 and 3.5 say it. */
TEST(faults)
{
    static const struct {
        unsigned status;
        const char *body;
        EtcdFault fault;
        const char *why;
    } cases[] = {
        {401, "{\"error\":\"etcdserver: invalid auth token\",\"code\":16}", ETCD_FAULT_TOKEN,
         "etcdserver: invalid auth token"},
        {400, "{\"message\":\"etcdserver: user name is empty\",\"code\":3}", ETCD_FAULT_TOKEN,
         "etcdserver: user name is empty"},
        {403, "{\"message\":\"etcdserver: permission denied\",\"code\":7}", ETCD_FAULT_DENIED,
         "etcdserver: permission denied"},
        {400, "{\"error\":\"etcdserver: authentication failed, invalid user ID or password\"}",
         ETCD_FAULT_LOGIN, "etcdserver: authentication failed, invalid user ID or password"},
        {400, "{\"error\":\"etcdserver: authentication is not enabled\"}", ETCD_FAULT_OPEN,
         "etcdserver: authentication is not enabled"},
        {404, "{\"error\":\"etcdserver: requested lease not found\"}", ETCD_FAULT_LEASE,
         "etcdserver: requested lease not found"},
        {400, "{\"error\":\"etcdserver: mvcc: required revision has been compacted\"}",
         ETCD_FAULT_COMPACTED, "etcdserver: mvcc: required revision has been compacted"},
        {502, "<html>Bad Gateway</html>", ETCD_FAULT_OTHER, "HTTP status 502"},
        {401, "", ETCD_FAULT_TOKEN, "HTTP status 401"},
        {500, "{\"error\":\"a\\u001b[31mb\"}", ETCD_FAULT_OTHER, "a?[31mb"},
    };
    char why[ETCD_WHY_MAX + 1];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ASSERT_EQ(etcd_answer_fault(cases[i].status, cases[i].body, strlen(cases[i].body), why),
                  cases[i].fault);
        ASSERT_STR(why, cases[i].why);
    }
}
