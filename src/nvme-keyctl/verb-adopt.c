/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "basic/text.h"
#include "nvme-keyctl/cli.h"

/* adopt, and import --from-keyring: the service takes keys of the keyring into its store. */

#define SERIAL_DIGITS 8 /* as journal, status, /proc/keys and sysfs print it: hexadecimal */
#define ID_DIGITS 16

typedef struct Counts {
    uint64_t added, unchanged, refused, skipped;
} Counts;

static bool is_hex(const char *s, size_t n)
{
    return strlen(s) == n && strspn(s, "0123456789abcdefABCDEF") == n;
}

/* 0x and hexadecimal, 8 hexadecimal digits, or decimal as keyctl(1) has it. */
static int parse_serial(const char *s, uint64_t *ret)
{
    int base = text_after(s, "0x") || is_hex(s, SERIAL_DIGITS) ? 16 : 10;
    char *end;

    if (!isxdigit((unsigned char)s[0]))
        return -EINVAL;
    errno = 0;
    *ret = strtoull(s, &end, base);
    return errno != 0 || *end || *ret == 0 || *ret > INT32_MAX ? -EINVAL : 0;
}

static int add_argument(json_object *p, const char *word)
{
    uint64_t serial;
    int r;

    if (text_after(word, "NVMe"))
        r = json_add_string(p, "identity", word);
    else if (is_hex(word, ID_DIGITS))
        r = json_add_string(p, "id", word);
    else if (parse_serial(word, &serial) == 0)
        r = json_add_uint(p, "serial", serial);
    else
        return cli_fail(EXIT_USAGE, "adopt needs the id of a key, the serial of a key in the "
                                    "keyring, or its identity in quotes");
    return r < 0 ? cli_out_of_memory() : EXIT_OK;
}

static int add_pair(const Options *o, json_object *p)
{
    char hostnqn[NQN_LENGTH_MAX + 2];
    int r = cli_hostnqn(o, hostnqn);

    if (r != EXIT_OK)
        return r;
    return json_add_string(p, "hostNQN", hostnqn) < 0 ||
                   json_add_string(p, "subsystemNQN", o->subsysnqn) < 0
               ? cli_out_of_memory()
               : EXIT_OK;
}

static int make_call(const Options *o, bool all, json_object *p)
{
    int r = EXIT_OK;

    if (!all && o->arguments[0])
        r = add_argument(p, o->arguments[0]);
    else if (!all)
        r = add_pair(o, p);
    if (r != EXIT_OK)
        return r;
    return (o->role && json_add_string(p, "role", o->role) < 0) ||
                   json_add_bool(p, "force", o->force) < 0 ||
                   json_add_bool(p, "dryRun", o->dry_run) < 0
               ? cli_out_of_memory()
               : EXIT_OK;
}

static uint64_t serial_of(json_object *key)
{
    uint64_t serial = 0;

    (void)json_get_uint(key, "serial", INT32_MAX, &serial);
    return serial;
}

/* Counts a key, and explains why it was not adopted. Returns the exit code that follows. */
static int judge(const Options *o, bool all, json_object *key, Counts *c)
{
    const char *verdict = json_string_or(key, "verdict", ""),
               *detail = json_string_or(key, "detail", ""), *why = detail;
    bool added = strcmp(verdict, "adopted") == 0 || strcmp(verdict, "replaced") == 0;
    bool refused = strcmp(verdict, "refused") == 0 || strcmp(verdict, "unreadable") == 0;

    c->added += added;
    c->refused += refused;
    c->unchanged += strcmp(verdict, "unchanged") == 0;
    if (added || strcmp(verdict, "unchanged") == 0)
        return EXIT_OK;
    c->skipped += !refused;
    if (strcmp(verdict, "generated") == 0)
        why = "the kernel has generated it for one connection";
    else if (strcmp(verdict, "other") == 0)
        why = "it is no key for TLS";
    (void)cli_fail(EXIT_OK, "key %08x %s adopted: %s", (unsigned)serial_of(key),
                   o->dry_run ? "would not be" : "was not", why);
    if (refused)
        return strcmp(verdict, "refused") == 0 ? EXIT_CONFLICT : EXIT_KEYRING;
    return all ? EXIT_OK : EXIT_INVALID;
}

static int print_keys(const Options *o, json_object *keys)
{
    enum {
        SERIAL,
        RESULT,
        ROLE,
        KEY,
        IDENTITY,
        COLUMNS
    };
    size_t n = json_object_array_length(keys);
    _cleanup_(freep) const char **cells = calloc((n + 1) * COLUMNS, sizeof(*cells));
    _cleanup_(freep) char(*serials)[SERIAL_DIGITS + 1] = calloc(n + 1, sizeof(*serials));
    static const char *const head[COLUMNS] = {"SERIAL", "RESULT", "ROLE", "KEY", "IDENTITY"};

    if (!cells || !serials)
        return cli_out_of_memory();
    memcpy(cells, head, sizeof(head));
    for (size_t i = 0; i < n; i++) {
        json_object *key = json_object_array_get_idx(keys, i);
        const char **row = cells + (i + 1) * COLUMNS;

        (void)snprintf(serials[i], sizeof(serials[i]), "%08x", (unsigned)serial_of(key));
        row[SERIAL] = serials[i];
        row[RESULT] = json_string_or(key, "verdict", "-");
        row[ROLE] = json_string_or(key, "role", "-");
        row[KEY] = json_string_or(key, "id", "-");
        row[IDENTITY] = json_string_or(key, "identity", "-");
    }
    return cli_print_table(o, cells, COLUMNS, n + 1);
}

static int print_counts(const Options *o, const Counts *c, json_object *reply)
{
    if (o->json != JSON_OFF) {
        if (json_add_uint(reply, "added", c->added) < 0 ||
            json_add_uint(reply, "unchanged", c->unchanged) < 0 ||
            json_add_uint(reply, "refused", c->refused) < 0 ||
            json_add_uint(reply, "skipped", c->skipped) < 0)
            return cli_out_of_memory();
        cli_print_json(o, reply);
    } else if (o->legend) {
        printf("%llu %s, %llu unchanged, %llu refused, %llu skipped\n",
               (unsigned long long)c->added, o->dry_run ? "to adopt" : "adopted",
               (unsigned long long)c->unchanged, (unsigned long long)c->refused,
               (unsigned long long)c->skipped);
    }
    return EXIT_OK;
}

static int print_result(const Options *o, bool all, json_object *reply)
{
    int r = EXIT_OK, code = EXIT_OK;
    uint64_t unpublished = 0;
    Counts c = {0};
    json_object *keys;

    if (json_get_array(reply, "keys", &keys) <= 0)
        return cli_fail(EXIT_OTHER, "nvme-keyd answered without keys");
    (void)json_get_uint(reply, "unpublished", INT64_MAX, &unpublished);
    if (o->json == JSON_OFF && json_object_array_length(keys) > 0)
        r = print_keys(o, keys);
    for (size_t i = 0; i < json_object_array_length(keys); i++) {
        int next = judge(o, all, json_object_array_get_idx(keys, i), &c);

        code = code == EXIT_OK ? next : code;
    }
    if (r == EXIT_OK)
        r = print_counts(o, &c, reply);
    if (r != EXIT_OK)
        return r;
    cli_print_new_store(reply);
    cli_print_warnings(reply);
    cli_print_unpublished(unpublished);
    return code;
}

int cli_adopt(const Options *o, bool all)
{
    _cleanup_(json_putp) json_object *p = json_object_new_object(), *reply = NULL;
    int r = p ? make_call(o, all, p) : cli_out_of_memory();

    if (r == EXIT_OK)
        r = cli_call(o, "Adopt", TAKE_PTR(p), &reply);
    return r == EXIT_OK ? print_result(o, all, reply) : r;
}

int verb_adopt(const Options *o)
{
    int ways = (o->arguments[0] != NULL) + (o->subsysnqn != NULL) + o->all;

    if (ways == 0)
        return cli_fail(EXIT_USAGE, "adopt needs an id, a serial, an identity, --subsysnqn= or "
                                    "--all");
    if (ways > 1 || (o->hostnqn && !o->subsysnqn))
        return cli_fail(EXIT_USAGE, "an argument, --all, and --subsysnqn= with or without "
                                    "--hostnqn= exclude each other");
    return cli_adopt(o, o->all);
}
