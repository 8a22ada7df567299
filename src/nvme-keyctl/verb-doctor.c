/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "basic/clock.h"
#include "basic/json.h"
#include "basic/names.h"
#include "nvme-keyctl/cli.h"
#include "nvme-keyctl/doctor/doctor.h"
#include "nvme-keyctl/doctor/journal.h"
#include "nvme-keyctl/doctor/output.h"
#include "nvme-keyctl/doctor/units.h"

/* doctor: asks nvme-keyd, the service manager and the journal, and runs the checks on that. */

/* Answers of nvme-keyd. */
typedef struct Answers {
    json_object *status, *keys, *slots;
    char *unreachable, *no_keys;
} Answers;

static void answers_done(const Answers *a)
{
    json_object_put(a->status);
    json_object_put(a->keys);
    json_object_put(a->slots);
    free(a->unreachable);
    free(a->no_keys);
}

static uint64_t patience(const Options *o)
{
    return o->timeout_usec > 0 ? o->timeout_usec : CLI_STATUS_TIMEOUT_USEC;
}

/* Without a word on standard error, because a line of the result says it. Returns an error, or 0
 * with *ret NULL if the service gave an error, whose message is in *ret_why. */
static int ask(const Options *o, VarlinkClient *client, const char *method, json_object **ret,
               char **ret_why)
{
    _cleanup_(json_putp) json_object *reply = NULL;
    _cleanup_(freep) char *error = NULL;
    int r = varlink_client_call(client, method, NULL, patience(o), &reply, &error);

    if (r < 0)
        return r;
    if (error) {
        *ret_why = strdup(json_string_or(reply, "message", error));
        return *ret_why ? 0 : -ENOMEM;
    }
    *ret = TAKE_PTR(reply);
    return 0;
}

static int collect(json_object *reply, void *userdata)
{
    json_object *key, *copy = NULL;

    if (json_get_object(reply, "key", &key) <= 0)
        return 0;
    return json_object_deep_copy(key, &copy, NULL) < 0 ? -ENOMEM : json_append_take(userdata, copy);
}

static int ask_for_keys(const Options *o, VarlinkClient *client, Answers *a)
{
    _cleanup_(json_putp) json_object *keys = json_object_new_array(), *reply = NULL;
    _cleanup_(freep) char *error = NULL;
    int r;

    if (!keys)
        return -ENOMEM;
    r = varlink_client_call_more(client, NAMES_MANAGER_INTERFACE ".List", NULL, patience(o),
                                 collect, keys, &reply, &error);
    if (r < 0)
        return r;
    if (error) {
        a->no_keys = strdup(json_string_or(reply, "message", error));
        return a->no_keys ? 0 : -ENOMEM;
    }
    a->keys = TAKE_PTR(keys);
    return 0;
}

static int ask_service(const Options *o, Answers *a)
{
    _cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
    _cleanup_(freep) char *why = NULL;
    int r = varlink_client_connect(o->socket ? o->socket : NAMES_MANAGER_SOCKET, NULL, patience(o),
                                   &client);

    if (r == 0)
        r = ask(o, client, NAMES_MANAGER_INTERFACE ".Status", &a->status, &a->unreachable);
    if (r == 0 && a->status)
        r = ask(o, client, NAMES_MANAGER_INTERFACE ".ListSlots", &a->slots, &why);
    /* Last, because it waits for a store that is slow to open. */
    if (r == 0 && a->status)
        r = ask_for_keys(o, client, a);
    if (r == -ENOMEM || r == 0)
        return r;
    if (a->status) {
        a->no_keys = strdup(strerror(-r));
        return a->no_keys ? 0 : -ENOMEM;
    }
    a->unreachable = strdup(strerror(-r));
    return a->unreachable ? 0 : -ENOMEM;
}

static int run(const Options *o, Answers *a, Doctor *d)
{
    int r = ask_service(o, a);

    if (r < 0)
        return r;
    d->status = a->status;
    d->keys = a->keys;
    d->slots = a->slots;
    d->unreachable = a->unreachable;
    d->no_keys = a->no_keys;
    d->privileged = geteuid() == 0;
    d->clock_synchronized = clock_is_synchronized(NAMES_CLOCK_SYNCHRONIZED);
    /* 0xMNN00PP0L in OpenSSL. */
    d->openssl_version = (unsigned)(OpenSSL_version_num() >> 12 & 0xfff00) |
                         (unsigned)(OpenSSL_version_num() >> 4 & 0xff);
    if ((r = units_read(d, d->privileged ? NAMES_SERVICE_MANAGER : NULL)) < 0 ||
        (r = journal_read(d)) < 0)
        return r;
    return doctor_run(d);
}

static int print(const Options *o, const Doctor *d)
{
    _cleanup_(json_putp) json_object *reply = NULL;

    if (o->json == JSON_OFF) {
        doctor_print(d, stdout, cli_use_colours(o), o->legend, o->columns);
    } else {
        if (doctor_to_json(d, &reply) < 0)
            return cli_out_of_memory();
        cli_print_json(o, reply);
    }
    return doctor_worst(d) == DOCTOR_FAIL ? EXIT_CHECK_FAILED : EXIT_OK;
}

int verb_doctor(const Options *o)
{
    _cleanup_(closep) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(answers_done) Answers a = {.status = NULL};
    _cleanup_(doctor_done) Doctor d = {.root = root, .subsysnqn = o->subsysnqn};
    int r = root < 0 ? -errno : run(o, &a, &d);

    r = r < 0 ? cli_fail(EXIT_OTHER, "%s", strerror(-r)) : print(o, &d);
    free(d.units);
    return r;
}
