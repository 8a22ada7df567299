/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/names.h"
#include "basic/text.h"
#include "nvme-keyd-fetch/fetch-config.h"

static const FetchConfig defaults = {
    .source = "etcd",
    .prefix = "/nvme-keyd/",
    .inbox = "/run/nvme-keyd-fetch/inbox",
    .service = NAMES_MANAGER_SOCKET,
    .presence_sec = FETCH_PRESENCE_SEC,
};

static int set_text(FetchText text, const char *value)
{
    if (strlen(value) >= sizeof(FetchText) || !text_is_printable(value))
        return -EINVAL;
    strcpy(text, value);
    return 0;
}

static int set_source(FetchConfig *c, const char *value)
{
    return value[0] ? set_text(c->source, value) : -EINVAL;
}

/* An URL without a path; the empty value removes those from before, as with lists in systemd. */
static int set_endpoint(FetchConfig *c, const char *value)
{
    const char *host = text_after(value, "https://");

    if (!value[0]) {
        c->n_endpoints = 0;
        return 0;
    }
    if (!host)
        host = text_after(value, "http://");
    if (!host || !host[0] || strpbrk(host, "/?#@ \"\\") || c->n_endpoints == FETCH_ENDPOINTS_MAX ||
        set_text(c->endpoints[c->n_endpoints], value) < 0)
        return -EINVAL;
    c->n_endpoints++;
    return 0;
}

static int set_prefix(FetchConfig *c, const char *value)
{
    size_t length = strlen(value);

    return length > 0 && value[length - 1] == '/' ? set_text(c->prefix, value) : -EINVAL;
}

/* One part of the name of a key. */
static int set_machine(FetchConfig *c, const char *value)
{
    static const char allowed[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.:_-";

    if (!value[0] || value[0] == '.' || value[strspn(value, allowed)])
        return -EINVAL;
    return set_text(c->machine, value);
}

static int set_user(FetchConfig *c, const char *value)
{
    return set_text(c->user, value);
}

static int set_path(FetchText text, const char *value)
{
    return value[0] == '\0' || value[0] == '/' ? set_text(text, value) : -EINVAL;
}

static int set_ca(FetchConfig *c, const char *value)
{
    return set_path(c->ca, value);
}

static int set_certificate(FetchConfig *c, const char *value)
{
    return set_path(c->certificate, value);
}

static int set_key(FetchConfig *c, const char *value)
{
    return set_path(c->key, value);
}

static int set_inbox(FetchConfig *c, const char *value)
{
    return value[0] ? set_path(c->inbox, value) : -EINVAL;
}

static int set_presence(FetchConfig *c, const char *value)
{
    char *end;
    unsigned long sec = strtoul(value, &end, 10);

    if (value[0] < '0' || value[0] > '9' || (*end && strcmp(end, "s") != 0) ||
        sec < FETCH_PRESENCE_SEC_MIN || sec > FETCH_PRESENCE_SEC_MAX)
        return -EINVAL;
    c->presence_sec = (unsigned)sec;
    return 0;
}

static int set_service(FetchConfig *c, const char *value)
{
    return value[0] == '/' || strcmp(value, "no") == 0 ? set_text(c->service, value) : -EINVAL;
}

static const struct {
    const char *section, *option;
    int (*set)(FetchConfig *c, const char *value);
    const char *allowed;
} options[] = {
    {"Source", "Type", set_source, "etcd"},
    {"Source", "Endpoint", set_endpoint,
     "https://HOST:PORT, one in a line, at most " STRINGIFY(FETCH_ENDPOINTS_MAX)},
    {"Source", "Prefix", set_prefix, "the beginning of the names of keys, which ends in a slash"},
    {"Source", "Machine", set_machine, "the fingerprint that nvme-keyctl machine show prints"},
    {"Source", "User", set_user, "the name of a user of the source"},
    {"TLS", "CA", set_ca, "a path"},
    {"TLS", "Certificate", set_certificate, "a path"},
    {"TLS", "Key", set_key, "a path"},
    {"Inbox", "Directory", set_inbox, "a path"},
    {"Report", "PresenceSec", set_presence,
     "a number of seconds from " STRINGIFY(FETCH_PRESENCE_SEC_MIN) " to " STRINGIFY(
         FETCH_PRESENCE_SEC_MAX)},
    {"Report", "Service", set_service, "the path of a socket, or no"},
};

static size_t find_option(const char *section, const char *option)
{
    size_t i = 0;

    while (i < ARRAY_SIZE(options) &&
           (strcmp(options[i].section, section) != 0 || strcmp(options[i].option, option) != 0))
        i++;
    return i;
}

static int set_option(void *target, const char *section, const char *option, const char *value)
{
    size_t i = find_option(section, option);

    return i < ARRAY_SIZE(options) ? options[i].set(target, value) : -ENOENT;
}

static const char *allowed_values(const char *section, const char *option)
{
    size_t i = find_option(section, option);

    return i < ARRAY_SIZE(options) ? options[i].allowed : NULL;
}

void fetch_config_load(const char *path, FetchConfig *ret, ConfigProblems *ret_problems)
{
    static const char *const system[] = {NAMES_CONFIG_DIRECTORIES, NULL};
    const ConfigForm form = {.set = set_option, .allowed = allowed_values, .target = ret};

    *ret = defaults;
    if (path)
        config_file_load_path(path, &form, ret_problems);
    else
        config_file_load(system, FETCH_CONFIG_NAME, &form, ret_problems);
}

/* Names of this machine that no other machine can take over. */
static bool is_loopback(const char *host)
{
    static const char *const hosts[] = {"127.0.0.1", "[::1]", "localhost"};

    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        const char *rest = text_after(host, hosts[i]);

        if (rest && (rest[0] == '\0' || rest[0] == ':'))
            return true;
    }
    return false;
}

bool fetch_config_is_complete(const FetchConfig *c, const char **ret_why)
{
    *ret_why = NULL;
    if (c->n_endpoints == 0)
        *ret_why = "no server is configured: give Endpoint=https://HOST:PORT in [Source]";
    else if (!c->machine[0])
        *ret_why = "the name of this machine is not configured: give Machine=FINGERPRINT in "
                   "[Source], as nvme-keyctl machine show prints it";
    for (size_t i = 0; i < c->n_endpoints && !*ret_why; i++) {
        const char *host = text_after(c->endpoints[i], "http://");

        if (host && c->user[0] && !is_loopback(host))
            *ret_why = "the password of User= would cross the network in the clear: give "
                       "Endpoint=https://HOST:PORT";
    }
    return !*ret_why;
}
