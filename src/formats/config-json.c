/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "formats/config-json.h"
#include "varlink/json-wire.h"

#define HEAD "{\"config\":"
#define TAIL "}"
#define NOT_JSON "not JSON, or too deep"
#define NO_CONFIG                                                                                  \
    "not a config.json of nvme-cli: a string, an object or an array is of another type"

typedef struct Reader {
    const char *text;
    size_t size;
    size_t at; /* where the last key ended, and in which line */
    size_t line;
    FoundFn fn;
    void *userdata;
} Reader;

/* Finds the line of a key in the text, from the last one on: members keep their order. */
static size_t find_line(Reader *r, const char *key, size_t length)
{
    const char *found = memmem(r->text + r->at, r->size - r->at, key, length);

    if (!found)
        return 0;
    for (const char *p = r->text + r->at; p < found; p++)
        r->line += *p == '\n';
    r->at = (size_t)(found - r->text);
    return r->line;
}

static int refuse(const Reader *r, const char *text)
{
    return found_note(FOUND_FAULT, 0, text, r->fn, r->userdata);
}

static Part part_of(const char *s)
{
    return s && *s ? (Part){s, strlen(s)} : (Part){NULL, 0};
}

static int read_port(Reader *r, json_object *port, const char *hostnqn, const char *nqn)
{
    const char *key = NULL, *identity = NULL;
    FoundKey k;

    if (!json_object_is_type(port, json_type_object) ||
        json_get_string(port, "tls_key", &key) < 0 ||
        json_get_string(port, "tls_key_identity", &identity) < 0)
        return refuse(r, NO_CONFIG);
    if (!key || !*key)
        return 0;
    k = (FoundKey){.line = find_line(r, key, strlen(key)),
                   .hostnqn = part_of(hostnqn),
                   .subsysnqn = part_of(nqn),
                   .key = part_of(key),
                   .identity = part_of(identity)};
    if (!k.subsysnqn.text)
        return found_note(FOUND_FAULT, k.line, "the subsystem of this tls_key has no nqn", r->fn,
                          r->userdata);
    return found_report(&k, r->fn, r->userdata);
}

static int read_subsystem(Reader *r, json_object *subsystem, const char *hostnqn)
{
    json_object *ports = NULL;
    const char *nqn = NULL;
    int result = 0;

    if (!json_object_is_type(subsystem, json_type_object) ||
        json_get_string(subsystem, "nqn", &nqn) < 0 ||
        json_get_array(subsystem, "ports", &ports) < 0)
        return refuse(r, NO_CONFIG);
    for (size_t i = 0; ports && result == 0 && i < json_object_array_length(ports); i++)
        result = read_port(r, json_object_array_get_idx(ports, i), hostnqn, nqn);
    return result;
}

static int read_host(Reader *r, json_object *host)
{
    json_object *subsystems = NULL;
    const char *hostnqn = NULL;
    int result = 0;

    if (!json_object_is_type(host, json_type_object) ||
        json_get_string(host, "hostnqn", &hostnqn) < 0 ||
        json_get_array(host, "subsystems", &subsystems) < 0)
        return refuse(r, NO_CONFIG);
    for (size_t i = 0; subsystems && result == 0 && i < json_object_array_length(subsystems); i++)
        result = read_subsystem(r, json_object_array_get_idx(subsystems, i), hostnqn);
    return result;
}

static int read_hosts(Reader *r, json_object *hosts)
{
    int result = 0;

    if (!json_object_is_type(hosts, json_type_array))
        return refuse(r, NO_CONFIG);
    for (size_t i = 0; result == 0 && i < json_object_array_length(hosts); i++)
        result = read_host(r, json_object_array_get_idx(hosts, i));
    return result;
}

/* The parser that keeps no copies of secrets takes an object. */
static int parse(const char *text, size_t size, json_object **ret)
{
    size_t whole = strlen(HEAD) + size + strlen(TAIL);
    char *copy = malloc(whole);
    int r;

    if (!copy)
        return -ENOMEM;
    (void)mempcpy(mempcpy(mempcpy(copy, HEAD, strlen(HEAD)), text, size), TAIL, strlen(TAIL));
    r = varlink_json_parse(copy, whole, ret);
    explicit_bzero(copy, whole);
    free(copy);
    return r;
}

int config_json_read(const char *text, size_t size, FoundFn fn, void *userdata)
{
    _cleanup_(varlink_json_erase_putp) json_object *o = NULL;
    Reader r = {.text = text, .size = size, .line = 1, .fn = fn, .userdata = userdata};
    json_object *config = NULL, *hosts = NULL;
    int result = parse(text, size, &o);

    if (result == -EBADMSG)
        return refuse(&r, NOT_JSON);
    if (result < 0)
        return result;
    /* A comma in the text would make other members. */
    if (json_object_object_length(o) != 1 || !json_object_object_get_ex(o, "config", &config))
        return refuse(&r, NOT_JSON);
    if (!json_object_is_type(config, json_type_object))
        return read_hosts(&r, config);
    return json_get_array(config, "hosts", &hosts) > 0 ? read_hosts(&r, hosts)
                                                       : refuse(&r, NO_CONFIG);
}
