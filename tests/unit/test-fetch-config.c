/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <unistd.h>

#include "nvme-keyd-fetch/fetch-config.h"
#include "test.h"

/* Loads text as a file. Returns the number of problems, the first one in *ret_first, to be freed.
 */
static size_t load(const char *text, FetchConfig *ret, char **ret_first)
{
    _cleanup_(config_problems_done) ConfigProblems problems = {.n = 0};
    char path[] = "/tmp/test-fetch-config-XXXXXX";
    int fd = mkstemp(path);

    *ret_first = NULL;
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        return 1000;
    (void)close(fd);
    fetch_config_load(path, ret, &problems);
    (void)unlink(path);
    if (problems.n > 0)
        *ret_first = strdup(strchr(config_problem(&problems, 0), ':') + 1);
    return problems.n;
}

#define ASSERT_GOOD(text)                                                                          \
    do {                                                                                           \
        _cleanup_(freep) char *first_ = NULL;                                                      \
        size_t n_ = load(text, &c, &first_);                                                       \
        if (n_ != 0)                                                                               \
            TEST_FAIL("%s", first_);                                                               \
    } while (0)

#define ASSERT_BAD(section, line)                                                                  \
    do {                                                                                           \
        _cleanup_(freep) char *first_ = NULL;                                                      \
        size_t n_ = load("[" section "]\n" line "\n", &c, &first_);                                \
        if (n_ != 1 || !strstr(first_, "cannot be"))                                               \
            TEST_FAIL("%s: %s", line, first_);                                                     \
    } while (0)

TEST(defaults)
{
    const char *why;
    FetchConfig c;

    ASSERT_GOOD("");
    ASSERT_STR(c.source, "etcd");
    ASSERT_STR(c.prefix, "/nvme-keyd/");
    ASSERT_STR(c.inbox, "/run/nvme-keyd-fetch/inbox");
    ASSERT_EQ(c.presence_sec, FETCH_PRESENCE_SEC);
    ASSERT_TRUE(!fetch_config_is_complete(&c, &why));
    ASSERT_TRUE(strstr(why, "Endpoint="));
}

TEST(all_options)
{
    const char *why;
    FetchConfig c;

    ASSERT_GOOD("[Source]\nType=etcd\nEndpoint=https://a:2379\nEndpoint=https://[::1]:2379\n"
                "Prefix=/x/\nMachine=0123abcd\nUser=m1\n[TLS]\nCA=/a\nCertificate=/b\nKey=/c\n"
                "[Inbox]\nDirectory=/i\n[Report]\nPresenceSec=60s\nService=no\n");
    ASSERT_EQ(c.n_endpoints, 2);
    ASSERT_STR(c.endpoints[1], "https://[::1]:2379");
    ASSERT_STR(c.prefix, "/x/");
    ASSERT_STR(c.key, "/c");
    ASSERT_EQ(c.presence_sec, 60);
    ASSERT_STR(c.service, "no");
    ASSERT_TRUE(fetch_config_is_complete(&c, &why));
    /* An empty value empties a list. */
    ASSERT_GOOD("[Source]\nEndpoint=https://a:1\nEndpoint=\nEndpoint=https://b:1\n");
    ASSERT_EQ(c.n_endpoints, 1);
    ASSERT_STR(c.endpoints[0], "https://b:1");
}

TEST(bad_values)
{
    FetchConfig c;

    ASSERT_BAD("Source", "Endpoint=a:2379");
    ASSERT_BAD("Source", "Endpoint=ftp://a");
    ASSERT_BAD("Source", "Endpoint=https://");
    ASSERT_BAD("Source", "Endpoint=https://a/v3");
    ASSERT_BAD("Source", "Endpoint=https://user@a");
    ASSERT_BAD("Source", "Prefix=/nvme-keyd");
    ASSERT_BAD("Source", "Machine=a/b");
    ASSERT_BAD("Source", "Machine=..");
    ASSERT_BAD("Source", "Machine=");
    ASSERT_BAD("TLS", "CA=relative");
    ASSERT_BAD("Inbox", "Directory=");
    ASSERT_BAD("Report", "PresenceSec=2");
    ASSERT_BAD("Report", "PresenceSec=3601");
    ASSERT_BAD("Report", "PresenceSec=-5");
    ASSERT_BAD("Report", "PresenceSec=10x");
    ASSERT_BAD("Report", "Service=relative");
    ASSERT_EQ(c.presence_sec, FETCH_PRESENCE_SEC);
}

TEST(password_in_the_clear)
{
    const char *why;
    FetchConfig c;

    ASSERT_GOOD("[Source]\nEndpoint=http://a:2379\nMachine=m\n");
    ASSERT_TRUE(fetch_config_is_complete(&c, &why));
    ASSERT_GOOD("[Source]\nEndpoint=http://a:2379\nMachine=m\nUser=u\n");
    ASSERT_TRUE(!fetch_config_is_complete(&c, &why));
    ASSERT_TRUE(strstr(why, "in the clear"));
    ASSERT_GOOD("[Source]\nEndpoint=http://127.0.0.1:2379\nEndpoint=http://[::1]:1\nMachine=m\n"
                "User=u\n");
    ASSERT_TRUE(fetch_config_is_complete(&c, &why));
    ASSERT_GOOD("[Source]\nEndpoint=http://localhost.example:2379\nMachine=m\nUser=u\n");
    ASSERT_TRUE(!fetch_config_is_complete(&c, &why));
}
