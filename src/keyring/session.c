/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <keyutils.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "keyring/links.h"
#include "keyring/session.h"

#define SESSION_NAME "_ses"
#define INVOCATION_TYPE "user"
#define INVOCATION_NAME "invocation_id"

/* Whether it is a key of root with this type and name; a negative errno where it cannot be seen. */
static int is_roots(int32_t serial, const char *type, const char *name)
{
    char text[64], head[32];
    long n = keyctl_describe(serial, text, sizeof(text) - 1);

    if (n < 0)
        return -errno;
    if ((size_t)n >= sizeof(text))
        return 0;
    text[n] = '\0';
    (void)snprintf(head, sizeof(head), "%s;0;", type);
    return strncmp(text, head, strlen(head)) == 0 && strcmp(strrchr(text, ';') + 1, name) == 0;
}

static bool holds_bytes(int32_t serial, const uint8_t *bytes, size_t size)
{
    char payload[SESSION_INVOCATION_SIZE + 1];
    long n = keyctl_read(serial, payload, sizeof(payload));

    return n == (long)size && memcmp(payload, bytes, size) == 0;
}

/* Returns 1 when it is a session keyring of the invocation, 0 when not, or -ENOMEM. */
static int look_into(int32_t session, const uint8_t *invocation, int32_t keyring, SessionLinks *ret)
{
    _cleanup_(freep) int32_t *links = NULL;
    SessionLinks found = SESSION_NEITHER;
    bool is_ours = false;
    size_t n = 0;
    int r;

    /* Gone in the meantime, or not for us to see. */
    r = links_read(session, &links, &n);
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    for (size_t i = 0; i < n; i++) {
        r = is_roots(links[i], INVOCATION_TYPE, INVOCATION_NAME);
        if (r > 0)
            is_ours |= holds_bytes(links[i], invocation, SESSION_INVOCATION_SIZE);
        else if (links[i] == keyring)
            found = SESSION_RING;
        else if (r == -EKEYREVOKED && found == SESSION_NEITHER)
            found = SESSION_REVOKED;
    }
    if (is_ours)
        *ret = found;
    return is_ours;
}

/* A line proves nothing, see ring.c: is_roots() does. */
static bool may_be_session(const char *line, int32_t *ret_serial)
{
    char type[16], name[16];
    unsigned serial;

    if (sscanf(line, "%x %*s %*s %*s %*s %*s %*s %15s %15s", &serial, type, name) != 3 ||
        serial > INT32_MAX || strcmp(type, "keyring") != 0 || strcmp(name, SESSION_NAME ":") != 0)
        return false;
    *ret_serial = (int32_t)serial;
    return true;
}

static inline void fclosep(FILE **f)
{
    if (*f)
        (void)fclose(*f);
}

int session_look(const uint8_t invocation[static SESSION_INVOCATION_SIZE], int32_t keyring,
                 SessionLinks *ret)
{
    _cleanup_(fclosep) FILE *f = fopen("/proc/keys", "re");
    _cleanup_(freep) char *line = NULL;
    SessionLinks best = SESSION_NEITHER, links;
    bool found = false;
    size_t size = 0;
    int32_t serial;

    if (!f)
        return -errno;
    while (getline(&line, &size, f) >= 0) {
        int r;

        if (!may_be_session(line, &serial) || is_roots(serial, "keyring", SESSION_NAME) <= 0)
            continue;
        r = look_into(serial, invocation, keyring, &links);
        if (r < 0)
            return r;
        if (r > 0 && links > best)
            best = links;
        found |= r > 0;
    }
    if (ferror(f))
        return -EIO;
    if (!found)
        return -ENOENT;
    *ret = best;
    return 0;
}
