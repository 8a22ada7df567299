/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <keyutils.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "basic/text.h"
#include "keyring/links.h"
#include "keyring/session.h"

#define SESSION_NAME "_ses"
#define INVOCATION_TYPE "user"
#define INVOCATION_NAME "invocation_id"
#define KEYRING_TYPE "keyring"

typedef struct Serials {
    int32_t *all;
    size_t n;
    size_t capacity;
} Serials;

/* The keyring and invocation to find, and the candidates of /proc/keys. */
typedef struct Search {
    const uint8_t *invocation;
    int32_t keyring;
    char name[32];
    Serials sessions; /* according to /proc/keys; is_roots() verifies it */
    Serials revoked;  /* keyrings of that name */
} Search;

static void search_done(const Search *s)
{
    free(s->sessions.all);
    free(s->revoked.all);
}

static int serials_add(Serials *s, int32_t serial)
{
    if (s->n == s->capacity) {
        size_t capacity = 2 * s->capacity + 16;
        int32_t *grown = realloc(s->all, capacity * sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        s->all = grown;
        s->capacity = capacity;
    }
    s->all[s->n++] = serial;
    return 0;
}

static bool serials_contain(const int32_t *all, size_t n, int32_t serial)
{
    for (size_t i = 0; i < n; i++)
        if (all[i] == serial)
            return true;
    return false;
}

/* Puts the type of a key into text. *ret_name is its name, in the same buffer, or NULL for a key of
 * another user. Returns the error of keyctl_describe(3). */
static int describe(int32_t serial, char *text, size_t size, const char **ret_name)
{
    long n = keyctl_describe(serial, text, size - 1);
    char *owner;

    if (n < 0)
        return -errno;
    *ret_name = NULL;
    if ((size_t)n >= size)
        return 0;
    text[n] = '\0';
    owner = strchr(text, ';');
    if (owner && text_after(owner, ";0;")) {
        *ret_name = strrchr(text, ';') + 1;
        *owner = '\0';
    }
    return 0;
}

static bool holds_bytes(int32_t serial, const uint8_t *bytes, size_t size)
{
    char payload[SESSION_INVOCATION_SIZE + 1];
    long n = keyctl_read(serial, payload, sizeof(payload));

    return n == (long)size && memcmp(payload, bytes, size) == 0;
}

/* Returns 1 when a keyring is linked in another, 0 when not, or -ENOMEM. */
static int leads_to(int32_t from, int32_t keyring)
{
    _cleanup_(freep) int32_t *links = NULL;
    size_t n = 0;
    int r = links_read(from, &links, &n);

    /* Gone in the meantime, or not for us to see. */
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    return serials_contain(links, n, keyring);
}

/* Whether one of the links is the id of the invocation. */
static bool is_of_invocation(const Search *s, const int32_t *links, size_t n)
{
    const char *name = NULL;
    char text[64];

    for (size_t i = 0; i < n; i++)
        if (describe(links[i], text, sizeof(text), &name) == 0 && name &&
            strcmp(text, INVOCATION_TYPE) == 0 && strcmp(name, INVOCATION_NAME) == 0 &&
            holds_bytes(links[i], s->invocation, SESSION_INVOCATION_SIZE))
            return true;
    return false;
}

/* Returns what a link of a session leads to, or -ENOMEM. */
static int look_at(const Search *s, int32_t link)
{
    const char *name = NULL;
    char text[64];
    int r;

    if (link == s->keyring)
        return SESSION_RING;
    r = describe(link, text, sizeof(text), &name);
    if (r == -EKEYREVOKED && serials_contain(s->revoked.all, s->revoked.n, link))
        return SESSION_REVOKED;
    if (r < 0 || !name || strcmp(text, KEYRING_TYPE) != 0)
        return SESSION_NEITHER;
    r = leads_to(link, s->keyring);
    return r < 0 ? r : r > 0 ? SESSION_RING : SESSION_NEITHER;
}

/* Returns 1 when it is a session keyring of the invocation, 0 when not, or -ENOMEM. */
static int look_into(const Search *s, int32_t session, SessionLinks *ret)
{
    _cleanup_(freep) int32_t *links = NULL;
    size_t n = 0;
    int r;

    /* Gone in the meantime, or not for us to see. */
    r = links_read(session, &links, &n);
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    if (!is_of_invocation(s, links, n))
        return 0;
    *ret = SESSION_NEITHER;
    for (size_t i = 0; i < n; i++) {
        r = look_at(s, links[i]);
        if (r < 0)
            return r;
        if ((SessionLinks)r > *ret)
            *ret = (SessionLinks)r;
    }
    return 1;
}

static bool is_session(int32_t serial)
{
    char text[64];
    const char *name = NULL;

    return describe(serial, text, sizeof(text), &name) == 0 && name &&
           strcmp(text, KEYRING_TYPE) == 0 && strcmp(name, SESSION_NAME) == 0;
}

/* Reads "SERIAL FLAGS USAGE TIMEOUT PERM UID GID TYPE NAME: SUMMARY". A line may be forged, see
 * ring.c, but a revoked key is listed nowhere else. */
static int read_line(Search *s, const char *line)
{
    char flags[8], type[16], name[32];
    size_t length;
    unsigned serial;

    if (sscanf(line, "%x %7s %*s %*s %*s %*s %*s %15s %31s", &serial, flags, type, name) != 4 ||
        serial > INT32_MAX || strcmp(type, KEYRING_TYPE) != 0)
        return 0;
    length = strlen(name);
    if (length == 0 || name[length - 1] != ':')
        return 0;
    name[length - 1] = '\0';
    if (strcmp(name, SESSION_NAME) == 0)
        return serials_add(&s->sessions, (int32_t)serial);
    return strchr(flags, 'R') && strcmp(name, s->name) == 0
               ? serials_add(&s->revoked, (int32_t)serial)
               : 0;
}

static int read_keys(Search *s)
{
    _cleanup_(fclosep) FILE *f = fopen("/proc/keys", "re");
    _cleanup_(freep) char *line = NULL;
    size_t size = 0;
    int r;

    if (!f)
        return -errno;
    while (getline(&line, &size, f) >= 0) {
        r = read_line(s, line);
        if (r < 0)
            return r;
    }
    return ferror(f) ? -EIO : 0;
}

int session_look(const uint8_t invocation[static SESSION_INVOCATION_SIZE], int32_t keyring,
                 SessionLinks *ret)
{
    _cleanup_(search_done) Search s = {.invocation = invocation, .keyring = keyring};
    SessionLinks best = SESSION_NEITHER, links;
    const char *name = NULL;
    bool found = false;
    char text[64];
    int r;

    r = describe(keyring, text, sizeof(text), &name);
    if (r < 0)
        return r;
    (void)snprintf(s.name, sizeof(s.name), "%s", name ? name : "");
    r = read_keys(&s);
    if (r < 0)
        return r;
    for (size_t i = 0; i < s.sessions.n; i++) {
        if (!is_session(s.sessions.all[i]))
            continue;
        r = look_into(&s, s.sessions.all[i], &links);
        if (r < 0)
            return r;
        if (r > 0 && links > best)
            best = links;
        found |= r > 0;
    }
    if (!found)
        return -ENOENT;
    *ret = best;
    return 0;
}
