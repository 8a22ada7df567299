/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "basic/json.h"
#include "basic/limits.h"
#include "basic/names.h"
#include "nvme-keyctl/cli.h"
#include "nvme-keyctl/field.h"
#include "psk/hostnqn.h"

#define WIDE_TERMINAL 120

/* The columns of list; the last ones are left out where no key has anything there. */
enum {
    COLUMN_ID,
    COLUMN_STATE,
    COLUMN_ROLE,
    COLUMN_SERIAL,
    COLUMN_HOST,
    COLUMN_SUBSYSTEM,
    COLUMN_IDENTITY,
    COLUMN_FINGERPRINT,
    COLUMN_STEP,
    COLUMN_CREDENTIAL,
    COLUMN_FOREIGN,
    COLUMN_EXPIRES,
    N_COLUMNS,
};

/* The cells of a row that are not strings of the reply. */
typedef struct Row {
    char versions[8];
    char serials[32];
    char step[32];
    char rivals[64];
    char expires[32];
} Row;

/* Appends text, after a comma if it is not the first, as far as there is room. */
static void append(char *buffer, size_t size, const char *text)
{
    size_t n = strlen(buffer);

    (void)snprintf(buffer + n, size - n, "%s%s", n > 0 ? "," : "", text);
}

static void fill_row(json_object *key, Row *row)
{
    json_object *identities;

    if (json_get_array(key, "identities", &identities) > 0)
        for (size_t i = 0; i < json_object_array_length(identities); i++) {
            json_object *identity = json_object_array_get_idx(identities, i);
            uint64_t version = 0, serial = 0;
            char text[16];

            if (json_get_uint(identity, "version", 9, &version) > 0)
                append(row->versions, sizeof(row->versions), version == 0 ? "0" : "1");
            /* As /sys/class/nvme/nvmeX/tls_key and /proc/keys print it. */
            if (json_get_uint(identity, "serial", INT32_MAX, &serial) > 0) {
                (void)snprintf(text, sizeof(text), "%08x", (unsigned)serial);
                append(row->serials, sizeof(row->serials), text);
            }
        }
    if (row->versions[0] == '\0')
        strcpy(row->versions, "-");
    if (row->serials[0] == '\0')
        strcpy(row->serials, "-");
    if (!field_step(key, row->step, sizeof(row->step)))
        strcpy(row->step, "-");
}

/* Foreign keys that the kernel could take for this one, and the end of its lifetime, with an
 * exclamation mark once it is past. */
static void fill_warnings(json_object *key, Row *row)
{
    bool expired = json_object_object_get_ex(key, "expired", NULL);
    json_object *rivals;
    struct tm tm;

    if (json_get_array(key, "rivals", &rivals) > 0)
        for (size_t i = 0; i < json_object_array_length(rivals); i++) {
            char text[16];

            (void)snprintf(text, sizeof(text), "%08x",
                           (unsigned)json_object_get_int(json_object_array_get_idx(rivals, i)));
            append(row->rivals, sizeof(row->rivals), text);
        }
    if (row->rivals[0] == '\0')
        strcpy(row->rivals, "-");
    if (!field_time(key, "expires", &tm) ||
        strftime(row->expires, sizeof(row->expires), expired ? "%Y-%m-%d!" : "%Y-%m-%d", &tm) == 0)
        strcpy(row->expires, "-");
}

/* On standard error, because programs read the table. */
static void print_broken(json_object *keys)
{
    for (size_t i = 0; i < json_object_array_length(keys); i++) {
        json_object *key = json_object_array_get_idx(keys, i);
        const char *id, *error;

        if (json_get_string(key, "id", &id) > 0 && json_get_string(key, "error", &error) > 0)
            (void)cli_fail(EXIT_OK, "record %s: %s", id, error);
    }
}

static bool any_has(json_object *keys, const char *member)
{
    for (size_t i = 0; i < json_object_array_length(keys); i++)
        if (json_object_object_get_ex(json_object_array_get_idx(keys, i), member, NULL))
            return true;
    return false;
}

static void fill_cells(json_object *key, Row *row, const char *cells[static N_COLUMNS])
{
    fill_row(key, row);
    fill_warnings(key, row);
    cells[COLUMN_ID] = json_string_or(key, "id", "-");
    cells[COLUMN_STATE] = json_string_or(key, "state", "-");
    cells[COLUMN_ROLE] = json_string_or(key, "role", "-");
    cells[COLUMN_SERIAL] = row->serials;
    cells[COLUMN_HOST] = json_string_or(key, "hostNQN", "-");
    cells[COLUMN_SUBSYSTEM] = json_string_or(key, "subsystemNQN", "-");
    cells[COLUMN_IDENTITY] = row->versions;
    cells[COLUMN_FINGERPRINT] = json_string_or(key, "fingerprint", "-");
    cells[COLUMN_STEP] = row->step;
    cells[COLUMN_CREDENTIAL] = json_string_or(key, "credential", "-");
    cells[COLUMN_FOREIGN] = row->rivals;
    cells[COLUMN_EXPIRES] = row->expires;
}

/* Leaves more room for the other columns of a screen. Programs get the NQN itself. */
static void mark_own_host(const char *cells[static N_COLUMNS], const char *own)
{
    if (own[0] && strcmp(cells[COLUMN_HOST], own) == 0)
        cells[COLUMN_HOST] = "(this host)";
}

static void read_own_host(const Options *o, char ret[static NQN_LENGTH_MAX + 2])
{
    _cleanup_(freep) char *detail = NULL;

    if (o->columns == 0 || hostnqn_read(ret, &detail) < 0)
        ret[0] = '\0';
}

static size_t count_columns(const bool left_out[static N_COLUMNS])
{
    size_t n = 0;

    for (size_t i = 0; i < N_COLUMNS; i++)
        n += !left_out[i];
    return n;
}

static int print_list(const Options *o, json_object *keys)
{
    static const char *const head[N_COLUMNS] = {
        "ID",       "STATE",       "ROLE",      "KEY SERIAL", "HOST NQN", "SUBSYSTEM NQN",
        "IDENTITY", "FINGERPRINT", "NEXT STEP", "CREDENTIAL", "FOREIGN",  "EXPIRES"};
    /* A narrow terminal has no room for what "show" prints as well. */
    bool narrow = o->columns > 0 && o->columns < WIDE_TERMINAL;
    bool left_out[N_COLUMNS] = {[COLUMN_SERIAL] = narrow,
                                [COLUMN_IDENTITY] = narrow,
                                [COLUMN_FINGERPRINT] = narrow,
                                [COLUMN_STEP] = !any_has(keys, "step") && !any_has(keys, "follow"),
                                [COLUMN_CREDENTIAL] = !any_has(keys, "credential"),
                                [COLUMN_FOREIGN] = !any_has(keys, "rivals"),
                                [COLUMN_EXPIRES] = !any_has(keys, "expires")};
    size_t n = json_object_array_length(keys), n_columns = count_columns(left_out);
    _cleanup_(freep) const char **cells = calloc((n + 1) * n_columns, sizeof(*cells));
    _cleanup_(freep) Row *rows = calloc(n + 1, sizeof(*rows));
    char own[NQN_LENGTH_MAX + 2];
    const char **c = cells;

    if (!cells || !rows)
        return cli_out_of_memory();
    read_own_host(o, own);
    for (size_t i = 0; i <= n; i++) {
        const char *row[N_COLUMNS];

        if (i == 0)
            memcpy(row, head, sizeof(row));
        else
            fill_cells(json_object_array_get_idx(keys, i - 1), &rows[i], row);
        mark_own_host(row, own);
        for (size_t column = 0; column < N_COLUMNS; column++)
            if (!left_out[column])
                *c++ = row[column];
    }
    if (cli_print_table(o, cells, n_columns, n + 1) != EXIT_OK)
        return EXIT_OTHER;
    print_broken(keys);
    if (o->legend)
        printf("\n%zu key%s listed.\n", n, n == 1 ? "" : "s");
    return EXIT_OK;
}

static bool has_text(json_object *key, const char *member, const char *wanted)
{
    return !wanted || strcmp(json_string_or(key, member, ""), wanted) == 0;
}

/* Handed-in and broken keys have no time. */
static bool is_old_enough(const Options *o, json_object *key, uint64_t now)
{
    uint64_t created;

    return o->older_than_usec == 0 || (json_get_uint(key, "created", INT64_MAX, &created) > 0 &&
                                       created <= now && now - created > o->older_than_usec);
}

static bool is_wanted(const Options *o, json_object *key, uint64_t now)
{
    return has_text(key, "subsystemNQN", o->subsysnqn) && has_text(key, "hostNQN", o->hostnqn) &&
           has_text(key, "role", o->role) && has_text(key, "state", o->state) &&
           is_old_enough(o, key, now);
}

/* By pair, and the keys of a pair by age, so that a successor comes after its predecessor. */
static int compare(const void *a, const void *b)
{
    static const char *const members[] = {"subsystemNQN", "hostNQN"};
    json_object *one = *(json_object *const *)a, *other = *(json_object *const *)b;
    uint64_t created = 0, other_created = 0;

    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        int r = strcmp(json_string_or(one, members[i], ""), json_string_or(other, members[i], ""));

        if (r != 0)
            return r;
    }
    (void)json_get_uint(one, "created", INT64_MAX, &created);
    (void)json_get_uint(other, "created", INT64_MAX, &other_created);
    if (created != other_created)
        return created < other_created ? -1 : 1;
    return strcmp(json_string_or(one, "id", ""), json_string_or(other, "id", ""));
}

/* Returns a new array, or NULL. */
static json_object *select_keys(const Options *o, json_object *keys)
{
    json_object *wanted = json_object_new_array();
    uint64_t now = (uint64_t)time(NULL) * USEC_PER_SEC;

    for (size_t i = 0; wanted && i < json_object_array_length(keys); i++) {
        json_object *key = json_object_array_get_idx(keys, i);

        if (is_wanted(o, key, now) && json_append_take(wanted, json_object_get(key)) < 0) {
            json_object_put(wanted);
            return NULL;
        }
    }
    if (wanted)
        json_object_array_sort(wanted, compare);
    return wanted;
}

int verb_list(const Options *o)
{
    _cleanup_(json_putp) json_object *all = json_object_new_array(),
                                     *reply = json_object_new_object();
    json_object *keys;
    int r;

    if (!all || !reply)
        return cli_out_of_memory();
    r = cli_call_list(o, "List", "key", all);
    /* A store that does not open still leaves the handed-in keys. */
    if (r != EXIT_OK && json_object_array_length(all) == 0)
        return r;
    keys = select_keys(o, all);
    if (json_add_take(reply, "keys", keys) < 0)
        return cli_out_of_memory();
    if (o->json != JSON_OFF)
        cli_print_json(o, reply);
    else if (print_list(o, keys) != EXIT_OK)
        return EXIT_OTHER;
    return r;
}
