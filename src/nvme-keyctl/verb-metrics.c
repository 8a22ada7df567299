/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "basic/macro.h"
#include "nvme-keyctl/cli.h"

/*
 * The text format of Prometheus, which the textfile collector of node_exporter reads. A metric has
 * its HELP and TYPE before its samples. What the service does not say has no sample, rather than a
 * 0.
 */

/* An integer of Status, by the object that has it; NULL for Status itself. */
typedef struct Number {
    const char *object, *member, *name, *type, *help;
} Number;

static const Number numbers[] = {
    {NULL, "identities", "nvme_keyd_identities", "gauge",
     "Identities of keys that nvme-keyd publishes."},
    {NULL, "published", "nvme_keyd_identities_published", "gauge",
     "Those of the identities that are in the keyring."},
    {NULL, "missing", "nvme_keyd_keys_missing", "gauge",
     "Keys that should be in the keyring and are not."},
    {NULL, "expired", "nvme_keyd_keys_expired", "gauge", "Keys that are past their lifetime."},
    {"guard", "putBack", "nvme_keyd_keys_put_back_total", "counter",
     "Keys that another program took out of the keyring, and nvme-keyd put back."},
    {"guard", "displaced", "nvme_keyd_foreign_keys_displaced_total", "counter",
     "Keys of other programs that nvme-keyd took out of the keyring."},
    {"controllers", "total", "nvme_keyd_controllers", "gauge",
     "Controllers of this host with TLS."},
    {"controllers", "old", "nvme_keyd_controllers_old_key", "gauge",
     "Controllers that still use an older key than the active one."},
    {"controllers", "stalled", "nvme_keyd_controllers_stalled", "gauge",
     "Controllers whose requests do not end after a KeyUpdate of the peer."},
    {NULL, "droppedMessages", "nvme_keyd_log_lines_dropped_total", "counter",
     "Log lines that were lost because the journal did not take them."},
};

static void print_head(const char *name, const char *type, const char *help)
{
    printf("# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void print_gauge(const char *name, const char *help, uint64_t value)
{
    print_head(name, "gauge", help);
    printf("%s %" PRIu64 "\n", name, value);
}

static void print_number(json_object *status, const Number *n)
{
    json_object *object = status;
    uint64_t value;

    if (n->object && json_get_object(status, n->object, &object) <= 0)
        return;
    if (json_get_uint(object, n->member, INT64_MAX, &value) <= 0)
        return;
    print_head(n->name, n->type, n->help);
    printf("%s %" PRIu64 "\n", n->name, value);
}

/* One sample for each word that a member may have, 1 for the one that it has. */
static void print_words(json_object *object, const char *member, const char *name, const char *help,
                        const char *const *words)
{
    const char *is;

    if (json_get_string(object, member, &is) <= 0)
        return;
    print_head(name, "gauge", help);
    for (; *words; words++)
        printf("%s{state=\"%s\"} %d\n", name, *words, strcmp(is, *words) == 0);
}

static void print_keys(json_object *keys)
{
    static const char *const states[] = {"pending", "active", "retiring",
                                         "revoked", "broken", "overridden"};
    uint64_t n[ARRAY_SIZE(states)] = {0}, oldest = UINT64_MAX, created;

    for (size_t i = 0; i < json_object_array_length(keys); i++) {
        json_object *key = json_object_array_get_idx(keys, i);
        const char *state = "";

        (void)json_get_string(key, "state", &state);
        for (size_t s = 0; s < ARRAY_SIZE(states); s++)
            n[s] += strcmp(state, states[s]) == 0;
        if (strcmp(state, "active") == 0 &&
            json_get_uint(key, "created", INT64_MAX, &created) > 0 && created < oldest)
            oldest = created;
    }
    print_head("nvme_keyd_keys", "gauge", "Keys by their state.");
    for (size_t s = 0; s < ARRAY_SIZE(states); s++)
        printf("nvme_keyd_keys{state=\"%s\"} %" PRIu64 "\n", states[s], n[s]);
    if (oldest < UINT64_MAX)
        print_gauge("nvme_keyd_oldest_active_key_created_timestamp_seconds",
                    "When the oldest active key was made, in seconds since 1970.",
                    oldest / USEC_PER_SEC);
}

static int print_metrics(json_object *status, json_object *keys)
{
    static const char *const store_states[] = {"open", "absent", "opening", "unavailable", NULL};
    static const char *const tlshd_states[] = {"ready", "stale", "stopped", "unknown", NULL};
    json_object *store, *keyring, *tlshd, *configuration, *problems;
    uint64_t serial;

    if (json_get_object(status, "store", &store) <= 0 ||
        json_get_object(status, "keyring", &keyring) <= 0)
        return cli_fail(EXIT_OTHER, "the answer of nvme-keyd holds no status");
    print_words(store, "state", "nvme_keyd_store_state", "State of the sealed store.",
                store_states);
    if (keys)
        print_keys(keys);
    print_gauge("nvme_keyd_keyring_present", "Whether the kernel has the keyring.",
                json_get_uint(keyring, "serial", INT32_MAX, &serial) > 0);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        print_number(status, &numbers[i]);
    if (json_get_object(status, "tlshd", &tlshd) > 0)
        print_words(tlshd, "state", "nvme_keyd_tlshd_state",
                    "Whether the handshake daemon has the keyring.", tlshd_states);
    if (json_get_object(status, "configuration", &configuration) > 0 &&
        json_get_array(configuration, "problems", &problems) > 0)
        print_gauge("nvme_keyd_configuration_problems", "Mistakes in nvme-keyd.conf.",
                    json_object_array_length(problems));
    return EXIT_OK;
}

int verb_metrics(const Options *o)
{
    _cleanup_(json_putp) json_object *status = NULL, *keys = NULL;
    json_object *store;
    const char *state = "";
    Options own = *o;
    int r;

    if (own.timeout_usec == 0)
        own.timeout_usec = CLI_STATUS_TIMEOUT_USEC;
    r = cli_call(&own, "Status", NULL, &status);
    /* A service that does not answer is a sample as well. */
    if (r != EXIT_OK && (r != EXIT_UNREACHABLE || o->json != JSON_OFF))
        return r;
    if (o->json != JSON_OFF) {
        cli_print_json(o, status);
        return EXIT_OK;
    }
    print_gauge("nvme_keyd_up", "Whether the service answers.", r == EXIT_OK);
    if (r != EXIT_OK)
        return EXIT_OK;
    /* List would wait for a store that does not open. */
    if (json_get_object(status, "store", &store) > 0)
        (void)json_get_string(store, "state", &state);
    if (strcmp(state, "open") == 0 || strcmp(state, "absent") == 0) {
        keys = json_object_new_array();
        if (!keys)
            return cli_out_of_memory();
        r = cli_call_list(&own, "List", "key", keys);
        if (r != EXIT_OK)
            return r;
    }
    return print_metrics(status, keys);
}
