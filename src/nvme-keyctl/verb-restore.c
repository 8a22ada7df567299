/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "basic/json.h"
#include "basic/text.h"
#include "nvme-keyctl/cli.h"
#include "varlink/json-wire.h"

/* restore: sends a backup in parts, has it opened by its recovery key, and seals its slots to this
 * machine, so that the next boot needs no person. */

/* With its escapes a part fits into a short message. */
#define PART_SIZE ((size_t)24 * 1024)
/* A character of UTF-8 that the end of a part has cut. */
#define CUT_MAX 3

typedef struct Restore {
    const Options *o;
    VarlinkClient *client;
    int fd;
    const char *from;
    uint64_t offset;
    char part[PART_SIZE];
    size_t n; /* bytes in part */
    Secret *key;
    bool counter; /* the next slot of the TPM gets a rollback counter */
    size_t n_sealed;
} Restore;

static void restore_done(Restore *x)
{
    varlink_client_free(x->client);
    secret_free(x->key);
    if (x->fd > STDERR_FILENO)
        close(x->fd);
}

static int open_backup(Restore *x)
{
    const Options *o = x->o;
    const char *path = o->arguments[0];

    x->from = path;
    if (strcmp(path, "-") == 0) {
        if (!o->key_file || strcmp(o->key_file, "-") == 0)
            return cli_fail(EXIT_USAGE, "standard input has the backup, so give the recovery key "
                                        "by --key-file=FILE");
        x->from = "standard input";
        x->fd = STDIN_FILENO;
        return EXIT_OK;
    }
    x->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return x->fd < 0 ? cli_fail(EXIT_INVALID, "cannot open %s: %s", path, strerror(errno))
                     : EXIT_OK;
}

/* Fills the part as far as there is input. */
static int fill(Restore *x)
{
    while (x->n < PART_SIZE) {
        ssize_t n = read(x->fd, x->part + x->n, PART_SIZE - x->n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cli_fail(EXIT_INVALID, "cannot read %s: %s", x->from, strerror(errno));
        if (n == 0)
            break;
        x->n += (size_t)n;
    }
    return EXIT_OK;
}

/* The length of the part without a character that its end has cut; 0 if it is no text. */
static size_t whole_length(const Restore *x)
{
    if (memchr(x->part, '\0', x->n))
        return 0;
    for (size_t cut = 0; cut <= CUT_MAX && cut < x->n; cut++)
        if (utf8_is_valid(x->part, x->n - cut))
            return x->n - cut;
    return 0;
}

/* Takes parameters. */
static int call(const Restore *x, const char *method, json_object *parameters, json_object **ret)
{
    _cleanup_(json_putp) json_object *reply = NULL;
    _cleanup_(freep) char *error = NULL;
    int r = cli_call_client(x->o, x->client, method, parameters, &reply, &error);

    if (r != EXIT_OK)
        return r;
    if (error)
        return cli_fail_with_error("", error, reply);
    if (ret)
        *ret = TAKE_PTR(reply);
    return EXIT_OK;
}

static int send_part(Restore *x)
{
    json_object *p = json_object_new_object();
    size_t size = whole_length(x);
    int r;

    if (size == 0) {
        json_object_put(p);
        return cli_fail(EXIT_INVALID, "%s is not a backup of a store", x->from);
    }
    if (json_add_uint(p, "offset", x->offset) < 0 ||
        json_add_take(p, "content", json_object_new_string_len(x->part, (int)size)) < 0) {
        json_object_put(p);
        return cli_out_of_memory();
    }
    r = call(x, "StageBackup", p, NULL);
    x->offset += size;
    x->n -= size;
    memmove(x->part, x->part + size, x->n);
    return r;
}

static int send_backup(Restore *x)
{
    for (;;) {
        int r = fill(x);

        if (r == EXIT_OK && x->n == 0 && x->offset > 0)
            return EXIT_OK;
        if (r == EXIT_OK)
            r = send_part(x);
        if (r != EXIT_OK)
            return r;
    }
}

static int put_in_place(const Restore *x, json_object **ret)
{
    json_object *p = json_object_new_object();

    if (!p ||
        json_add_take(p, "recoveryKey",
                      json_object_new_string_len((const char *)x->key->data, (int)x->key->size)) <
            0 ||
        (x->o->force && json_add_bool(p, "force", true) < 0)) {
        varlink_json_erase_put(p);
        return cli_out_of_memory();
    }
    return call(x, "Restore", p, ret);
}

static bool is_of_machine(json_object *slot)
{
    return strcmp(json_string_or(slot, "type", ""), "recovery") != 0;
}

/* Seals a slot of the backup again, or, without an ID, adds one. */
static int seal(Restore *x, const char *type, const char *id)
{
    _cleanup_(json_putp) json_object *reply = NULL;
    json_object *p = json_object_new_object();
    bool tpm2 = strcmp(type, "tpm2") == 0;
    int r;

    if (!p || json_add_string(p, id ? "id" : "type", id ? id : type) < 0 ||
        (tpm2 && json_add_bool(p, "newTPM", true) < 0) ||
        (tpm2 && x->counter && json_add_bool(p, "rollbackCounter", true) < 0)) {
        json_object_put(p);
        return cli_out_of_memory();
    }
    r = call(x, id ? "ResealSlot" : "AddSlot", p, &reply);
    if (r != EXIT_OK)
        return r;
    x->counter = x->counter && !tpm2;
    x->n_sealed++;
    cli_print_warnings(reply);
    return EXIT_OK;
}

static void remove_slot(const Restore *x, json_object *slot)
{
    const char *id = json_string_or(slot, "id", ""), *type = json_string_or(slot, "type", "");
    json_object *p = json_object_new_object();

    if (json_add_string(p, "id", id) < 0)
        json_object_put(p);
    else if (call(x, "RemoveSlot", p, NULL) == EXIT_OK)
        (void)cli_fail(EXIT_OK,
                       "warning: slot %s (%s) was removed, because this machine cannot seal it; "
                       "later: nvme-keyctl slot add %s",
                       id, type, type);
}

/* The slots of the machine that made the backup become those of this one. */
static int seal_to_machine(Restore *x)
{
    static const char *const types[] = {"tpm2", "systemd-creds"};
    _cleanup_(json_putp) json_object *reply = NULL, *failed = json_object_new_array();
    json_object *slots = NULL;
    int r = failed ? call(x, "ListSlots", NULL, &reply) : cli_out_of_memory();

    if (r != EXIT_OK || json_get_array(reply, "slots", &slots) <= 0)
        return r;
    for (size_t i = 0; i < json_object_array_length(slots); i++) {
        json_object *slot = json_object_array_get_idx(slots, i);

        if (is_of_machine(slot) &&
            seal(x, json_string_or(slot, "type", ""), json_string_or(slot, "id", "")) != EXIT_OK &&
            json_append_take(failed, json_object_get(slot)) < 0)
            return cli_out_of_memory();
    }
    for (size_t i = 0; i < ARRAY_SIZE(types) && x->n_sealed == 0; i++)
        (void)seal(x, types[i], NULL);
    if (x->n_sealed == 0)
        return cli_fail(EXIT_STORE,
                        "the store is restored and open, but nothing of this machine seals it: "
                        "until nvme-keyctl slot add does, each boot needs the recovery key "
                        "(nvme-keyctl slot unlock)");
    for (size_t i = 0; i < json_object_array_length(failed); i++)
        remove_slot(x, json_object_array_get_idx(failed, i));
    return EXIT_OK;
}

/* The restored store gets a counter in the TPM if the store here has one: the TPM would keep a
 * store without one from opening. */
static void look_for_counter(Restore *x)
{
    _cleanup_(json_putp) json_object *reply = NULL;
    _cleanup_(freep) char *error = NULL;

    if (cli_call_client(x->o, x->client, "ListSlots", NULL, &reply, &error) == EXIT_OK && !error)
        (void)json_get_bool(reply, "rollbackCounter", &x->counter);
}

static void print_restored(const Options *o, json_object *reply)
{
    const char *kept = json_string_or(reply, "kept", NULL);
    uint64_t keys = 0;

    (void)json_get_uint(reply, "keys", INT64_MAX, &keys);
    if (o->json != JSON_OFF)
        cli_print_json(o, reply);
    else if (o->legend)
        printf("%llu keys restored%s%s\n", (unsigned long long)keys,
               kept ? ", the store before is " : "", kept ? kept : "");
}

int verb_restore(const Options *o)
{
    _cleanup_(restore_done) Restore x = {.o = o, .fd = -EBADF};
    _cleanup_(json_putp) json_object *reply = NULL;
    int r;

    if ((r = open_backup(&x)) != EXIT_OK || (r = cli_read_recovery_key(o, &x.key)) != EXIT_OK ||
        (r = cli_connect(o, &x.client)) != EXIT_OK || (r = send_backup(&x)) != EXIT_OK)
        return r;
    look_for_counter(&x);
    r = put_in_place(&x, &reply);
    if (r != EXIT_OK)
        return r;
    print_restored(o, reply);
    return seal_to_machine(&x);
}
