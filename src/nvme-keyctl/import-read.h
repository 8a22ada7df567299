/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>

#include "formats/format.h"
#include "nvme-keyctl/cli.h"

/* Reads the files of an import. */

typedef struct ImportFile {
    char *name; /* a path, or "standard input" */
    bool is_path;
    Format format;
} ImportFile;

/* Where a key was found. */
typedef struct ImportPlace {
    size_t file;
    size_t line, source_line; /* 0 if they are not known */
} ImportPlace;

typedef struct ImportRead {
    const Options *o;
    ImportFile *files;
    size_t n_files;
    json_object *keys;    /* the member of the call, with the PSKs; NULL if there are none */
    json_object *listing; /* an object for each, without them: what people see */
    ImportPlace *places;
    size_t n, room;
    size_t size; /* of all keys, roughly */
    size_t skipped, errors;
    char hostnqn[NQN_LENGTH_MAX + 2]; /* for files that have none; empty until it is needed */
} ImportRead;

void import_read_done(const ImportRead *r);

/* Reads the file that the command line names, with its drop-ins, or standard input. Each fault is
 * printed with its place. Returns an exit code. */
int import_read(const Options *o, ImportRead *r);

/* "FILE:LINE: " of a key, to be freed; NULL without memory. */
char *import_format_place(const ImportRead *r, size_t index);

/* import-conflicts.c: prints all conflicts of an import that was refused, with their places, or as
 * JSON, and what could be done. parameters: of the error. Returns EXIT_CONFLICT, or EXIT_OTHER for
 * parameters that make no sense. */
int import_fail_conflicts(const ImportRead *r, json_object *parameters);

/* import-creds.c: opens a credential in /etc/nvme/creds, by systemd. Returns -ENOMEM, or another
 * error with a line for people. */
int import_open_credential(const char *name, Secret **ret, char **reterr_detail);

/* import-left.c: prints how to take the secrets out of the files, which import never does by
 * itself, or adds the member "left" to a reply. */
void import_print_left(const ImportRead *r);
int import_add_left(const ImportRead *r, json_object *reply);
