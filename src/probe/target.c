/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/text.h"
#include "probe/target.h"

/* As the kernel takes names of interfaces (dev_valid_name()), and without what separates members of
 * the attribute. */
static bool is_interface(const char *name)
{
    size_t n = strlen(name);

    if (n == 0 || n > PROBE_INTERFACE_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (const char *c = name; *c; c++)
        if (*c <= ' ' || *c > '~' || strchr("/:,%", *c))
            return false;
    return true;
}

static bool is_address(const char *text)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr bytes;
    const char *scope = strchr(text, '%');
    size_t n = scope ? (size_t)(scope - text) : strlen(text);

    if (n >= sizeof(address))
        return false;
    memcpy(address, text, n);
    address[n] = '\0';
    if (inet_pton(AF_INET6, address, &bytes) == 1)
        return !scope || is_interface(scope + 1);
    return !scope && inet_pton(AF_INET, address, &bytes) == 1;
}

int probe_target_set(const char *address, uint64_t port, const char *source, const char *interface,
                     ProbeTarget *ret, const char **reterr_what)
{
    ProbeTarget t = {.port = (uint16_t)port};

    *reterr_what = "address";
    if (!is_address(address))
        return -EINVAL;
    *reterr_what = "port";
    if (port == 0 || port > UINT16_MAX)
        return -EINVAL;
    *reterr_what = "source";
    if (source && !is_address(source))
        return -EINVAL;
    *reterr_what = "interface";
    if (interface && !is_interface(interface))
        return -EINVAL;
    strcpy(t.address, address);
    if (source)
        strcpy(t.source, source);
    if (interface)
        strcpy(t.interface, interface);
    *ret = t;
    return 0;
}

bool probe_text_is_padded(const char *text, size_t size)
{
    for (size_t n = strnlen(text, size); n < size; n++)
        if (text[n] != '\0')
            return false;
    return text[size - 1] == '\0';
}

bool probe_target_is_valid(const ProbeTarget *t)
{
    ProbeTarget same;
    const char *what;

    return probe_text_is_padded(t->address, sizeof(t->address)) &&
           probe_text_is_padded(t->source, sizeof(t->source)) &&
           probe_text_is_padded(t->interface, sizeof(t->interface)) &&
           probe_target_set(t->address, t->port, t->source[0] ? t->source : NULL,
                            t->interface[0] ? t->interface : NULL, &same, &what) == 0;
}

enum {
    MEMBER_TRADDR,
    MEMBER_TRSVCID,
    MEMBER_HOST_TRADDR,
    MEMBER_HOST_IFACE,
    MEMBERS,
};

static const char *const member_names[MEMBERS] = {
    [MEMBER_TRADDR] = "traddr=",
    [MEMBER_TRSVCID] = "trsvcid=",
    [MEMBER_HOST_TRADDR] = "host_traddr=",
    [MEMBER_HOST_IFACE] = "host_iface=",
};

/* word is one "NAME=VALUE". */
static int take_member(const char *word, const char **values)
{
    size_t name = strcspn(word, "=");

    if (name == 0 || word[name] == '\0' ||
        strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_") != name)
        return -EINVAL;
    for (int i = 0; i < MEMBERS; i++) {
        const char *value = text_after(word, member_names[i]);

        if (value && values[i])
            return -EINVAL;
        if (value)
            values[i] = value;
    }
    return 0;
}

static int parse_port(const char *text, uint64_t *ret)
{
    size_t n = strlen(text);
    uint64_t port = 0;

    if (n == 0 || n > 5 || text[0] == '0' || strspn(text, "0123456789") != n)
        return -EINVAL;
    for (const char *c = text; *c; c++)
        port = port * 10 + (uint64_t)(*c - '0');
    *ret = port;
    return 0;
}

int probe_target_parse(const char *text, ProbeTarget *ret)
{
    char copy[PROBE_SYSFS_ADDRESS_MAX + 1], *rest = copy, *word;
    const char *values[MEMBERS] = {NULL}, *what;
    uint64_t port;

    if (strlen(text) >= sizeof(copy) || !text_is_printable(text))
        return -EINVAL;
    strcpy(copy, text);
    while ((word = strsep(&rest, ",")))
        if (take_member(word, values) < 0)
            return -EINVAL;
    if (!values[MEMBER_TRADDR] || !values[MEMBER_TRSVCID] ||
        parse_port(values[MEMBER_TRSVCID], &port) < 0)
        return -EINVAL;
    return probe_target_set(values[MEMBER_TRADDR], port, values[MEMBER_HOST_TRADDR],
                            values[MEMBER_HOST_IFACE], ret, &what);
}

void probe_target_format(const ProbeTarget *t, char ret[static PROBE_TARGET_TEXT_SIZE])
{
    bool v6 = strchr(t->address, ':');

    (void)snprintf(ret, PROBE_TARGET_TEXT_SIZE, "%s%s%s:%u", v6 ? "[" : "", t->address,
                   v6 ? "]" : "", (unsigned)t->port);
}
