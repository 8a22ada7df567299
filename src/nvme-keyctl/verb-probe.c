/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "nvme-keyctl/cli.h"

/* probe: asks targets whether they accept a key. */

#define N_COLUMNS 4

static const struct {
    const char *answer;
    const char *advice;
} advices[] = {
    {"accepted", "the target has this key: the host may use it"},
    {"refused",
     "the target lacks this identity, or has another PSK under it: add the key there first"},
    {"no-tls",
     "the port has no TLS (nvmet: addr_tsas), or no handshake service (tlshd) runs there"},
    {"unreachable", "no connection: check the address, the network, and that the port is enabled"},
    {"own",
     "the target of this machine's kernel has the keys of the same keyring: it gets a pending key "
     "by the switch itself"},
    {"unavailable", "nothing was sent to the target: see DETAIL"},
};

/* An address with or without a scope. Names are not looked up. */
static bool is_address(const char *text, size_t n)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr bytes;
    const char *scope = memchr(text, '%', n);

    n = scope ? (size_t)(scope - text) : n;
    if (n >= sizeof(address))
        return false;
    memcpy(address, text, n);
    address[n] = '\0';
    return inet_pton(AF_INET6, address, &bytes) == 1 ||
           (!scope && inet_pton(AF_INET, address, &bytes) == 1);
}

int cli_add_address(json_object *p, const char *text)
{
    const char *colon = strrchr(text, ':'), *host = text, *port = NULL;
    size_t n = strlen(text);

    if (text[0] == '[') {
        const char *end = strchr(text, ']');

        if (!end || (end[1] != '\0' && end[1] != ':'))
            return cli_fail(EXIT_USAGE, "--address= needs ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT");
        host = text + 1;
        n = (size_t)(end - host);
        port = end[1] ? end + 2 : NULL;
    } else if (colon && strchr(text, ':') == colon) {
        n = (size_t)(colon - text);
        port = colon + 1;
    }
    if (!is_address(host, n))
        return cli_fail(EXIT_USAGE, "--address= needs an IP address, such as 192.0.2.10, "
                                    "192.0.2.10:4420 or [2001:db8::10]:4420");
    if (json_add_take(p, "address", json_object_new_string_len(host, (int)n)) < 0)
        return cli_out_of_memory();
    if (!port)
        return EXIT_OK;
    if (strlen(port) == 0 || strlen(port) > 5 || strspn(port, "0123456789") != strlen(port) ||
        strtoul(port, NULL, 10) == 0 || strtoul(port, NULL, 10) > UINT16_MAX)
        return cli_fail(EXIT_USAGE, "--address= needs a port from 1 to 65535");
    return json_add_uint(p, "port", strtoul(port, NULL, 10)) < 0 ? cli_out_of_memory() : EXIT_OK;
}

static bool has_answer(json_object *results, const char *answer)
{
    for (size_t i = 0; i < json_object_array_length(results); i++)
        if (strcmp(json_string_or(json_object_array_get_idx(results, i), "answer", ""), answer) ==
            0)
            return true;
    return false;
}

static void print_advice(json_object *results)
{
    (void)putchar('\n');
    for (size_t i = 0; i < ARRAY_SIZE(advices); i++)
        if (has_answer(results, advices[i].answer))
            printf("%s: %s.\n", advices[i].answer, advices[i].advice);
}

static int print_table(const Options *o, json_object *results)
{
    static const char *const head[N_COLUMNS] = {"CONTROLLER", "ADDRESS", "ANSWER", "DETAIL"};
    size_t n = json_object_array_length(results);
    _cleanup_(freep) const char **cells = calloc((n + 1) * N_COLUMNS, sizeof(*cells));

    if (!cells)
        return cli_out_of_memory();
    memcpy(cells, head, sizeof(head));
    for (size_t i = 0; i < n; i++) {
        json_object *result = json_object_array_get_idx(results, i);
        const char **c = cells + (i + 1) * N_COLUMNS;

        c[0] = json_string_or(result, "controller", "-");
        c[1] = json_string_or(result, "address", "-");
        c[2] = json_string_or(result, "answer", "-");
        c[3] = json_string_or(result, "detail", "-");
    }
    if (cli_print_table(o, cells, N_COLUMNS, n + 1) != EXIT_OK)
        return EXIT_OTHER;
    if (o->legend)
        print_advice(results);
    return EXIT_OK;
}

static int print_results(const Options *o, json_object *reply)
{
    json_object *results;
    size_t n;
    int r = EXIT_OK;

    if (json_get_array(reply, "results", &results) <= 0)
        return cli_fail(EXIT_OTHER, "nvme-keyd sent a malformed reply");
    n = json_object_array_length(results);
    if (o->json != JSON_OFF)
        cli_print_json(o, reply);
    else
        r = print_table(o, results);
    for (size_t i = 0; i < n && r == EXIT_OK; i++)
        if (strcmp(json_string_or(json_object_array_get_idx(results, i), "answer", ""),
                   "accepted") != 0)
            r = EXIT_NOT_ACCEPTED;
    return r;
}

int verb_probe(const Options *o)
{
    _cleanup_(json_putp) json_object *p = json_object_new_object();
    int r = EXIT_OK;

    if (json_add_string(p, "id", o->arguments[0]) < 0)
        return cli_out_of_memory();
    if (o->address)
        r = cli_add_address(p, o->address);
    return r == EXIT_OK ? cli_call_and_print(o, "Probe", TAKE_PTR(p), print_results) : r;
}
