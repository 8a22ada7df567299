/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "basic/json.h"
#include "basic/limits.h"
#include "basic/names.h"
#include "nvme-keyctl/cli.h"

/* list, show and status read the state. */

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

/* Reads a member that is a time, in local time. */
static bool get_time(json_object *key, const char *member, struct tm *ret)
{
    uint64_t usec;
    time_t t;

    if (json_get_uint(key, member, INT64_MAX, &usec) <= 0)
        return false;
    t = (time_t)(usec / USEC_PER_SEC);
    return localtime_r(&t, ret);
}

/* Writes "revoke 2026-12-01 10:00". */
static bool format_step(json_object *key, char *ret, size_t size)
{
    const char *step;
    char time[24];
    struct tm tm;

    if (json_get_string(key, "step", &step) <= 0 || !get_time(key, "deadline", &tm) ||
        strftime(time, sizeof(time), "%Y-%m-%d %H:%M", &tm) == 0)
        return false;
    (void)snprintf(ret, size, "%s %s", step, time);
    return true;
}

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
    if (!format_step(key, row->step, sizeof(row->step)))
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
    if (!get_time(key, "expires", &tm) ||
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
    bool left_out[N_COLUMNS] = {[COLUMN_STEP] = !any_has(keys, "step"),
                                [COLUMN_CREDENTIAL] = !any_has(keys, "credential"),
                                [COLUMN_FOREIGN] = !any_has(keys, "rivals"),
                                [COLUMN_EXPIRES] = !any_has(keys, "expires")};
    size_t n = json_object_array_length(keys), n_columns = count_columns(left_out);
    _cleanup_(freep) const char **cells = calloc((n + 1) * n_columns, sizeof(*cells));
    _cleanup_(freep) Row *rows = calloc(n + 1, sizeof(*rows));
    const char **c = cells;

    if (!cells || !rows)
        return cli_out_of_memory();
    for (size_t i = 0; i <= n; i++) {
        const char *row[N_COLUMNS];

        if (i == 0)
            memcpy(row, head, sizeof(row));
        else
            fill_cells(json_object_array_get_idx(keys, i - 1), &rows[i], row);
        for (size_t column = 0; column < N_COLUMNS; column++)
            if (!left_out[column])
                *c++ = row[column];
    }
    cli_print_table(o, cells, n_columns, n + 1);
    print_broken(keys);
    if (o->legend)
        printf("\n%zu key%s listed.\n", n, n == 1 ? "" : "s");
    return EXIT_OK;
}

/* Keys that were made that long ago. Handed-in and broken keys have no time. */
static json_object *select_older(const Options *o, json_object *keys)
{
    json_object *older = json_object_new_array();
    uint64_t now = (uint64_t)time(NULL) * USEC_PER_SEC, created;

    for (size_t i = 0; older && i < json_object_array_length(keys); i++) {
        json_object *key = json_object_array_get_idx(keys, i);

        if (json_get_uint(key, "created", INT64_MAX, &created) > 0 && created <= now &&
            now - created > o->older_than_usec &&
            json_append_take(older, json_object_get(key)) < 0) {
            json_object_put(older);
            return NULL;
        }
    }
    return older;
}

int verb_list(const Options *o)
{
    _cleanup_(json_putp) json_object *reply = json_object_new_object();
    json_object *keys = json_object_new_array();
    int r;

    if (json_add_take(reply, "keys", keys) < 0)
        return cli_out_of_memory();
    r = cli_call_list(o, "List", "key", keys);
    /* A store that does not open still leaves the handed-in keys. */
    if (r != EXIT_OK && json_object_array_length(keys) == 0)
        return r;
    if (o->older_than_usec > 0) {
        keys = select_older(o, keys);
        if (json_add_take(reply, "keys", keys) < 0)
            return cli_out_of_memory();
    }
    if (o->json != JSON_OFF)
        cli_print_json(o, reply);
    else if (print_list(o, keys) != EXIT_OK)
        return EXIT_OTHER;
    return r;
}

static void print_field(const char *label, const char *value)
{
    printf("%14s: %s\n", label, value);
}

static void print_text(json_object *key, const char *label, const char *member)
{
    const char *s;

    if (json_get_string(key, member, &s) > 0)
        print_field(label, s);
}

/* Each line of a text, without a label. */
static void print_each_line(json_object *o, const char *member)
{
    const char *s;

    if (json_get_string(o, member, &s) <= 0)
        return;
    for (size_t n; *s; s += n + (s[n] == '\n')) {
        n = strcspn(s, "\n");
        printf("%14s: %.*s\n", "", (int)n, s);
    }
}

static void print_time(json_object *key, const char *label, const char *member)
{
    char text[64];
    struct tm tm;

    if (get_time(key, member, &tm) &&
        strftime(text, sizeof(text), "%a %Y-%m-%d %H:%M:%S %Z", &tm) > 0)
        print_field(label, text);
}

/* A retiring key may have no step: then it stays until it gets one. */
static void print_step(json_object *key)
{
    char text[64];
    bool follow = false;

    if (format_step(key, text, sizeof(text)))
        print_field("Next step", text);
    if (json_get_bool(key, "follow", &follow) > 0 && follow)
        print_field("Next step", "activate as soon as the target accepts it");
}

static void print_identities(json_object *key)
{
    json_object *identities;
    uint64_t lifetime = 0;

    (void)json_get_uint(key, "lifetimeSec", INT64_MAX, &lifetime);
    if (json_get_array(key, "identities", &identities) <= 0)
        return;
    for (size_t i = 0; i < json_object_array_length(identities); i++) {
        json_object *identity = json_object_array_get_idx(identities, i);
        const char *text = json_string_or(identity, "identity", "-");
        uint64_t serial = 0;

        print_field(i == 0 ? "Identities" : "", text);
        if (json_get_uint(identity, "serial", INT32_MAX, &serial) > 0)
            printf("%16sin the keyring as %08x\n", "", (unsigned)serial);
        else
            printf("%16snot in the keyring%s\n", "",
                   lifetime > 0 ? ", until the kernel asks for it" : "");
    }
}

int verb_show(const Options *o)
{
    _cleanup_(json_putp) json_object *p = json_object_new_object(), *reply = NULL;
    json_object *key;
    int r;

    if (!p || json_add_string(p, "id", o->arguments[0]) < 0)
        return cli_out_of_memory();
    r = cli_call(o, "Describe", TAKE_PTR(p), &reply);
    if (r != EXIT_OK)
        return r;
    if (json_get_object(reply, "key", &key) <= 0)
        return cli_fail(EXIT_OTHER, "the answer of nvme-keyd holds no key");
    if (o->json != JSON_OFF) {
        cli_print_json(o, reply);
        return EXIT_OK;
    }
    print_text(key, "ID", "id");
    print_text(key, "State", "state");
    print_text(key, "Error", "error");
    print_text(key, "Kind", "kind");
    print_text(key, "Role", "role");
    print_text(key, "Host NQN", "hostNQN");
    print_text(key, "Subsystem NQN", "subsystemNQN");
    print_text(key, "Hash", "hash");
    print_text(key, "Derivation", "derivation");
    print_text(key, "Fingerprint", "fingerprint");
    print_identities(key);
    print_time(key, "Created", "created");
    print_time(key, "Changed", "changed");
    print_text(key, "Succeeds", "succeeds");
    print_time(key, "Confirmed", "confirmed");
    print_step(key);
    print_time(key, json_object_object_get_ex(key, "expired", NULL) ? "Expired" : "Expires",
               "expires");
    print_text(key, "Comment", "comment");
    print_text(key, "Credential", "credential");
    return EXIT_OK;
}

static void print_store_hint(json_object *store)
{
    bool by_itself = true;

    (void)json_get_bool(store, "opensByItself", &by_itself);
    if (!by_itself)
        print_field(
            "", "opened by hand, until nvme-keyd stops: run nvme-keyctl slot reseal, so that it "
                "opens by itself again");
}

static void print_guard(json_object *guard)
{
    uint64_t n = 0, displaced = 0, pause;
    bool looking = false;

    (void)json_get_bool(guard, "looking", &looking);
    (void)json_get_uint(guard, "putBack", INT64_MAX, &n);
    (void)json_get_uint(guard, "displaced", INT64_MAX, &displaced);
    printf("%14s: %s, %llu keys put back", "Guard", looking ? "looking" : "off",
           (unsigned long long)n);
    if (displaced > 0)
        printf(", %llu foreign keys taken out", (unsigned long long)displaced);
    printf("\n");
    if (n > 0)
        printf("%16sthe last one was %s, and put back on\n", "",
               json_string_or(guard, "cause", "lost"));
    print_time(guard, "", "last");
    if (json_get_uint(guard, "pauseSec", INT64_MAX, &pause) > 0)
        printf("%16sanother program undoes that again and again: only each %llu s now\n", "",
               (unsigned long long)pause);
}

static void print_provision(json_object *provision)
{
    uint64_t timeout;

    if (json_get_uint(provision, "timeoutSec", INT64_MAX, &timeout) > 0)
        printf("%14s: on demand, for %llu s\n", "Provision", (unsigned long long)timeout);
    else
        print_field("Provision", json_string_or(provision, "mode", "-"));
    print_text(provision, "", "detail");
}

/* tlshd before 1.1 finds only a keyring that it links when it starts. Newer versions link it for
 * each handshake. */
static void print_remedy(const char *unit, const char *state, const char *remedy)
{
    bool is_stale = strcmp(state, "stale") == 0;

    if (strcmp(remedy, "configure") == 0) {
        print_field("", "it was restarted, but has not linked the keyring: tlshd before 0.12 needs "
                        "keyrings=" NAMES_RING);
        print_field("", "in section [authenticate] of /etc/tlshd.conf");
    } else if (strcmp(remedy, "restart") == 0) {
        print_field("", is_stale ? "it links an older keyring: restart tlshd 1.0, or it does not "
                                   "find the keys:"
                                 : "it has no link to the keyring: tlshd 1.1 and newer need none, "
                                   "restart an older one:");
        printf("%16ssystemctl restart %s\n", "", unit);
    }
}

static void print_tlshd(json_object *status)
{
    const char *unit, *state;
    json_object *tlshd;

    if (json_get_object(status, "tlshd", &tlshd) <= 0)
        return;
    unit = json_string_or(tlshd, "unit", "-");
    state = json_string_or(tlshd, "state", "-");
    printf("%14s: %s, %s\n", "Handshakes", unit, state);
    print_remedy(unit, state, json_string_or(tlshd, "remedy", "-"));
}

/* problems: an array of texts, or NULL. */
static void print_lines(json_object *problems)
{
    for (size_t i = 0; problems && i < json_object_array_length(problems); i++) {
        json_object *text = json_object_array_get_idx(problems, i);

        if (json_object_is_type(text, json_type_string))
            print_field("", json_object_get_string(text));
    }
}

/* Prints nothing where no keys were handed in. */
static void print_credentials(json_object *credentials)
{
    uint64_t keys = 0, overridden = 0;
    json_object *problems = NULL;
    size_t n = 0;

    (void)json_get_uint(credentials, "keys", INT64_MAX, &keys);
    (void)json_get_uint(credentials, "overridden", INT64_MAX, &overridden);
    if (json_get_array(credentials, "problems", &problems) > 0)
        n = json_object_array_length(problems);
    if (keys == 0 && n == 0)
        return;
    printf("%14s: %llu keys, %llu overridden by the store\n", "Credentials",
           (unsigned long long)keys, (unsigned long long)overridden);
    print_lines(problems);
}

/* The first slot is the one that opened the store. */
static void print_slots(json_object *store)
{
    bool opened = strcmp(json_string_or(store, "slot", "-"), "removed") != 0;
    json_object *slots;

    if (json_get_array(store, "slots", &slots) <= 0)
        return;
    printf("%14s: ", "Sealed by");
    for (size_t i = 0; i < json_object_array_length(slots); i++)
        printf("%s%s%s", i > 0 ? ", " : "",
               json_object_get_string(json_object_array_get_idx(slots, i)),
               i == 0 && opened ? " (opened it)" : "");
    printf("\n");
}

static void print_counts(json_object *status)
{
    uint64_t keys, broken = 0, identities = 0, published = 0, ours, expired = 0;

    if (json_get_uint(status, "keys", INT64_MAX, &keys) > 0 &&
        json_get_uint(status, "broken", INT64_MAX, &broken) > 0 &&
        json_get_uint(status, "identities", INT64_MAX, &identities) > 0 &&
        json_get_uint(status, "published", INT64_MAX, &published) > 0) {
        printf("%14s: %llu, %llu broken\n", "Keys", (unsigned long long)keys,
               (unsigned long long)broken);
        if (json_get_uint(status, "expired", INT64_MAX, &expired) > 0 && expired > 0)
            printf("%16s%llu past the end of their lifetime, see nvme-keyctl list\n", "",
                   (unsigned long long)expired);
        printf("%14s: %llu of %llu identities\n", "Published", (unsigned long long)published,
               (unsigned long long)identities);
        return;
    }
    print_field("Keys", "unknown while the store is closed");
    if (json_get_uint(status, "inKeyring", INT64_MAX, &ours) > 0)
        printf("%14s: %llu identities of stored or handed-in keys\n", "Published",
               (unsigned long long)ours);
}

static void print_controllers(json_object *status)
{
    uint64_t total = 0, active = 0, old = 0, received = 0, done = 0;
    json_object *controllers, *updates, *problems;

    if (json_get_object(status, "controllers", &controllers) > 0) {
        (void)json_get_uint(controllers, "total", INT64_MAX, &total);
        (void)json_get_uint(controllers, "active", INT64_MAX, &active);
        (void)json_get_uint(controllers, "old", INT64_MAX, &old);
        if (total > 0)
            printf("%14s: %llu with TLS, %llu on the active key, %llu on an old key%s\n",
                   "Controllers", (unsigned long long)total, (unsigned long long)active,
                   (unsigned long long)old, old > 0 ? ": run nvme-keyctl move" : "");
        if (json_get_array(controllers, "problems", &problems) > 0)
            print_lines(problems);
    }
    if (json_get_object(status, "keyUpdates", &updates) <= 0)
        return;
    (void)json_get_uint(updates, "received", INT64_MAX, &received);
    (void)json_get_uint(updates, "done", INT64_MAX, &done);
    if (received > 0)
        printf("%14s: %llu received from peers, %llu carried out\n", "Key updates",
               (unsigned long long)received, (unsigned long long)done);
}

static void print_configuration(json_object *status)
{
    json_object *configuration, *problems;
    bool in_force = true;

    if (json_get_object(status, "configuration", &configuration) <= 0 ||
        json_get_bool(configuration, "inForce", &in_force) < 0 ||
        json_get_array(configuration, "problems", &problems) <= 0 ||
        json_object_array_length(problems) == 0)
        return;
    print_field("Configuration", in_force ? "loaded, except for these lines:"
                                          : "not reloaded, so the previous one stays in force:");
    print_lines(problems);
}

static int print_status(json_object *status)
{
    json_object *store, *keyring, *guard, *provision, *credentials, *problems;
    uint64_t dropped, serial = 0;

    if (json_get_object(status, "store", &store) <= 0 ||
        json_get_object(status, "keyring", &keyring) <= 0 ||
        json_get_object(status, "provision", &provision) <= 0)
        return cli_fail(EXIT_OTHER, "the answer of nvme-keyd holds no status");

    print_text(status, "Version", "version");
    print_configuration(status);
    print_text(store, "Store", "state");
    print_text(store, "Store ID", "id");
    print_slots(store);
    print_each_line(store, "detail");
    print_store_hint(store);
    print_text(keyring, "Keyring", "name");
    print_text(keyring, "Key type", "keyType");
    if (json_get_uint(keyring, "serial", INT32_MAX, &serial) > 0)
        printf("%14s: %08x\n", "Serial", (unsigned)serial);
    else
        print_field("", "missing in this kernel: load nvme_keyring with modprobe nvme-tcp");
    if (json_get_array(keyring, "problems", &problems) > 0)
        print_lines(problems);
    if (json_get_object(status, "guard", &guard) > 0)
        print_guard(guard);
    print_tlshd(status);
    print_provision(provision);
    if (json_get_object(status, "credentials", &credentials) > 0)
        print_credentials(credentials);
    print_counts(status);
    print_controllers(status);
    if (json_get_uint(status, "droppedMessages", INT64_MAX, &dropped) > 0)
        printf("%14s: %llu lines lost, because the journal was full\n", "Log",
               (unsigned long long)dropped);
    return EXIT_OK;
}

int verb_status(const Options *o)
{
    _cleanup_(json_putp) json_object *reply = NULL;
    Options own = *o;
    int r;

    /* A service that does not answer is a state as well, so find out soon. */
    if (own.timeout_usec == 0)
        own.timeout_usec = CLI_STATUS_TIMEOUT_USEC;
    r = cli_call(&own, "Status", NULL, &reply);
    if (r != EXIT_OK)
        return r;
    if (o->json != JSON_OFF)
        cli_print_json(o, reply);
    if (o->check)
        return cli_check_status(o, reply);
    return o->json == JSON_OFF ? print_status(reply) : EXIT_OK;
}
