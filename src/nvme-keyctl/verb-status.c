/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "basic/names.h"
#include "nvme-keyctl/cli.h"
#include "nvme-keyctl/field.h"

static void print_store_hint(json_object *store)
{
    bool by_itself = true;

    (void)json_get_bool(store, "opensByItself", &by_itself);
    if (!by_itself)
        field_print(
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
    field_print_time(guard, "", "last");
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
        field_print("Provision", json_string_or(provision, "mode", "-"));
    field_print_member(provision, "", "detail");
}

/* tlshd before 1.1 finds only a keyring that it links when it starts. Newer versions link it for
 * each handshake. */
static void print_remedy(const char *unit, const char *state, const char *remedy)
{
    bool is_stale = strcmp(state, "stale") == 0;

    if (strcmp(remedy, "configure") == 0) {
        field_print("", "it was restarted, but has not linked the keyring: tlshd before 0.12 needs "
                        "keyrings=" NAMES_RING);
        field_print("", "in section [authenticate] of /etc/tlshd.conf");
    } else if (strcmp(remedy, "restart") == 0) {
        field_print("", is_stale ? "it links an older keyring: restart tlshd 1.0, or it does not "
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
            field_print("", json_object_get_string(text));
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
    field_print("Keys", "unknown while the store is closed");
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
    field_print("Configuration", in_force ? "loaded, except for these lines:"
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

    field_print_member(status, "Version", "version");
    print_configuration(status);
    field_print_member(store, "Store", "state");
    field_print_member(store, "Store ID", "id");
    print_slots(store);
    field_print_lines(store, "detail");
    print_store_hint(store);
    field_print_member(keyring, "Keyring", "name");
    field_print_member(keyring, "Key type", "keyType");
    if (json_get_uint(keyring, "serial", INT32_MAX, &serial) > 0)
        printf("%14s: %08x\n", "Serial", (unsigned)serial);
    else
        field_print("", "missing in this kernel: load nvme_keyring with modprobe nvme-tcp");
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
