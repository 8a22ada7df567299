/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "basic/exit-code.h"
#include "basic/limits.h"
#include "basic/secret.h"
#include "psk/interchange.h"
#include "psk/limits.h"
#include "varlink/client.h"

/* nvme-keyd answers Status at once, or after a second while the store is slow to open. */
#define CLI_STATUS_TIMEOUT_USEC (5 * USEC_PER_SEC)
/* The longest ID of a key or slot, with its NUL. */
#define CLI_ID_SIZE 17
#define CLI_TIMEOUT_MAX_USEC (24 * 60 * 60 * USEC_PER_SEC)

typedef enum JsonMode {
    JSON_OFF,
    JSON_SHORT,
    JSON_PRETTY,
} JsonMode;

/* The command line. Strings are borrowed from argv. */
typedef struct Options {
    const char **subsysnqns; /* each --subsysnqn=; subsysnqn is the last */
    size_t n_subsysnqns;
    const char **force_for; /* each --force-for=, checked */
    size_t n_force_for;
    const char **to; /* each --to= */
    size_t n_to;
    const char *subsysnqn, *hostnqn, *role, *versions, *derivation, *hash, *comment;
    const char *key_file;
    const char *tpm2_pcrs, *with_key;
    const char *address;
    const char *at, *in;
    const char *match;
    const char *issuer, *issuer_key, *machine_key;
    uint64_t generation; /* 0: the default */
    const char *format, *output;
    const char *state;
    const char *socket;
    const char *rotate_after;
    uint64_t rotate_after_usec;              /* 0 for never */
    uint64_t lifetime_usec, older_than_usec; /* 0 if not given */
    uint64_t timeout_usec; /* for a call, including the connection; 0: the default of the verb */
    bool generate, print_key, force, dry_run, check, rollback_counter, new_tpm, help, version;
    bool stalled, target, when_unused, same_psk, revert, wait, no_block, for_peer;
    bool no_pager, tombstone, all, from_keyring, list, request;
    JsonMode json;
    bool legend;
    unsigned columns;     /* of the terminal; 0 if standard output is none */
    char **arguments;     /* after the verb, ends with NULL */
    char id[CLI_ID_SIZE]; /* of cli_resolve_key() */
} Options;

/* cli.c: shared by all verbs. */

/* Prints one line on standard error. Returns code. */
int cli_fail(ExitCode code, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cli_out_of_memory(void);
/* For a call that would be longer than a message may be. */
int cli_fail_too_long(void);

/* Calls a method of org.nvmekeyd.Manager and takes parameters. Returns an exit code, after printing
 * the cause of a failure. The caller puts *ret, with varlink_json_erase_put() if it may hold a
 * secret. */
int cli_call(const Options *o, const char *method, json_object *parameters, json_object **ret);
/* Calls and prints the reply, which is erased because it may hold a secret. */
int cli_call_and_print(const Options *o, const char *method, json_object *parameters,
                       int (*print)(const Options *o, json_object *reply));
/* Calls with "more": on_reply gets each reply, and its error is reported as a malformed reply. */
int cli_call_more(const Options *o, const char *method, json_object *parameters,
                  VarlinkReplyFn on_reply, void *userdata);
/* Same, without a limit on the time between two replies; for calls that end when we do. */
int cli_monitor(const Options *o, const char *method, VarlinkReplyFn on_reply, void *userdata);
/* Calls with "more" and appends a copy of the member of each reply to the array *ret. */
int cli_call_list(const Options *o, const char *method, const char *member, json_object *ret);

/* Connects for several calls on one connection. Returns an exit code as cli_call() does. */
int cli_connect(const Options *o, VarlinkClient **ret);
/* Like cli_call(), but leaves an error of the service to the caller: *ret_error is its name, to be
 * freed, or NULL. */
int cli_call_client(const Options *o, VarlinkClient *client, const char *method,
                    json_object *parameters, json_object **ret, char **ret_error);
/* Explains an error of the service, after the prefix where. Returns its exit code. */
int cli_fail_with_error(const char *where, const char *error, json_object *parameters);

/* resolve.c: replaces the first argument by the ID that it means: that begins with it, in any case,
 * or, for the NQN of a subsystem, that of its only key in this state. Leaves a whole ID, and what
 * can be neither, to the service. Returns an exit code. */
int cli_resolve_key(Options *o, const char *state);
int cli_resolve_slot(Options *o);

/* store-notes.c: prints the warnings of a reply on standard error. */
void cli_print_warnings(json_object *reply);
/* Prints that a call has made the store, and how to add a recovery key. */
void cli_print_new_store(json_object *reply);
/* Warns of n keys that a call has stored, but could not publish; nothing for 0. */
void cli_print_unpublished(uint64_t n);

/* verb-life.c: adds --at= or --in= to the parameters of a call, except for now. Returns an exit
 * code.
 */
int cli_add_time(const Options *o, json_object *p);

/* Adds --identity-version=, "0", "1" or "0,1", to the parameters of a call. NULL adds nothing.
 * Returns an exit code as cli_call() does, like all that follow. */
int cli_add_versions(json_object *p, const char *versions);
/* Reads such a list: bit 0 and bit 1. */
int cli_parse_versions(const char *versions, unsigned *ret);

/* Prints o as --json= says; not for JSON_OFF. */
void cli_print_json(const Options *o, json_object *object);

/* table.c: prints rows of n_columns borrowed strings as a table, with the head in the first of
 * them. On a terminal it is fitted to the width. Returns an exit code. */
int cli_print_table(const Options *o, const char *const *cells, size_t n_columns, size_t n_rows);

/* table.c: whether standard output is to have colours, by the terminal and the environment. */
bool cli_use_colours(const Options *o);

/* Checks an NQN that a person has chosen; what: "host NQN". --force: any that the kernel takes. */
int cli_check_nqn(const Options *o, const char *name, const char *what);
/* The host NQN of the options or, by default, of this machine, checked. */
int cli_hostnqn(const Options *o, char ret[static NQN_LENGTH_MAX + 2]);

/* verb-probe.c: adds --address= to the parameters of a call: ADDRESS, ADDRESS:PORT, or, for IPv6,
 * [ADDRESS]:PORT. The service checks the address itself. */
int cli_add_address(json_object *p, const char *address);

/* switch.c: has a host switch to a key, by Activate or Revert, once its targets accept it; with
 * --wait, waits for that. A target switches at once. *ret is the reply, unless ret is NULL. */
int cli_switch(const Options *o, const char *method, const char *id, json_object **ret);

/* secret-input.c: reads a configured PSK for a pair from --key-file=, from a prompt when standard
 * input is a terminal, or else from standard input: one line. */
int cli_read_psk(const Options *o, const char *hostnqn, const char *subsysnqn, Secret **ret);
/* True for an argument that is a PSK, another NVMe secret, or a recovery key. */
bool cli_is_secret(const char *word);
/* Reads a recovery key in the same way and checks it. *ret is text, not terminated. */
int cli_read_recovery_key(const Options *o, Secret **ret);
/* Warns when others may read a file with secrets. */
void cli_warn_of_mode(int fd, const char *path);

/* Judges a reply of Status: prints one line, but not with --json=, and returns the exit code. */
int cli_check_status(const Options *o, json_object *status);

/* Checks that the kernel shows the hosts of this machine's target. Returns an exit code as
 * cli_call() does; EXIT_OTHER if it does not. */
int cli_check_hosts(const Options *o);

/* Waits until no host of this machine's target uses the key of this id, and prints which ones do.
 * Returns an exit code as cli_call() does; EXIT_OTHER if the kernel does not show it. */
int cli_wait_unused(const Options *o, const char *id);
/* Prints which hosts use the key, nothing if there is none or the kernel does not show it. */
void cli_report_users(const Options *o, const char *id);

/* verb-adopt.c: has the service adopt all keys of the keyring, or those of the options. */
int cli_adopt(const Options *o, bool all);

/* Verbs, one file for each group; usage and options are in main.c. */
int verb_add(const Options *o);
int verb_adopt(const Options *o);
int verb_backup(const Options *o);
int verb_controllers(const Options *o);
int verb_envelope_issuer(const Options *o);
int verb_envelope_seal(const Options *o);
int verb_envelope_show(const Options *o);
int verb_envelope_take(const Options *o);
int verb_machine_show(const Options *o);
int verb_machine_trust(const Options *o);
int verb_machine_distrust(const Options *o);
int verb_doctor(const Options *o);
int verb_export(const Options *o);
int verb_fleet(const Options *o);
int verb_generate(const Options *o);
int verb_identity(const Options *o);
int verb_import(const Options *o);
int verb_inbox(const Options *o);
int verb_list(const Options *o);
int verb_metrics(const Options *o);
int verb_monitor(const Options *o);
int verb_move(const Options *o);
int verb_activate(const Options *o);
int verb_retire(const Options *o);
int verb_revoke(const Options *o);
int verb_remove(const Options *o);
int verb_restore(const Options *o);
int verb_rotate(const Options *o);
int verb_schedule_run(const Options *o);
int verb_schedule_set(const Options *o);
int verb_show(const Options *o);
int verb_slot_add(const Options *o);
int verb_slot_list(const Options *o);
int verb_slot_remove(const Options *o);
int verb_slot_reseal(const Options *o);
int verb_slot_unlock(const Options *o);
int verb_status(const Options *o);
int verb_store_image(const Options *o);
int verb_store_forget(const Options *o);
int verb_probe(const Options *o);
int verb_sync(const Options *o);
