/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fleet/fleet.h"
#include "nvme-keyctl/cli.h"

/* The command line of the commands of fleets. Begins with the options that all programs know, so
 * that the table of options can set both. */
typedef struct FleetOptions {
    Options base;
    const char *place, *host, *target, *fingerprint;
    size_t max_in_flight, max_failures;
    size_t percent;         /* 0: no limit */
    uint64_t patience_usec; /* for one pair */
    bool watch, all;
} FleetOptions;

static inline const FleetOptions *fleet_options(const Options *o)
{
    return (const FleetOptions *)o;
}

/* The fleet of a command, with its place and the keys of its issuer. */
typedef struct Session {
    Place *place;
    X509 *issuer;
    EVP_PKEY *key;
    Fleet fleet;
} Session;

void session_done(const Session *s);

/* Opens the place of --place=. Returns an exit code, after printing what is wrong, as all that
 * follow. */
int session_open_place(const Options *o, Session *s);

/* Opens the place and loads the fleet, by --issuer= and, if it is to be changed, --issuer-key=. */
int session_open(const Options *o, bool change, Session *s);

/* Loads the fleet once more, without the warnings of the first time. */
int session_reload(const Options *o, Session *s);

/* Prints an error of the place. what: what was tried, "read the fleet". */
int session_report_error(const Options *o, int error, const char *what);

/* The code of a command that has done its part, but has refused values of the place. */
int session_result(const Session *s, int code);

/* choose.c: the machine of a fingerprint, of its beginning, or of a name that only one has. */
int choose_machine(const Session *s, const char *word, size_t *ret);
/* Marks the pairs that a word names: the beginning of an ID, or the NQN of a subsystem. */
int choose_pairs(const Session *s, const char *word);
/* The name of a machine, or its fingerprint. */
const char *machine_label(const Fleet *f, size_t machine, const char *fingerprint);

/* progress.c: how many pairs are in each state. */
typedef struct Counts {
    size_t n[PLAN_STATES], total;
} Counts;

void counts_make(const Fleet *f, Counts *ret);
/* Adds "counts" to a reply. Returns -ENOMEM. */
int counts_add(json_object *reply, const Counts *c);
/* Prints "10 pairs: 9 done, 1 offline." */
void counts_print(const Counts *c);
/* Draws a bar of the pairs that are done over the last one, if standard output is a terminal. */
void progress_draw(const Options *o, const Counts *c);
void progress_end(const Options *o);

/* Prints "TEXT ID", or with --json= an object with that member. Returns an exit code. */
int session_print_id(const Options *o, const char *text, const char *member, const char *id);

int verb_fleet_approve(const Options *o);
int verb_fleet_end(const Options *o);
int verb_fleet_enrol(const Options *o);
int verb_fleet_issue(const Options *o);
int verb_fleet_revoke(const Options *o);
int verb_fleet_rotate(const Options *o);
int verb_fleet_status(const Options *o);
