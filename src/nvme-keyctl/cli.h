/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "basic/secret.h"
#include "psk/interchange.h"

/* Exit codes, documented in nvme-keyctl(1). Verbs return them. */
typedef enum ExitCode {
    EXIT_OK = 0,
    EXIT_OTHER = 1,
    EXIT_USAGE = 2,
    EXIT_INVALID = 3,     /* a PSK, an NQN or another input makes no sense */
    EXIT_NO_KEY = 4,      /* no key of that id */
    EXIT_CONFLICT = 5,    /* exists, shadowed, or in another state */
    EXIT_PERMISSION = 6,  /* not root */
    EXIT_UNREACHABLE = 7, /* no daemon answers */
    EXIT_STORE = 8,       /* the store cannot be read or written */
    EXIT_NO_KEYRING = 9,  /* the kernel has no `.nvme` now */
    EXIT_KEYRING = 10,    /* the kernel refused a key */
} ExitCode;

typedef enum JsonMode {
    JSON_OFF,
    JSON_SHORT,
    JSON_PRETTY,
} JsonMode;

/* The command line. Strings are borrowed from argv. */
typedef struct Options {
    const char *subsysnqn, *hostnqn, *role, *versions, *derivation, *hash, *comment;
    const char *key_file;
    const char *socket;
    bool generate, print_key, force;
    JsonMode json;
    bool legend;
    char **arguments; /* behind the verb */
} Options;

/* cli.c: what all verbs need. */

/* Says one line on standard error. Returns code. */
int cli_fail(ExitCode code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Calls a method of org.nvmekeyd.Manager and takes parameters. On failure it has said why, and the
 * result is the exit code. *ret is to be put with varlink_json_erase_put() or json_object_put(). */
int cli_call(const Options *o, const char *method, json_object *parameters, json_object **ret);
/* The same with more: appends a copy of each reply's member to the array *ret. */
int cli_call_list(const Options *o, const char *method, const char *member, json_object *ret);

/* Prints o as --json= says; not for JSON_OFF. */
void cli_print_json(const Options *o, json_object *object);

/* Prints rows of n_columns borrowed strings as a table, with the head in the first of them. */
void cli_print_table(const Options *o, const char *const *cells, size_t n_columns, size_t n_rows);

/* The host NQN of the options, or that of this machine; checked. Says why not. */
int cli_hostnqn(const Options *o, char ret[static NQN_LENGTH_MAX + 2]);

/* secret-input.c: reads a configured PSK from --key-file=, from a prompt when standard input is a
 * terminal, or else from standard input: one line. Says why not. */
int cli_read_psk(const Options *o, Secret **ret);

/* Verbs, one file for each group; usage and options are in main.c. */
int verb_add(const Options *o);
int verb_generate(const Options *o);
int verb_identity(const Options *o);
int verb_list(const Options *o);
int verb_remove(const Options *o);
int verb_rotate(const Options *o);
int verb_show(const Options *o);
int verb_status(const Options *o);
int verb_sync(const Options *o);
