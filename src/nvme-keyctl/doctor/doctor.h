/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "basic/macro.h"
#include "nvme-keyctl/doctor/configured.h"

/*
 * Looks for what keeps hosts and targets from connecting, and changes nothing. A check is a row of
 * the table in doctor.c: a function that reads files below a root, and what has been asked of
 * nvme-keyd, the service manager and the journal before, and adds at least one line.
 */

typedef enum DoctorResult {
    DOCTOR_OK,
    DOCTOR_WARN, /* it may work, or only for now */
    DOCTOR_FAIL, /* connections fail, or will after the next boot */
} DoctorResult;

typedef struct DoctorLine {
    const char *check, *group; /* static */
    DoctorResult result;
    char *text;
    char *remedy; /* a command where there is one; NULL for ok */
} DoctorLine;

/* As systemd names them; empty strings for what is unknown. */
typedef struct DoctorUnit {
    const char *name; /* static */
    char load[32], active[32], file[32], result[32], keyring_mode[16];
} DoctorUnit;

/* An error in the journal. */
typedef struct DoctorMessage {
    uint64_t time_usec; /* CLOCK_REALTIME */
    char *text;
} DoctorMessage;

typedef struct Doctor {
    /* Input of the checks. The caller owns all of it but messages. */
    int root;                           /* descriptor of "/", or of a test's tree */
    bool privileged;                    /* runs as root */
    const char *subsysnqn;              /* check only the keys of this subsystem; or NULL */
    const char *unreachable;            /* why nvme-keyd does not answer, or NULL */
    json_object *status, *keys, *slots; /* its replies; keys is an array; NULL if it gave none */
    const char *no_keys;                /* why there is no list of keys */
    DoctorUnit *units;                  /* see doctor_units_new() */
    size_t n_units;
    int units_error;         /* why the states of units are unknown, or 0 */
    DoctorMessage *messages; /* newest first; freed by doctor_done() */
    size_t n_messages;
    int journal_error; /* why the journal cannot be read, or 0 */
    bool clock_synchronized;
    unsigned openssl_version; /* 0x30300 for 3.3.0 */

    /* Their results. */
    DoctorLine *lines;
    size_t n_lines;
    size_t counts[3]; /* by result */
    bool out_of_memory;

    /* The configuration of nvme-cli, and the present check. */
    ConfiguredList configured;
    const char *check, *group;
    size_t n_check_lines, n_left_out;
} Doctor;

/* Runs all checks. Returns -ENOMEM. */
int doctor_run(Doctor *d) _must_check_;
/* Frees lines and messages. */
void doctor_done(Doctor *d);

/* "ok", "warn" or "fail". */
const char *doctor_result_to_string(DoctorResult result);
/* The worst result. */
DoctorResult doctor_worst(const Doctor *d);
