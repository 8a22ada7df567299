/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "basic/json.h"
#include "basic/text.h"
#include "nvme-keyctl/doctor/configured.h"
#include "nvme-keyctl/doctor/files.h"
#include "nvme-keyctl/doctor/limits.h"
#include "nvme-keyctl/doctor/parse.h"
#include "psk/nqn.h"

void configured_list_done(ConfiguredList *l)
{
    free(l->items);
    *l = (ConfiguredList){.items = NULL};
}

static int append(ConfiguredList *l, const ConfiguredEntry *e)
{
    /* Doubles at each power of two. */
    bool is_full = (l->n & (l->n - 1)) == 0;
    ConfiguredEntry *grown =
        is_full ? reallocarray(l->items, l->n ? 2 * l->n : 1, sizeof(*grown)) : l->items;

    if (!grown)
        return -ENOMEM;
    l->items = grown;
    grown[l->n++] = *e;
    return 0;
}

static void set_nqn(char ret[static NQN_LENGTH_MAX + 2], const char *nqn)
{
    (void)snprintf(ret, NQN_LENGTH_MAX + 2, "%.*s", NQN_LENGTH_MAX + 1, nqn);
}

static bool is_discovery(const char *nqn)
{
    return strcasecmp(nqn, NQN_DISCOVERY) == 0;
}

static void set_subsysnqn(ConfiguredEntry *e, const char *nqn)
{
    set_nqn(e->subsysnqn, nqn);
    e->discovery = e->discovery || is_discovery(nqn);
}

/* A member of any of the ports. */
static bool any_port(json_object *subsystem, const char *member)
{
    json_object *ports;
    bool value = false;

    if (json_get_array(subsystem, "ports", &ports) <= 0)
        return false;
    for (size_t i = 0; !value && i < json_object_array_length(ports); i++)
        (void)json_get_bool(json_object_array_get_idx(ports, i), member, &value);
    return value;
}

static int add_subsystem(json_object *subsystem, const char *hostnqn, ConfiguredList *l)
{
    ConfiguredEntry e = {.tls = any_port(subsystem, "tls"),
                         .discovery = any_port(subsystem, "discovery")};

    set_nqn(e.hostnqn, hostnqn);
    set_subsysnqn(&e, json_string_or(subsystem, "nqn", ""));
    return append(l, &e);
}

static int add_host(json_object *host, ConfiguredList *l)
{
    const char *hostnqn = json_string_or(host, "hostnqn", "");
    ConfiguredEntry e = {.tls = false};
    json_object *subsystems;
    int r;

    set_nqn(e.hostnqn, hostnqn);
    r = append(l, &e);
    if (r < 0 || json_get_array(host, "subsystems", &subsystems) <= 0)
        return r;
    for (size_t i = 0; r == 0 && i < json_object_array_length(subsystems); i++)
        r = add_subsystem(json_object_array_get_idx(subsystems, i), hostnqn, l);
    return r;
}

/* An array of hosts, or an object with one, as later versions have it. */
static json_object *find_hosts(json_object *top)
{
    json_object *hosts;

    if (json_object_is_type(top, json_type_array))
        return top;
    return json_get_array(top, "hosts", &hosts) > 0 ? hosts : NULL;
}

int configured_parse_json(const char *text, size_t size, ConfiguredList *l)
{
    _cleanup_(json_tokener_freep) json_tokener *t = json_tokener_new_ex(DOCTOR_JSON_DEPTH_MAX);
    _cleanup_(json_putp) json_object *top = NULL;
    json_object *hosts;
    int r = 0;

    if (!t)
        return -ENOMEM;
    if (size == 0 || size > INT_MAX || !utf8_is_valid(text, size))
        return -EBADMSG;
    top = json_tokener_parse_ex(t, text, (int)size);
    hosts = top ? find_hosts(top) : NULL;
    if (!hosts)
        return -EBADMSG;
    for (size_t i = 0; r == 0 && i < json_object_array_length(hosts); i++)
        r = add_host(json_object_array_get_idx(hosts, i), l);
    return r;
}

static bool is_true(const char *value)
{
    return strcasecmp(value, "true") == 0 || strcasecmp(value, "yes") == 0 ||
           strcasecmp(value, "on") == 0 || strcmp(value, "1") == 0;
}

/* "transport=tcp;traddr=10.0.0.5;nqn=...", as nvme-stas has it. */
static void set_from_controller(ConfiguredEntry *e, const char *value)
{
    const char *nqn = strstr(value, "nqn=");

    if (nqn && (nqn == value || nqn[-1] == ';')) {
        char text[NQN_LENGTH_MAX + 2];
        int n = (int)CONST_MIN(strcspn(nqn + 4, "; \t"), sizeof(text) - 1);

        (void)snprintf(text, sizeof(text), "%.*s", n, nqn + 4);
        set_subsysnqn(e, text);
    }
}

/* A setting of the section with the entry e. */
static void take_setting(const ConfLine *line, ConfiguredEntry *e)
{
    if (strcmp(line->key, "hostnqn") == 0)
        set_nqn(e->hostnqn, line->value);
    else if (strcmp(line->key, "nqn") == 0)
        set_subsysnqn(e, line->value);
    else if (strcmp(line->key, "tls") == 0)
        e->tls = is_true(line->value);
    else if (strcmp(line->key, "key-source") == 0)
        e->key_source = line->value[0] != '\0';
    else if (strcmp(line->key, "controller") == 0)
        set_from_controller(e, line->value);
}

/* [Host] may stand after the sections that it is for. */
static void spread_hostnqn(ConfiguredEntry *items, size_t n)
{
    const char *hostnqn = "";

    for (size_t i = 0; i < n; i++)
        if (items[i].hostnqn[0])
            hostnqn = items[i].hostnqn;
    for (size_t i = 0; i < n; i++)
        if (!items[i].hostnqn[0])
            memcpy(items[i].hostnqn, hostnqn, strlen(hostnqn) + 1);
}

int configured_parse_conf(const char *text, ConfiguredList *l)
{
    ConfLine line = {.n_section = 0};
    size_t before = l->n;
    unsigned section = 0;
    int r = 0;

    while (r == 0 && conf_next(&text, &line)) {
        if (l->n == before || line.n_section != section) {
            ConfiguredEntry e = {.discovery = strcmp(line.section, "Discovery Controller") == 0};

            if (e.discovery)
                set_nqn(e.subsysnqn, NQN_DISCOVERY);
            r = append(l, &e);
            section = line.n_section;
        }
        if (r == 0)
            take_setting(&line, &l->items[l->n - 1]);
    }
    if (r == 0 && l->n > before)
        spread_hostnqn(l->items + before, l->n - before);
    return r;
}

/* The value of "--option=value" or "--option value". */
static bool get_option(const char *line, const char *end, const char *option, char *ret,
                       size_t size)
{
    size_t n = strlen(option), length;
    const char *word;

    while (word_next(&line, end, &word, &length)) {
        if (length < n || memcmp(word, option, n) != 0 || (length > n && word[n] != '='))
            continue;
        if (length > n) {
            word += n + 1;
            length -= n + 1;
        } else if (!word_next(&line, end, &word, &length) || word[0] == '-') {
            length = 0;
        }
        (void)snprintf(ret, size, "%.*s", (int)CONST_MIN(length, size - 1), word);
        return true;
    }
    return false;
}

int configured_parse_discovery(const char *text, ConfiguredList *l)
{
    const char *line;
    size_t length;
    int r = 0;

    while (r == 0 && line_next(&text, &line, &length)) {
        ConfiguredEntry e = {.discovery = true};
        char nqn[NQN_LENGTH_MAX + 2] = "", none[2];
        const char *end = line + length, *word = line, *p = line;

        if (!word_next(&p, end, &word, &length) || *word == '#')
            continue;
        if (!get_option(line, end, "--nqn", nqn, sizeof(nqn)))
            (void)get_option(line, end, "-n", nqn, sizeof(nqn));
        set_subsysnqn(&e, nqn[0] ? nqn : NQN_DISCOVERY);
        if (!get_option(line, end, "--hostnqn", e.hostnqn, sizeof(e.hostnqn)))
            (void)get_option(line, end, "-q", e.hostnqn, sizeof(e.hostnqn));
        e.tls = get_option(line, end, "--tls", none, sizeof(none));
        r = append(l, &e);
    }
    return r;
}

static int parse_json(const DoctorFile *f, ConfiguredList *l)
{
    return configured_parse_json(f->text, f->size, l);
}

static int parse_conf(const DoctorFile *f, ConfiguredList *l)
{
    return configured_parse_conf(f->text, l);
}

static int parse_discovery(const DoctorFile *f, ConfiguredList *l)
{
    return configured_parse_discovery(f->text, l);
}

static int read_file(int root, const char *path, int (*parse)(const DoctorFile *, ConfiguredList *),
                     ConfiguredList *l)
{
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
    int r = doctor_read(root, path, DOCTOR_FILE_MAX, &f);

    if (r == 0)
        r = parse(&f, l);
    if (r == -ENOMEM || r == 0 || r == -ENOENT || r == -ENOTDIR)
        return r == -ENOMEM ? r : 0;
    (void)snprintf(l->unreadable, sizeof(l->unreadable), "/%.*s", (int)sizeof(l->unreadable) - 2,
                   path);
    return 0;
}

static int read_drop_ins(int root, ConfiguredList *l)
{
    _cleanup_(doctor_names_done) DoctorNames names = {NULL, 0};
    int r = doctor_names(root, "etc/nvme/nvme-fabrics.conf.d", ".conf", &names);

    for (size_t i = 0; r == 0 && i < names.n; i++) {
        char path[DOCTOR_PATH_MAX];

        (void)snprintf(path, sizeof(path), "etc/nvme/nvme-fabrics.conf.d/%s", names.items[i]);
        r = read_file(root, path, parse_conf, l);
    }
    return r;
}

int configured_read(int root, ConfiguredList *ret)
{
    int r;

    if ((r = read_file(root, "etc/nvme/config.json", parse_json, ret)) < 0 ||
        (r = read_file(root, "etc/nvme/nvme-fabrics.conf", parse_conf, ret)) < 0 ||
        (r = read_drop_ins(root, ret)) < 0 ||
        (r = read_file(root, "etc/nvme/nvme-stas.conf", parse_conf, ret)) < 0)
        return r;
    return read_file(root, "etc/nvme/discovery.conf", parse_discovery, ret);
}
