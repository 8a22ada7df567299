/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "basic/json.h"
#include "basic/text.h"
#include "nvme-keyctl/cli.h"
#include "nvme-keyctl/field.h"
#include "nvme-keyctl/output.h"
#include "nvme-keyctl/pcrs.h"
#include "nvme-keyctl/qr.h"
#include "varlink/json-wire.h"

/* slot list, add, remove, reseal and unlock: slots open the store. */

#define N_COLUMNS 6
/* 24 numbers with separators, and a bank. */
#define SEALED_BY_SIZE 80
#define DATE_SIZE 16

#define TYPE_TPM2 "tpm2"
#define TYPE_CREDS "systemd-creds"

/* While the store is locked this text comes from a file that is not authenticated, so it may hold
 * terminal sequences. */
static const char *slot_text(json_object *slot, const char *member)
{
    const char *s;

    if (json_get_string(slot, member, &s) <= 0 || s[0] == '\0')
        return "-";
    return text_is_printable(s) ? s : "?";
}

static bool is_type(json_object *slot, const char *type)
{
    return strcmp(slot_text(slot, "type"), type) == 0;
}

/* "7+14:sha256", the format of systemd-cryptenroll --tpm2-pcrs=. */
static void describe_pcrs(json_object *pcrs, const char *bank, char ret[static SEALED_BY_SIZE])
{
    size_t n = 0;

    for (size_t i = 0; i < json_object_array_length(pcrs) && n < SEALED_BY_SIZE; i++)
        n += (size_t)snprintf(ret + n, SEALED_BY_SIZE - n, "%s%d", i > 0 ? "+" : "",
                              json_object_get_int(json_object_array_get_idx(pcrs, i)));
    if (n < SEALED_BY_SIZE)
        (void)snprintf(ret + n, SEALED_BY_SIZE - n, "%s%s", n > 0 ? ":" : "",
                       n > 0 ? bank : "none");
}

static const char *format_date(json_object *slot, char ret[static DATE_SIZE])
{
    struct tm tm;

    return field_time(slot, "created", &tm) && strftime(ret, DATE_SIZE, "%F", &tm) > 0 ? ret : "-";
}

static void print_totals(size_t n, json_object *reply)
{
    bool counter = false;

    (void)json_get_bool(reply, "rollbackCounter", &counter);
    printf("\n%zu slot%s listed.%s\n", n, n == 1 ? "" : "s",
           counter ? " A counter of the TPM detects old copies of the store." : "");
}

static int print_slots(const Options *o, json_object *slots, json_object *reply)
{
    static const char *const head[N_COLUMNS] = {"ID",     "TYPE",    "SEALED BY/PCRS",
                                                "OPENED", "CREATED", "COMMENT"};
    size_t n = json_object_array_length(slots);
    _cleanup_(freep) const char **cells = calloc((n + 1) * N_COLUMNS, sizeof(*cells));
    _cleanup_(freep) char(*sealed_by)[SEALED_BY_SIZE] = calloc(n + 1, sizeof(*sealed_by));
    _cleanup_(freep) char(*created)[DATE_SIZE] = calloc(n + 1, sizeof(*created));

    if (!cells || !sealed_by || !created)
        return cli_out_of_memory();
    memcpy(cells, head, sizeof(head));
    for (size_t i = 0; i < n; i++) {
        json_object *slot = json_object_array_get_idx(slots, i), *pcrs;
        const char **c = cells + (i + 1) * N_COLUMNS;
        bool opened = false;

        *c++ = slot_text(slot, "id");
        *c++ = slot_text(slot, "type");
        *c = slot_text(slot, "withKey");
        if (json_get_array(slot, "pcrs", &pcrs) > 0) {
            describe_pcrs(pcrs, slot_text(slot, "bank"), sealed_by[i]);
            *c = sealed_by[i];
        }
        (void)json_get_bool(slot, "opened", &opened);
        *++c = opened ? "yes" : "-";
        *++c = format_date(slot, created[i]);
        *++c = slot_text(slot, "comment");
    }
    if (cli_print_table(o, cells, N_COLUMNS, n + 1) != EXIT_OK)
        return EXIT_OTHER;
    if (o->legend)
        print_totals(n, reply);
    return EXIT_OK;
}

static int no_slots(void)
{
    return cli_fail(EXIT_OTHER, "the answer of nvme-keyd holds no slots");
}

int verb_slot_list(const Options *o)
{
    _cleanup_(json_putp) json_object *reply = NULL;
    json_object *slots;
    bool authentic;
    int r = cli_call(o, "ListSlots", NULL, &reply);

    if (r != EXIT_OK)
        return r;
    if (json_get_array(reply, "slots", &slots) <= 0 ||
        json_get_bool(reply, "authentic", &authentic) <= 0)
        return no_slots();
    if (!authentic)
        (void)cli_fail(EXIT_OK, "warning: the store is locked, so its slots are not verified");
    if (o->json == JSON_OFF && o->legend)
        cli_print_warnings(reply);
    if (o->json == JSON_OFF)
        return print_slots(o, slots, reply);
    cli_print_json(o, reply);
    return EXIT_OK;
}

/* Adds the options for one type of slot, or all if type is NULL. */
static int add_options(const Options *o, const char *type, json_object *p)
{
    bool tpm2 = !type || strcmp(type, TYPE_TPM2) == 0,
         creds = !type || strcmp(type, TYPE_CREDS) == 0;

    if (o->comment && json_add_string(p, "comment", o->comment) < 0)
        return cli_out_of_memory();
    if (o->tpm2_pcrs && tpm2) {
        const char *bank = NULL;
        json_object *pcrs;
        int r = pcrs_parse(o->tpm2_pcrs, &pcrs, &bank);

        if (r == -EINVAL)
            return cli_fail(
                EXIT_USAGE,
                "--tpm2-pcrs= needs numbers from 0 to 23, or names, joined by +, and optionally "
                "a bank, such as 7+14:sha384");
        if (r < 0 || json_add_take(p, "tpm2PCRs", pcrs) < 0 ||
            (bank && json_add_string(p, "tpm2Bank", bank) < 0))
            return cli_out_of_memory();
    }
    if ((o->with_key && creds && json_add_string(p, "withKey", o->with_key) < 0) ||
        (o->rollback_counter && tpm2 && json_add_bool(p, "rollbackCounter", true) < 0) ||
        (o->new_tpm && tpm2 && json_add_bool(p, "newTPM", true) < 0))
        return cli_out_of_memory();
    return EXIT_OK;
}

#define TYPE_RECOVERY "recovery"

/* The key was not shown, so a new slot is removed again. */
static int lose_recovery_key(const Options *o, const char *id, bool is_new, int error)
{
    _cleanup_(json_putp) json_object *p = json_object_new_object(), *reply = NULL;

    if (!is_new)
        return cli_fail(
            EXIT_OTHER,
            "slot %s has a new recovery key, which is lost, because standard output %s: "
            "run nvme-keyctl slot reseal %s",
            id, output_error_text(error), id);
    if (!p || json_add_string(p, "id", id) < 0 ||
        cli_call(o, "RemoveSlot", TAKE_PTR(p), &reply) != EXIT_OK)
        return cli_fail(EXIT_OTHER,
                        "slot %s was added, but its recovery key is lost, because standard output "
                        "%s: run nvme-keyctl slot remove %s",
                        id, output_error_text(error), id);
    return cli_fail(
        EXIT_OTHER,
        "cannot show the recovery key, so slot %s was removed again: standard output %s", id,
        output_error_text(error));
}

static int print_slot(const Options *o, json_object *reply, bool is_new)
{
    const char *id, *key = NULL;
    json_object *slot;
    int r;

    if (json_get_object(reply, "slot", &slot) <= 0 || json_get_string(slot, "id", &id) <= 0)
        return cli_fail(EXIT_OTHER, "the answer of nvme-keyd holds no slot");
    (void)json_get_string(reply, "recoveryKey", &key);
    if (o->json != JSON_OFF)
        cli_print_json(o, reply);
    else
        printf("%s\n", id);
    /* Not by printf(), which has a buffer of its own. */
    if (key && o->json == JSON_OFF)
        (void)puts(key);
    if (key && o->json == JSON_OFF && o->columns > 0)
        qr_print(key);
    cli_print_new_store(reply);
    cli_print_warnings(reply);
    r = key ? output_flush() : 0;
    if (r < 0)
        return lose_recovery_key(o, id, is_new, r);
    if (key && o->columns > 0)
        (void)cli_fail(EXIT_OK, "keep this recovery key in a safe place: it is not shown again");
    return EXIT_OK;
}

static int print_new_slot(const Options *o, json_object *reply)
{
    return print_slot(o, reply, true);
}

static int print_resealed_slot(const Options *o, json_object *reply)
{
    return print_slot(o, reply, false);
}

int verb_slot_add(const Options *o)
{
    _cleanup_(json_putp) json_object *p = json_object_new_object();
    const char *type = o->arguments[0];
    int r;

    if ((o->tpm2_pcrs || o->rollback_counter || o->new_tpm) && strcmp(type, TYPE_TPM2) != 0)
        return cli_fail(EXIT_USAGE,
                        "--tpm2-pcrs=, --rollback-counter and --new-tpm need type " TYPE_TPM2);
    if (o->with_key && strcmp(type, TYPE_CREDS) != 0)
        return cli_fail(EXIT_USAGE, "--with-key= needs type " TYPE_CREDS);
    if (!p || json_add_string(p, "type", type) < 0)
        return cli_out_of_memory();
    if (strcmp(type, TYPE_RECOVERY) == 0 && (r = output_check_secret("recovery key")) != EXIT_OK)
        return r;
    r = add_options(o, type, p);
    return r != EXIT_OK ? r : cli_call_and_print(o, "AddSlot", TAKE_PTR(p), print_new_slot);
}

int verb_slot_remove(const Options *o)
{
    _cleanup_(json_putp) json_object *p = json_object_new_object(), *reply = NULL;
    int r;

    if (!p || json_add_string(p, "id", o->arguments[0]) < 0 ||
        (o->force && json_add_bool(p, "force", true) < 0))
        return cli_out_of_memory();
    r = cli_call(o, "RemoveSlot", TAKE_PTR(p), &reply);
    if (r == EXIT_OK && o->json != JSON_OFF)
        cli_print_json(o, reply);
    return r;
}

static int reseal_named(const Options *o)
{
    _cleanup_(json_putp) json_object *p = json_object_new_object();
    int r;

    if (!p || json_add_string(p, "id", o->arguments[0]) < 0)
        return cli_out_of_memory();
    /* Only the service knows whether the slot has a recovery key. */
    if ((r = output_check_secret("recovery key")) != EXIT_OK ||
        (r = add_options(o, NULL, p)) != EXIT_OK)
        return r;
    return cli_call_and_print(o, "ResealSlot", TAKE_PTR(p), print_resealed_slot);
}

/* Appends the new state of the slot to done. */
static int reseal_one(const Options *o, VarlinkClient *client, json_object *slot, json_object *done)
{
    _cleanup_(json_putp) json_object *p = json_object_new_object(), *reply = NULL;
    _cleanup_(freep) char *error = NULL, *where = NULL;
    const char *id = slot_text(slot, "id");
    json_object *sealed;
    int r;

    if (!p || json_add_string(p, "id", id) < 0 ||
        asprintf(&where, "slot %s (%s): ", id, slot_text(slot, "type")) < 0)
        return cli_out_of_memory();
    r = add_options(o, slot_text(slot, "type"), p);
    if (r == EXIT_OK)
        r = cli_call_client(o, client, "ResealSlot", TAKE_PTR(p), &reply, &error);
    if (r != EXIT_OK)
        return r;
    if (error)
        return cli_fail_with_error(where, error, reply);
    if (json_get_object(reply, "slot", &sealed) <= 0)
        return cli_fail(EXIT_OTHER, "the answer of nvme-keyd holds no slot");
    if (json_append_take(done, json_object_get(sealed)) < 0)
        return cli_out_of_memory();
    if (o->json == JSON_OFF)
        printf("%s\n", id);
    cli_print_warnings(reply);
    return EXIT_OK;
}

/* An error that the next slot need not have. */
static bool is_of_one_slot(int code)
{
    return code == EXIT_STORE || code == EXIT_INVALID || code == EXIT_NO_KEY;
}

static int reseal_slots(const Options *o, VarlinkClient *client, json_object *reply,
                        json_object *done)
{
    bool authentic = false, any = false;
    Options options = *o;
    json_object *slots;
    int result = EXIT_OK;

    if (json_get_array(reply, "slots", &slots) <= 0 ||
        json_get_bool(reply, "authentic", &authentic) <= 0)
        return no_slots();
    for (size_t i = 0; i < json_object_array_length(slots); i++) {
        json_object *slot = json_object_array_get_idx(slots, i);
        int r;

        if (!is_type(slot, TYPE_TPM2) && !is_type(slot, TYPE_CREDS))
            continue;
        any = true;
        r = reseal_one(&options, client, slot, done);
        if (result == EXIT_OK)
            result = r;
        /* A store has one counter, so make it once. */
        if (r == EXIT_OK && is_type(slot, TYPE_TPM2))
            options.rollback_counter = false;
        /* All slots of a locked store fail in the same way. */
        if (r != EXIT_OK && (!authentic || !is_of_one_slot(r)))
            break;
    }
    return any ? result
               : cli_fail(EXIT_NO_KEY, "the store has no slot of type " TYPE_TPM2 " or " TYPE_CREDS
                                       ": add one with nvme-keyctl slot add");
}

static int reseal_all(const Options *o)
{
    _cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
    _cleanup_(json_putp) json_object *reply = NULL, *result = json_object_new_object();
    json_object *done = json_object_new_array();
    _cleanup_(freep) char *error = NULL;
    int r;

    if (json_add_take(result, "slots", done) < 0)
        return cli_out_of_memory();
    r = cli_connect(o, &client);
    if (r == EXIT_OK)
        r = cli_call_client(o, client, "ListSlots", NULL, &reply, &error);
    if (r != EXIT_OK)
        return r;
    if (error)
        return cli_fail_with_error("", error, reply);
    r = reseal_slots(o, client, reply, done);
    if (o->json != JSON_OFF && (r == EXIT_OK || json_object_array_length(done) > 0))
        cli_print_json(o, result);
    return r;
}

int verb_slot_reseal(const Options *o)
{
    return o->arguments[0] ? reseal_named(o) : reseal_all(o);
}

int verb_slot_unlock(const Options *o)
{
    _cleanup_(varlink_json_erase_putp) json_object *p = json_object_new_object();
    _cleanup_(secret_freep) Secret *key = NULL;
    _cleanup_(json_putp) json_object *reply = NULL;
    json_object *slot;
    int r = cli_read_recovery_key(o, &key);

    if (r != EXIT_OK)
        return r;
    if (!p ||
        json_add_take(p, "recoveryKey",
                      json_object_new_string_len((const char *)key->data, (int)key->size)) < 0)
        return cli_out_of_memory();
    r = cli_call(o, "Unlock", TAKE_PTR(p), &reply);
    if (r != EXIT_OK)
        return r;
    if (o->json != JSON_OFF)
        cli_print_json(o, reply);
    else if (o->legend && json_get_object(reply, "slot", &slot) > 0)
        printf(
            "Slot %s opened the store until nvme-keyd stops. Run nvme-keyctl slot reseal, so that\n"
            "the store opens by itself again.\n",
            slot_text(slot, "id"));
    return EXIT_OK;
}
