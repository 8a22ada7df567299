/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "nvme-keyctl/cli.h"

/* status --check: one line and an exit code for a program that monitors this machine. The line
 * names one problem, the worst. */

/* The result; a longer text is cut. */
typedef struct Verdict {
    ExitCode code;
    char text[512];
} Verdict;

static void problem(Verdict *v, ExitCode code, const char *format, ...) _printf_(3, 4);
static void problem(Verdict *v, ExitCode code, const char *format, ...)
{
    va_list ap;

    v->code = code;
    va_start(ap, format);
    (void)vsnprintf(v->text, sizeof(v->text), format, ap);
    va_end(ap);
}

static uint64_t count(json_object *o, const char *member)
{
    uint64_t n = 0;

    (void)json_get_uint(o, member, INT64_MAX, &n);
    return n;
}

/* The first of an array of texts, or NULL. */
static const char *first_problem(json_object *o)
{
    json_object *problems;

    if (json_get_array(o, "problems", &problems) <= 0 || json_object_array_length(problems) == 0)
        return NULL;
    return json_object_get_string(json_object_array_get_idx(problems, 0));
}

static void check_store(Verdict *v, json_object *store, json_object *status)
{
    const char *state = json_string_or(store, "state", ""),
               *detail = json_string_or(store, "detail", "");
    bool by_itself = true, foreign = false;

    (void)json_get_bool(store, "opensByItself", &by_itself);
    (void)json_get_bool(store, "foreign", &foreign);
    if (strcmp(state, "unavailable") == 0)
        problem(v, EXIT_STORE, "the store does not open: %.*s", (int)strcspn(detail, "\n"), detail);
    else if (foreign)
        problem(v, EXIT_STORE, "the store is not the expected one");
    else if (strcmp(state, "opening") == 0)
        problem(v, EXIT_STORE, "the store is still being opened");
    else if (count(status, "broken") > 0)
        problem(v, EXIT_STORE, "%llu records of the store are broken",
                (unsigned long long)count(status, "broken"));
    else if (!by_itself)
        problem(v, EXIT_STORE, "only a recovery key opens the store: run nvme-keyctl slot reseal");
}

static void check_keyring(Verdict *v, json_object *keyring, json_object *status,
                          json_object *credentials)
{
    const char *why = first_problem(keyring);
    uint64_t missing = count(status, "missing");

    if (!json_object_object_get_ex(keyring, "serial", NULL)) {
        if (count(status, "keys") + count(credentials, "keys") > 0)
            problem(v, EXIT_NO_KEYRING, "the kernel has no keyring %s now",
                    json_string_or(keyring, "name", ""));
    } else if (missing > 0) {
        problem(v, EXIT_KEYRING, "%llu keys are not in the keyring%s%s",
                (unsigned long long)missing, why ? ": " : "", why ? why : "");
    } else if (why) {
        problem(v, EXIT_KEYRING, "%s", why);
    }
}

/* A fight with another program leaves gaps, in which a controller is lost. */
static void check_guard(Verdict *v, json_object *guard)
{
    if (count(guard, "pauseSec") > 0)
        problem(v, EXIT_KEYRING,
                "another program takes keys out of the keyring again and again, see nvme-keyctl "
                "status");
}

static void check_rest(Verdict *v, json_object *status, json_object *credentials)
{
    json_object *tlshd = NULL, *provision = NULL, *configuration = NULL, *controllers = NULL;
    const char *why = first_problem(credentials);

    (void)json_get_object(status, "tlshd", &tlshd);
    (void)json_get_object(status, "provision", &provision);
    (void)json_get_object(status, "configuration", &configuration);
    (void)json_get_object(status, "controllers", &controllers);
    if (!why)
        why = first_problem(configuration);
    if (strcmp(json_string_or(tlshd, "state", ""), "stale") == 0)
        problem(v, EXIT_OTHER, "%s does not have the keyring", json_string_or(tlshd, "unit", ""));
    else if (first_problem(controllers))
        problem(v, EXIT_OTHER, "%s", first_problem(controllers));
    else if (json_string_or(provision, "detail", "")[0])
        problem(v, EXIT_OTHER, "%s", json_string_or(provision, "detail", ""));
    else if (why)
        problem(v, EXIT_INVALID, "%s", why);
    else if (count(status, "expired") > 0)
        problem(v, EXIT_OTHER, "%llu keys are past the end of their lifetime: rotate them",
                (unsigned long long)count(status, "expired"));
}

static void print_ok(json_object *status, json_object *guard)
{
    printf("OK: %llu keys, %llu of %llu identities in the keyring",
           (unsigned long long)count(status, "keys"),
           (unsigned long long)count(status, "published"),
           (unsigned long long)count(status, "identities"));
    if (count(guard, "putBack") > 0)
        printf(", %llu put back (the last one was %s)", (unsigned long long)count(guard, "putBack"),
               json_string_or(guard, "cause", "lost"));
    printf("\n");
}

int cli_check_status(const Options *o, json_object *status)
{
    json_object *store, *keyring, *credentials = NULL, *guard = NULL;
    Verdict v = {.code = EXIT_OK};

    if (json_get_object(status, "store", &store) <= 0 ||
        json_get_object(status, "keyring", &keyring) <= 0)
        return cli_fail(EXIT_OTHER, "the answer of nvme-keyd holds no status");
    (void)json_get_object(status, "credentials", &credentials);
    check_store(&v, store, status);
    if (v.code == EXIT_OK)
        check_keyring(&v, keyring, status, credentials);
    (void)json_get_object(status, "guard", &guard);
    if (v.code == EXIT_OK)
        check_guard(&v, guard);
    if (v.code == EXIT_OK)
        check_rest(&v, status, credentials);
    if (o->json != JSON_OFF)
        return (int)v.code;
    if (v.code != EXIT_OK)
        printf("CRITICAL: %s\n", v.text);
    else
        print_ok(status, guard);
    return (int)v.code;
}
