/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "basic/names.h"
#include "build-config.h"
#include "credstore/seal/limits.h"
#include "nvme-keyctl/cli.h"
#include "psk/hostnqn.h"
#include "psk/limits.h"
#include "psk/nqn.h"
#include "varlink/client.h"
#include "varlink/frame.h"
#include "varlink/json-wire.h"
#include "varlink/message.h"

/* nvme-keyd may wait for a TPM at each slot in turn, and at a new one, before it handles the call.
 * The rest is for 10,000 keys. */
#define CALL_TIMEOUT_USEC ((STORE_SLOTS_MAX + 1) * SEAL_TIMEOUT_USEC + 60 * USEC_PER_SEC)
/* connect(2) blocks while the backlog is full; clients of sd-varlink wait as long. */
#define CONNECT_TIMEOUT_USEC (45 * USEC_PER_SEC)

/* After this long without output a program seems to hang. */
#define SLOW_USEC (2 * USEC_PER_SEC)

static const struct {
    const char *error;
    ExitCode code;
} error_codes[] = {
    {NAMES_MANAGER_INTERFACE ".InvalidKey", EXIT_INVALID},
    {NAMES_MANAGER_INTERFACE ".NoHostNQN", EXIT_INVALID},
    {"org.varlink.service.InvalidParameter", EXIT_INVALID},
    {NAMES_MANAGER_INTERFACE ".NoSuchKey", EXIT_NO_KEY},
    {NAMES_MANAGER_INTERFACE ".KeyExists", EXIT_CONFLICT},
    {NAMES_MANAGER_INTERFACE ".KeyShadowed", EXIT_CONFLICT},
    {NAMES_MANAGER_INTERFACE ".WrongState", EXIT_CONFLICT},
    {NAMES_MANAGER_INTERFACE ".KeyNeeded", EXIT_CONFLICT},
    {"org.varlink.service.PermissionDenied", EXIT_PERMISSION},
    {NAMES_MANAGER_INTERFACE ".NoSuchSlot", EXIT_NO_KEY},
    {NAMES_MANAGER_INTERFACE ".LastSlot", EXIT_CONFLICT},
    {NAMES_MANAGER_INTERFACE ".InvalidSlot", EXIT_INVALID},
    {NAMES_MANAGER_INTERFACE ".SlotFailed", EXIT_STORE},
    {NAMES_MANAGER_INTERFACE ".WrongRecoveryKey", EXIT_INVALID},
    {NAMES_MANAGER_INTERFACE ".NoRecoveryKey", EXIT_CONFLICT},
    {NAMES_MANAGER_INTERFACE ".InvalidBackup", EXIT_INVALID},
    {NAMES_MANAGER_INTERFACE ".WouldLoseKeys", EXIT_CONFLICT},
    {NAMES_MANAGER_INTERFACE ".ExportDisabled", EXIT_PERMISSION},
    {NAMES_MANAGER_INTERFACE ".StoreOpen", EXIT_CONFLICT},
    {NAMES_MANAGER_INTERFACE ".StoreAbsent", EXIT_STORE},
    {NAMES_MANAGER_INTERFACE ".StoreUnavailable", EXIT_STORE},
    {NAMES_MANAGER_INTERFACE ".TooManyCalls", EXIT_STORE},
    {NAMES_MANAGER_INTERFACE ".NoTarget", EXIT_NOT_ACCEPTED},
    {NAMES_MANAGER_INTERFACE ".NotAccepted", EXIT_NOT_ACCEPTED},
    {NAMES_MANAGER_INTERFACE ".EnvelopeMalformed", EXIT_REFUSED},
    {NAMES_MANAGER_INTERFACE ".EnvelopeNotForUs", EXIT_REFUSED},
    {NAMES_MANAGER_INTERFACE ".EnvelopeUnknownIssuer", EXIT_REFUSED},
    {NAMES_MANAGER_INTERFACE ".EnvelopeBadSignature", EXIT_REFUSED},
    {NAMES_MANAGER_INTERFACE ".EnvelopeOtherPairs", EXIT_REFUSED},
    {NAMES_MANAGER_INTERFACE ".EnvelopeNotYet", EXIT_REFUSED},
    {NAMES_MANAGER_INTERFACE ".EnvelopeExpired", EXIT_REFUSED},
    {NAMES_MANAGER_INTERFACE ".EnvelopeReplayed", EXIT_REFUSED},
    {NAMES_MANAGER_INTERFACE ".InvalidIssuer", EXIT_INVALID},
    {NAMES_MANAGER_INTERFACE ".NoSuchIssuer", EXIT_NO_KEY},
    {NAMES_MANAGER_INTERFACE ".KeyringAbsent", EXIT_NO_KEYRING},
    {NAMES_MANAGER_INTERFACE ".KeyringFailed", EXIT_KEYRING},
};

int cli_fail(ExitCode code, const char *format, ...)
{
    va_list ap;

    (void)fputs("nvme-keyctl: ", stderr);
    va_start(ap, format);
    (void)vfprintf(stderr, format, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    return (int)code;
}

int cli_out_of_memory(void)
{
    return cli_fail(EXIT_OTHER, "out of memory");
}

/* A message about several slots has one line for each. */
static int fail_with_lines(ExitCode code, const char *where, const char *message)
{
    do {
        size_t n = strcspn(message, "\n");

        (void)cli_fail(code, "%s%.*s", where, (int)n, message);
        message += n + (message[n] == '\n');
    } while (*message);
    return (int)code;
}

int cli_fail_with_error(const char *where, const char *error, json_object *parameters)
{
    const char *message = NULL;
    ExitCode code = EXIT_OTHER;

    for (size_t i = 0; i < ARRAY_SIZE(error_codes); i++)
        if (strcmp(error, error_codes[i].error) == 0)
            code = error_codes[i].code;
    if (json_get_string(parameters, "message", &message) > 0)
        return fail_with_lines(code, where, message);
    if (code == EXIT_PERMISSION)
        return cli_fail(
            code,
            "permission denied: only root may change keys; members of the group nvme-keyd may "
            "read their state");
    if (json_get_string(parameters, "parameter", &message) > 0)
        return cli_fail(code, "nvme-keyd rejects the parameter \"%s\"", message);
    return cli_fail(code, "%snvme-keyd answered with the error %s", where, error);
}

int cli_fail_too_long(void)
{
    return cli_fail(EXIT_INVALID,
                    "nvme-keyd takes at most %zu MiB at once: nothing was sent; do it in parts",
                    VARLINK_MESSAGE_MAX / 1024 / 1024);
}

static int fail_with_errno(int error, uint64_t timeout_usec)
{
    if (error == -EMSGSIZE)
        return cli_fail_too_long();
    if (error == -ETIMEDOUT)
        return cli_fail(EXIT_UNREACHABLE,
                        "nvme-keyd has not answered within %llu s: see systemctl status "
                        "nvme-keyd.service",
                        (unsigned long long)((timeout_usec + USEC_PER_SEC - 1) / USEC_PER_SEC));
    return cli_fail(EXIT_UNREACHABLE,
                    "nvme-keyd did not answer (%s): see systemctl status nvme-keyd.service",
                    strerror(-error));
}

static uint64_t call_timeout(const Options *o)
{
    return o->timeout_usec > 0 ? o->timeout_usec : CALL_TIMEOUT_USEC;
}

static uint64_t connect_timeout(const Options *o)
{
    return o->timeout_usec > 0 ? o->timeout_usec : CONNECT_TIMEOUT_USEC;
}

static void say_slow(_unused_ void *userdata)
{
    (void)cli_fail(EXIT_OK, "waiting for nvme-keyd, see systemctl status nvme-keyd.service");
}

/* The socket unit fails at each boot if its group is missing. */
static int fail_without_socket(const Options *o, const char *path, int error)
{
    if (!o->socket && (error == -ENOENT || error == -ECONNREFUSED) && !getgrnam(NAMES_GROUP))
        return cli_fail(EXIT_UNREACHABLE,
                        "the group " NAMES_GROUP " is missing, so nvme-keyd has no socket: run "
                        "systemd-sysusers, then systemctl restart nvme-keyd.socket");
    return cli_fail(
        EXIT_UNREACHABLE,
        "cannot reach nvme-keyd at %s (%s): run systemctl start nvme-keyd.socket; if that "
        "fails, see systemctl status nvme-keyd.socket",
        path, strerror(-error));
}

int cli_connect(const Options *o, VarlinkClient **ret)
{
    const char *path = o->socket ? o->socket : NAMES_MANAGER_SOCKET;
    /* Quiet with --no-legend, which programs use, and with a short time limit, after which the
     * result follows soon. */
    bool reports = o->legend && (o->timeout_usec == 0 || o->timeout_usec > CLI_STATUS_TIMEOUT_USEC);
    VarlinkPatience patience = {reports ? SLOW_USEC : 0, say_slow, NULL};
    int r = varlink_client_connect(path, &patience, connect_timeout(o), ret);

    if (r == -EACCES)
        return cli_fail(
            EXIT_PERMISSION,
            "permission denied: become root, or join the group nvme-keyd and log in again");
    if (r == -ETIMEDOUT)
        return fail_with_errno(r, connect_timeout(o));
    return r < 0 ? fail_without_socket(o, path, r) : EXIT_OK;
}

static int call_within(uint64_t timeout_usec, VarlinkClient *client, const char *method,
                       json_object *parameters, json_object **ret, char **ret_error)
{
    _cleanup_(freep) char *name = NULL;

    if (asprintf(&name, NAMES_MANAGER_INTERFACE ".%s", method) < 0) {
        varlink_json_erase_put(parameters);
        return -ENOMEM;
    }
    return varlink_client_call(client, name, parameters, timeout_usec, ret, ret_error);
}

int cli_call_client(const Options *o, VarlinkClient *client, const char *method,
                    json_object *parameters, json_object **ret, char **ret_error)
{
    int r = call_within(call_timeout(o), client, method, parameters, ret, ret_error);

    return r < 0 ? fail_with_errno(r, call_timeout(o)) : EXIT_OK;
}

int cli_call(const Options *o, const char *method, json_object *parameters, json_object **ret)
{
    _cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
    _cleanup_(json_putp) json_object *reply = NULL;
    _cleanup_(freep) char *error = NULL;
    uint64_t end = now_monotonic() + call_timeout(o), now;
    int r;

    r = cli_connect(o, &client);
    if (r != EXIT_OK) {
        varlink_json_erase_put(parameters);
        return r;
    }
    now = now_monotonic();
    r = call_within(end > now ? end - now : 1, client, method, parameters, &reply, &error);
    if (r < 0)
        return fail_with_errno(r, call_timeout(o));
    if (error)
        return cli_fail_with_error("", error, reply);
    *ret = TAKE_PTR(reply);
    return EXIT_OK;
}

typedef struct Collect {
    const char *member;
    json_object *array;
} Collect;

/* Copied, because the client erases each reply afterwards. */
static int collect(json_object *parameters, void *userdata)
{
    const Collect *c = userdata;
    json_object *value, *copy = NULL;

    if (json_get_object(parameters, c->member, &value) <= 0)
        return 0;
    if (json_object_deep_copy(value, &copy, NULL) < 0)
        return -ENOMEM;
    return json_append_take(c->array, copy);
}

int cli_call_and_print(const Options *o, const char *method, json_object *parameters,
                       int (*print)(const Options *o, json_object *reply))
{
    json_object *reply = NULL;
    int r = cli_call(o, method, parameters, &reply);

    if (r == EXIT_OK)
        r = print(o, reply);
    varlink_json_erase_put(reply);
    return r;
}

/* timeout_usec: for each reply; 0 for none. */
static int call_more_within(uint64_t timeout_usec, const Options *o, const char *method,
                            json_object *parameters, VarlinkReplyFn on_reply, void *userdata)
{
    _cleanup_(varlink_json_erase_putp) json_object *p = parameters;
    _cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
    _cleanup_(json_putp) json_object *reply = NULL;
    _cleanup_(freep) char *error = NULL, *name = NULL;
    int r;

    r = cli_connect(o, &client);
    if (r != EXIT_OK)
        return r;
    if (asprintf(&name, NAMES_MANAGER_INTERFACE ".%s", method) < 0)
        return EXIT_OTHER;
    r = varlink_client_call_more(client, name, TAKE_PTR(p), timeout_usec, on_reply, userdata,
                                 &reply, &error);
    if (r < 0)
        return fail_with_errno(r, timeout_usec);
    return error ? cli_fail_with_error("", error, reply) : EXIT_OK;
}

int cli_call_more(const Options *o, const char *method, json_object *parameters,
                  VarlinkReplyFn on_reply, void *userdata)
{
    return call_more_within(call_timeout(o), o, method, parameters, on_reply, userdata);
}

int cli_monitor(const Options *o, const char *method, VarlinkReplyFn on_reply, void *userdata)
{
    /* A quiet hour is no reason to print that the service is slow. */
    Options quiet = *o;

    quiet.legend = false;
    return call_more_within(0, &quiet, method, NULL, on_reply, userdata);
}

int cli_call_list(const Options *o, const char *method, const char *member, json_object *ret)
{
    Collect c = {member, ret};

    return cli_call_more(o, method, NULL, collect, &c);
}

void cli_print_json(const Options *o, json_object *object)
{
    _cleanup_(varlink_buffer_done) VarlinkBuffer b = VARLINK_BUFFER(SIZE_MAX);
    int r = o->json == JSON_PRETTY ? varlink_json_append_pretty(&b, object)
                                   : varlink_json_append(&b, object);

    if (r == 0)
        r = varlink_buffer_append(&b, "\n", 1);
    if (r == 0)
        (void)fwrite(b.data + b.start, 1, varlink_buffer_size(&b), stdout);
    else
        (void)cli_fail(EXIT_OTHER, "cannot print the answer: %s", strerror(-r));
}

int cli_check_nqn(const Options *o, const char *name, const char *what)
{
    _cleanup_(freep) char *detail = NULL;

    if ((o->force && nqn_is_usable(name, strlen(name))) || nqn_check_text(name, what, &detail) == 0)
        return EXIT_OK;
    return detail ? cli_fail(EXIT_INVALID, "%s", detail) : cli_out_of_memory();
}

int cli_hostnqn(const Options *o, char ret[static NQN_LENGTH_MAX + 2])
{
    _cleanup_(freep) char *detail = NULL;
    int r;

    if (!o->hostnqn) {
        r = hostnqn_read(ret, &detail);
        return r < 0 ? cli_fail(EXIT_INVALID, "--hostnqn= is missing, and %s",
                                detail ? detail : "none")
                     : cli_check_nqn(o, ret, "host NQN of " NAMES_HOSTNQN_FILE);
    }
    r = cli_check_nqn(o, o->hostnqn, "host NQN");
    if (r == EXIT_OK)
        strcpy(ret, o->hostnqn);
    return r;
}

int cli_parse_versions(const char *versions, unsigned *ret)
{
    if (strcmp(versions, "0") == 0)
        *ret = 1;
    else if (strcmp(versions, "1") == 0)
        *ret = 2;
    else if (strcmp(versions, "0,1") == 0 || strcmp(versions, "1,0") == 0)
        *ret = 3;
    else
        return cli_fail(EXIT_USAGE, "--identity-version= must be 0, 1 or 0,1");
    return EXIT_OK;
}
