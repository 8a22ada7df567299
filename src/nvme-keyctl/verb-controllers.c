/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "basic/names.h"
#include "nvme-keyctl/cli.h"
#include "nvme-keyctl/field.h"
#include "nvme-keyctl/output.h"

/* controllers lists connections and their keys. */

/* Between two looks at the hosts of the target. */
#define UNUSED_POLL_SEC 2

/* The cells of a row that are not strings of the reply. */
typedef struct Row {
    char serial[16];
    char state[64];
    char since[24];
} Row;

static void fill_row(json_object *connection, Row *row)
{
    bool stalled = false;
    uint64_t serial;
    struct tm tm;

    (void)json_get_bool(connection, "stalled", &stalled);
    (void)snprintf(row->state, sizeof(row->state), "%s%s", json_string_or(connection, "state", "-"),
                   stalled ? ", stalled" : "");
    if (json_get_uint(connection, "serial", INT32_MAX, &serial) > 0)
        (void)snprintf(row->serial, sizeof(row->serial), "%08x", (unsigned)serial);
    else
        strcpy(row->serial, "-");
    if (!field_time(connection, "keySince", &tm) ||
        strftime(row->since, sizeof(row->since), "%Y-%m-%d %H:%M", &tm) == 0)
        strcpy(row->since, "-");
}

/* A column shows a member of the connection, or a cell of Row. */
typedef struct Column {
    const char *head;
    const char *member;
    size_t cell; /* without a member: its offset in Row */
} Column;

static const Column controller_columns[] = {
    {"NAME", .member = "name"},
    {"STATE", .cell = offsetof(Row, state)},
    {"KEY", .member = "key"},
    {"SINCE", .cell = offsetof(Row, since)},
    {"KEY ID", .member = "keyID"},
    {"KEY SERIAL", .cell = offsetof(Row, serial)},
    {"SUBSYSTEM NQN", .member = "subsystemNQN"},
    {"ADDRESS", .member = "address"},
};
static const Column host_columns[] = {
    {"HOST NQN", .member = "hostNQN"},
    {"KEY", .member = "key"},
    {"SINCE", .cell = offsetof(Row, since)},
    {"KEY ID", .member = "keyID"},
    {"KEY SERIAL", .cell = offsetof(Row, serial)},
    {"ADDRESS", .member = "address"},
    {"SUBSYSTEM NQN", .member = "subsystemNQN"},
};

static int print_connections(const Options *o, json_object *list, const Column *columns, size_t n)
{
    size_t n_rows = json_object_array_length(list) + 1;
    _cleanup_(freep) const char **cells = calloc(n_rows * n, sizeof(*cells));
    _cleanup_(freep) Row *rows = calloc(n_rows, sizeof(*rows));

    if (!cells || !rows)
        return cli_out_of_memory();
    for (size_t c = 0; c < n; c++)
        cells[c] = columns[c].head;
    for (size_t i = 1; i < n_rows; i++) {
        json_object *connection = json_object_array_get_idx(list, i - 1);

        fill_row(connection, &rows[i]);
        for (size_t c = 0; c < n; c++)
            cells[i * n + c] = columns[c].member
                                   ? json_string_or(connection, columns[c].member, "-")
                                   : (const char *)&rows[i] + columns[c].cell;
    }
    return cli_print_table(o, cells, n, n_rows);
}

static size_t count(json_object *list, const char *member)
{
    size_t n = 0;

    for (size_t i = 0; i < json_object_array_length(list); i++) {
        bool value = false;

        (void)json_get_bool(json_object_array_get_idx(list, i), member, &value);
        n += value;
    }
    return n;
}

static void print_totals(json_object *list)
{
    size_t n = json_object_array_length(list), old = count(list, "old"),
           stalled = count(list, "stalled");

    printf("\n%zu controller%s with TLS", n, n == 1 ? "" : "s");
    if (old > 0)
        printf(", %zu on an old key: run nvme-keyctl move", old);
    if (stalled > 0)
        printf("%s %zu stalled: run nvme-keyctl move --stalled", old > 0 ? ";" : ",", stalled);
    printf(".\n");
}

static int list_hosts(const Options *o, json_object *list)
{
    int r = cli_call_list(o, "ListHosts", "host", list);

    if (r != EXIT_OK || o->json != JSON_OFF)
        return r;
    r = print_connections(o, list, host_columns, ARRAY_SIZE(host_columns));
    if (r == EXIT_OK && o->legend)
        printf("\n%zu connection%s with TLS.\n", json_object_array_length(list),
               json_object_array_length(list) == 1 ? "" : "s");
    return r;
}

static int list_controllers(const Options *o, json_object *list)
{
    int r = cli_call_list(o, "ListControllers", "controller", list);

    if (r != EXIT_OK || o->json != JSON_OFF)
        return r;
    r = print_connections(o, list, controller_columns, ARRAY_SIZE(controller_columns));
    if (r == EXIT_OK && o->legend)
        print_totals(list);
    return r;
}

int verb_controllers(const Options *o)
{
    _cleanup_(json_putp) json_object *reply = json_object_new_object();
    json_object *list = json_object_new_array();
    int r;

    if (json_add_take(reply, o->target ? "hosts" : "controllers", list) < 0)
        return cli_out_of_memory();
    r = o->target ? list_hosts(o, list) : list_controllers(o, list);
    if (r == EXIT_OK && o->json != JSON_OFF)
        cli_print_json(o, reply);
    return r;
}

/* The number of hosts that use the key; *ret_host: one of them. */
static size_t count_users(json_object *hosts, const char *id, const char **ret_host)
{
    size_t n = 0;

    for (size_t i = 0; i < json_object_array_length(hosts); i++) {
        json_object *host = json_object_array_get_idx(hosts, i);

        if (strcmp(json_string_or(host, "keyID", ""), id) != 0)
            continue;
        *ret_host = json_string_or(host, "hostNQN", "-");
        n++;
    }
    return n;
}

/* Prints how many connections still use the key, whenever that changes. */
static int report_users(const Options *o, const char *id, size_t n, const char *host)
{
    if (o->json != JSON_OFF || !o->legend)
        return EXIT_OK;
    if (n == 0)
        printf("No host uses key %s any more.\n", id);
    else if (n == 1)
        printf("Key %s is still used by host %s.\n", id, host);
    else
        printf("Key %s is still used by %zu connections, one of host %s.\n", id, n, host);
    return output_flush() < 0 ? EXIT_OTHER : EXIT_OK;
}

static int append_host(json_object *reply, void *userdata)
{
    json_object *host, *copy = NULL;

    if (json_get_object(reply, "host", &host) <= 0)
        return 0;
    return json_object_deep_copy(host, &copy, NULL) < 0 ? -ENOMEM
                                                        : json_append_take(userdata, copy);
}

void cli_report_users(const Options *o, const char *id)
{
    _cleanup_(json_putp) json_object *hosts = json_object_new_array(), *reply = NULL;
    _cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
    _cleanup_(freep) char *error = NULL;
    const char *host = "-";
    size_t n;

    if (!hosts || cli_connect(o, &client) != EXIT_OK ||
        varlink_client_call_more(client, NAMES_MANAGER_INTERFACE ".ListHosts", NULL,
                                 CLI_STATUS_TIMEOUT_USEC, append_host, hosts, &reply, &error) < 0 ||
        error)
        return;
    n = count_users(hosts, id, &host);
    if (n > 0)
        (void)report_users(o, id, n, host);
}

/* True if all connections of the key's pair use the active key, and there is one. A host that is
 * away, or one of identity version 0, whose key cannot be told, may still have the old one. */
static bool all_moved(json_object *hosts, json_object *key)
{
    const char *hostnqn = json_string_or(key, "hostNQN", ""),
               *subsysnqn = json_string_or(key, "subsystemNQN", "");
    size_t n = 0;

    for (size_t i = 0; i < json_object_array_length(hosts); i++) {
        json_object *host = json_object_array_get_idx(hosts, i);

        if (strcmp(json_string_or(host, "hostNQN", ""), hostnqn) != 0 ||
            strcmp(json_string_or(host, "subsystemNQN", ""), subsysnqn) != 0)
            continue;
        if (strcmp(json_string_or(host, "key", ""), "active") != 0)
            return false;
        n++;
    }
    return n > 0;
}

static int describe(const Options *o, const char *id, json_object **ret)
{
    json_object *p = json_object_new_object(), *key;
    int r;

    if (json_add_string(p, "id", id) < 0) {
        json_object_put(p);
        return cli_out_of_memory();
    }
    r = cli_call(o, "Describe", p, ret);
    return r == EXIT_OK && json_get_object(*ret, "key", &key) <= 0
               ? cli_fail(EXIT_OTHER, "the answer of nvme-keyd holds no key")
               : r;
}

int cli_check_hosts(const Options *o)
{
    _cleanup_(json_putp) json_object *hosts = json_object_new_array();

    return hosts ? cli_call_list(o, "ListHosts", "host", hosts) : cli_out_of_memory();
}

int cli_wait_unused(const Options *o, const char *id)
{
    uint64_t end = o->timeout_usec > 0 ? now_monotonic() + o->timeout_usec : 0;
    _cleanup_(json_putp) json_object *reply = NULL;
    json_object *key = NULL;
    size_t last = SIZE_MAX;
    int moved = 0, r = describe(o, id, &reply);

    if (r != EXIT_OK)
        return r;
    (void)json_get_object(reply, "key", &key);
    for (;;) {
        _cleanup_(json_putp) json_object *hosts = json_object_new_array();
        const char *host = "-";
        size_t n;

        r = hosts ? cli_call_list(o, "ListHosts", "host", hosts) : cli_out_of_memory();
        n = r == EXIT_OK ? count_users(hosts, id, &host) : 0;
        if (r == EXIT_OK && n != last)
            r = report_users(o, id, n, host);
        /* Twice, because a connection may come back a moment later. */
        moved = r == EXIT_OK && n == 0 && all_moved(hosts, key) ? moved + 1 : 0;
        if (r != EXIT_OK || moved == 2)
            return r;
        if (end > 0 && now_monotonic() >= end)
            return n > 0 ? cli_fail(EXIT_CONFLICT, "key %s is still used by host %s, so it stays",
                                    id, host)
                         : cli_fail(EXIT_CONFLICT,
                                    "no host of key %s is known to use the active key, so it stays",
                                    id);
        last = n;
        (void)nanosleep(&(struct timespec){.tv_sec = UNUSED_POLL_SEC}, NULL);
    }
}
