/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "basic/io.h"
#include "basic/json.h"
#include "nvme-keyctl-fleet/session.h"

/* fleet status: where pairs and machines are. */

#define WATCH_USEC USEC_PER_SEC
/* More of an ID than two pairs ever share. */
#define ID_SHOWN 12

enum {
    COLUMN_PAIR,
    COLUMN_STATE,
    COLUMN_HOST,
    COLUMN_TARGET,
    COLUMN_SUBSYSTEM,
    COLUMN_ISSUED,
    COLUMN_REASON,
    N_COLUMNS
};

typedef struct Row {
    char id[ID_SHOWN + 1], issued[24];
} Row;

static const char *reason_of(const Fleet *f, size_t i)
{
    const PlanPair *p = &f->plan[i];
    const PlanEnd *end = plan_failed_end(p);

    if (!end)
        return p->undelivered && plan_state(p) < PLAN_DONE
                   ? "its envelope is missing in the place: rotate the pair"
                   : "";
    if (!end->exists)
        return "a machine is revoked: revoke it once more";
    if (end->generation > p->generation)
        return "the machine has a newer generation: the place has been put back";
    return end == &p->target ? f->entries[i].target_reason : f->entries[i].host_reason;
}

static void format_time(uint64_t usec, char *ret, size_t size)
{
    time_t t = (time_t)(usec / USEC_PER_SEC);
    struct tm tm;

    if (!localtime_r(&t, &tm) || strftime(ret, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        strcpy(ret, "-");
}

static void fill_row(const Fleet *f, size_t i, Row *row, const char *cells[static N_COLUMNS])
{
    const FleetEntry *e = &f->entries[i];

    (void)snprintf(row->id, sizeof(row->id), "%.*s", ID_SHOWN, e->pair.id);
    format_time(e->pair.generation, row->issued, sizeof(row->issued));
    cells[COLUMN_PAIR] = row->id;
    cells[COLUMN_STATE] = plan_state_to_string(plan_state(&f->plan[i]));
    cells[COLUMN_HOST] = machine_label(f, e->host, e->pair.host);
    cells[COLUMN_TARGET] = machine_label(f, e->target, e->pair.target);
    cells[COLUMN_SUBSYSTEM] = e->pair.subsysnqn;
    cells[COLUMN_ISSUED] = row->issued;
    cells[COLUMN_REASON] = reason_of(f, i);
}

static int print_pairs(const Options *o, const Fleet *f)
{
    static const char *const head[N_COLUMNS] = {"PAIR",          "STATE",  "HOST",  "TARGET",
                                                "SUBSYSTEM NQN", "ISSUED", "REASON"};
    _cleanup_(freep) const char **cells = calloc((f->n + 1) * N_COLUMNS, sizeof(*cells));
    _cleanup_(freep) Row *rows = calloc(f->n + 1, sizeof(*rows));

    if (!cells || !rows)
        return cli_out_of_memory();
    memcpy(cells, head, sizeof(head));
    for (size_t i = 0; i < f->n; i++)
        fill_row(f, i, &rows[i], cells + (i + 1) * N_COLUMNS);
    return cli_print_table(o, cells, N_COLUMNS, f->n + 1);
}

static const char *machine_state(const FleetMachine *m)
{
    return m->revoked    ? "revoked"
           : m->approved ? (m->online ? "approved" : "offline")
                         : "waits for approval";
}

static int print_machines(const Options *o, const Fleet *f)
{
    _cleanup_(freep) const char **cells = calloc((f->n_machines + 1) * 3, sizeof(*cells));

    if (!cells)
        return cli_out_of_memory();
    cells[0] = "MACHINE";
    cells[1] = "STATE";
    cells[2] = "NAME";
    for (size_t i = 0; i < f->n_machines; i++) {
        const FleetMachine *m = &f->machines[i];

        cells[3 * (i + 1)] = m->fingerprint;
        cells[3 * (i + 1) + 1] = machine_state(m);
        cells[3 * (i + 1) + 2] = m->name[0] ? m->name : "-";
    }
    return cli_print_table(o, cells, 3, f->n_machines + 1);
}

static int add_pair(json_object *array, const Fleet *f, size_t i)
{
    const FleetPair *p = &f->entries[i].pair;
    json_object *o = json_object_new_object();

    return json_append_take(array, o) | json_add_string(o, "id", p->id) |
           json_add_string(o, "hostNQN", p->hostnqn) |
           json_add_string(o, "subsystemNQN", p->subsysnqn) | json_add_string(o, "host", p->host) |
           json_add_string(o, "target", p->target) | json_add_uint(o, "generation", p->generation) |
           json_add_string(o, "state", plan_state_to_string(plan_state(&f->plan[i]))) |
           json_add_string(o, "reason", reason_of(f, i));
}

static int add_machine(json_object *array, const FleetMachine *m)
{
    json_object *o = json_object_new_object();

    return json_append_take(array, o) | json_add_string(o, "fingerprint", m->fingerprint) |
           json_add_string(o, "name", m->name) | json_add_string(o, "state", machine_state(m));
}

static int print_json(const Options *o, const Fleet *f)
{
    _cleanup_(json_putp) json_object *reply = json_object_new_object();
    json_object *pairs = json_object_new_array(), *machines = json_object_new_array();
    Counts c;
    int r = json_add_take(reply, "pairs", pairs) | json_add_take(reply, "machines", machines);

    for (size_t i = 0; i < f->n && r == 0; i++)
        r = add_pair(pairs, f, i);
    for (size_t i = 0; i < f->n_machines && r == 0; i++)
        r = add_machine(machines, &f->machines[i]);
    counts_make(f, &c);
    if (r < 0 || counts_add(reply, &c) < 0)
        return cli_out_of_memory();
    cli_print_json(o, reply);
    return EXIT_OK;
}

static int print(const Options *o, const Fleet *f)
{
    Counts c;
    int r;

    if (o->json != JSON_OFF)
        return print_json(o, f);
    r = f->n > 0 ? print_pairs(o, f) : EXIT_OK;
    if (r == EXIT_OK && f->n > 0 && f->n_machines > 0)
        printf("\n");
    if (r == EXIT_OK && f->n_machines > 0)
        r = print_machines(o, f);
    counts_make(f, &c);
    if (r == EXIT_OK && o->legend) {
        printf("\n");
        counts_print(&c);
    }
    return r;
}

static bool is_settled(const Counts *c)
{
    return c->n[PLAN_WAITING_TARGET] + c->n[PLAN_WAITING_HOST] + c->n[PLAN_OFFLINE] == 0;
}

/* Until no pair waits. A program gets a line for each change. */
static int watch(const Options *o, Session *s)
{
    Counts c = {.total = 0}, last = c;
    int r = EXIT_OK;

    for (;;) {
        counts_make(&s->fleet, &c);
        progress_draw(o, &c);
        if (o->columns == 0 && o->json == JSON_OFF && memcmp(&c, &last, sizeof(c)) != 0) {
            counts_print(&c);
            (void)fflush(stdout);
        }
        last = c;
        if (is_settled(&c))
            break;
        (void)usleep(WATCH_USEC);
        r = session_reload(o, s);
        if (r != EXIT_OK)
            break;
    }
    progress_end(o);
    return r;
}

int verb_fleet_status(const Options *o)
{
    _cleanup_(session_done) Session s = {.place = NULL};
    int r = session_open(o, false, &s);

    if (r == EXIT_OK && fleet_options(o)->watch)
        r = watch(o, &s);
    if (r == EXIT_OK)
        r = print(o, &s.fleet);
    return session_result(&s, r);
}
