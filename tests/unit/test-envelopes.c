/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "nvme-keyd-fetch/envelopes.h"
#include "nvme-keyd-fetch/name.h"
#include "test.h"
#include "tree.h"

typedef struct Place {
    char path[64];
    FetchInbox inbox;
    Envelopes *envelopes;
} Place;

static void place_done(Place *p)
{
    (void)envelopes_free(p->envelopes);
    fetch_inbox_close(&p->inbox);
    tree_remove(p->path);
}

static bool place_new(Place *p)
{
    char inbox[96];

    strcpy(p->path, "/tmp/test-envelopes-XXXXXX");
    if (!mkdtemp(p->path))
        return false;
    snprintf(inbox, sizeof(inbox), "%s/inbox", p->path);
    return fetch_inbox_open(inbox, &p->inbox) == 0 && envelopes_new(&p->inbox, &p->envelopes) == 0;
}

#define PLACE                                                                                      \
    _cleanup_(place_done) Place p = {.inbox = {.fd = -EBADF}};                                     \
    ASSERT_TRUE(place_new(&p))

static bool exists(const Place *p, const char *name)
{
    struct stat st;

    return fstatat(p->inbox.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool refuse(const Place *p, const char *name, const char *why)
{
    char file[256];

    snprintf(file, sizeof(file), "%s.reason", name);
    return io_write_file_at(p->inbox.fd, file, why, strlen(why)) == 0;
}

static char *text_of(const Place *p)
{
    _cleanup_(json_putp) json_object *array = NULL;
    char *text;

    if (envelopes_to_json(p->envelopes, &array) < 0)
        return NULL;
    text = strdup(json_object_to_json_string_ext(array, JSON_C_TO_STRING_PLAIN));
    return text;
}

#define ASSERT_STATES(expected)                                                                    \
    do {                                                                                           \
        _cleanup_(freep) char *text_ = text_of(&p);                                                \
        ASSERT_STR(text_, expected);                                                               \
    } while (0)

TEST(names)
{
    char longest[FETCH_NAME_MAX + 2];

    ASSERT_TRUE(fetch_name_is_valid("0123abcd"));
    ASSERT_TRUE(fetch_name_is_valid("a.b_c-D"));
    ASSERT_TRUE(!fetch_name_is_valid(""));
    ASSERT_TRUE(!fetch_name_is_valid(".hidden"));
    ASSERT_TRUE(!fetch_name_is_valid("a/b"));
    ASSERT_TRUE(!fetch_name_is_valid("a b"));
    ASSERT_TRUE(!fetch_name_is_valid("a.tmp"));
    ASSERT_TRUE(!fetch_name_is_valid("a.reason"));
    memset(longest, 'a', sizeof(longest) - 1);
    longest[FETCH_NAME_MAX + 1] = '\0';
    ASSERT_TRUE(!fetch_name_is_valid(longest));
    longest[FETCH_NAME_MAX] = '\0';
    ASSERT_TRUE(fetch_name_is_valid(longest));
}

TEST(life)
{
    struct stat st;
    PLACE;

    ASSERT_TRUE(!envelopes_has(p.envelopes, "one", 5));
    ASSERT_OK(envelopes_pass(p.envelopes, "one", 5, "data", 4));
    ASSERT_OK(envelopes_pass(p.envelopes, "two", 6, "data", 4));
    ASSERT_TRUE(envelopes_has(p.envelopes, "one", 5));
    ASSERT_TRUE(!envelopes_has(p.envelopes, "one", 4));
    ASSERT_OK(fstatat(p.inbox.fd, "one.5", &st, 0));
    ASSERT_EQ(st.st_mode & 07777, 0640);
    ASSERT_EQ(st.st_size, 4);
    ASSERT_TRUE(!exists(&p, "one.5.tmp"));
    ASSERT_EQ(envelopes_look(p.envelopes), 0);
    ASSERT_OK(unlinkat(p.inbox.fd, "one.5", 0));
    ASSERT_TRUE(refuse(&p, "two.6", "an older generation\n"));
    ASSERT_EQ(envelopes_look(p.envelopes), 2);
    ASSERT_EQ(envelopes_look(p.envelopes), 0);
    ASSERT_STATES("[{\"name\":\"one\",\"revision\":5,\"state\":\"taken\"},"
                  "{\"name\":\"two\",\"revision\":6,\"state\":\"refused\","
                  "\"reason\":\"an older generation\"}]");
}

/* A newer one never has the name of one that may just be read. Files of those before do not pile
 * up.
 */
TEST(newer)
{
    PLACE;

    ASSERT_OK(envelopes_pass(p.envelopes, "one", 5, "data", 4));
    ASSERT_OK(envelopes_pass(p.envelopes, "one", 7, "more", 4));
    ASSERT_TRUE(!exists(&p, "one.5") && exists(&p, "one.7"));
    ASSERT_TRUE(refuse(&p, "one.7", "no\n"));
    ASSERT_OK(envelopes_pass(p.envelopes, "one", 9, "most", 4));
    ASSERT_TRUE(!exists(&p, "one.7") && !exists(&p, "one.7.reason") && exists(&p, "one.9"));
    ASSERT_STATES("[{\"name\":\"one\",\"revision\":9,\"state\":\"waiting\"}]");
}

TEST(too_long)
{
    PLACE;

    envelopes_refuse(p.envelopes, "one", 5, "it is too long");
    ASSERT_TRUE(envelopes_has(p.envelopes, "one", 5));
    ASSERT_EQ(envelopes_look(p.envelopes), 0);
    ASSERT_STATES("[{\"name\":\"one\",\"revision\":5,\"state\":\"refused\","
                  "\"reason\":\"it is too long\"}]");
}

/* An envelope that could not be written is not known, so it will be fetched again. */
TEST(inbox_is_gone)
{
    char inbox[96];
    PLACE;

    snprintf(inbox, sizeof(inbox), "%s/inbox", p.path);
    ASSERT_OK(rmdir(inbox));
    ASSERT_EQ(envelopes_pass(p.envelopes, "one", 5, "data", 4), -ENOENT);
    ASSERT_TRUE(!envelopes_has(p.envelopes, "one", 5));
}

TEST(many)
{
    char name[16];
    PLACE;

    for (int i = 0; i < FETCH_ENVELOPES_MAX; i++) {
        snprintf(name, sizeof(name), "e%d", i);
        envelopes_refuse(p.envelopes, name, 1, "");
    }
    ASSERT_EQ(envelopes_pass(p.envelopes, "more", 5, "data", 4), -ENOSPC);
    ASSERT_OK(envelopes_pass(p.envelopes, "e7", 5, "data", 4));
}

/* Leftovers of an interrupted run are removed, nothing else. */
TEST(open_again)
{
    char inbox[96];
    FetchInbox again;
    PLACE;

    ASSERT_OK(io_write_file_at(p.inbox.fd, "a.1.tmp", "x", 1));
    ASSERT_OK(io_write_file_at(p.inbox.fd, "a.1", "x", 1));
    snprintf(inbox, sizeof(inbox), "%s/inbox", p.path);
    ASSERT_OK(fetch_inbox_open(inbox, &again));
    ASSERT_TRUE(!exists(&p, "a.1.tmp") && exists(&p, "a.1"));
    fetch_inbox_close(&again);
}
