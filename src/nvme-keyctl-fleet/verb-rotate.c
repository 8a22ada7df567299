/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/io.h"
#include "basic/json.h"
#include "fleet/issue.h"
#include "nvme-keyctl-fleet/session.h"

/* fleet rotate: new PSKs, in waves. */

#define ROTATION_KEY "rotation"
#define POLL_USEC (USEC_PER_SEC / 4)

/* One run of the command. */
typedef struct Run {
    const Options *o;
    Session session;
    Plan plan;
    size_t *asked; /* for each machine: the number of the round in which it was */
    size_t round;
    uint64_t version; /* of the value ROTATION_KEY; PLACE_ABSENT if only pairs were named */
} Run;

static void run_done(const Run *run)
{
    plan_done(&run->plan);
    free(run->asked);
    session_done(&run->session);
}

static int fail_begun(const FleetRotation *rotation)
{
    char text[32] = "";
    time_t started = (time_t)(rotation->started_usec / USEC_PER_SEC);
    struct tm tm;

    if (localtime_r(&started, &tm))
        (void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm);
    return cli_fail(EXIT_CONFLICT,
                    "a rotation of %s is under way: nvme-keyctl fleet rotate, without --all, goes "
                    "on with it",
                    text);
}

/* Returns an exit code. *ret_version is PLACE_ABSENT without one. */
static int read_rotation(Run *run, FleetRotation *ret, uint64_t *ret_version)
{
    _cleanup_(freep) char *text = NULL;
    size_t size;
    int r = fleet_get_signed(&run->session.fleet, ROTATION_KEY, &text, &size, ret_version);

    if (r == -ENOENT) {
        *ret_version = PLACE_ABSENT;
        return EXIT_OK;
    }
    if (r == 0)
        r = fleet_rotation_parse(text, size, ret);
    if (r == -EBADMSG)
        return cli_fail(EXIT_INVALID, "the rotation of the place cannot be trusted: remove its "
                                      "value \"" ROTATION_KEY "\", and begin one by --all");
    return r < 0 ? session_report_error(run->o, r, "read the rotation") : EXIT_OK;
}

/* Has other commands, also after the end of this one, go on where it was. */
static int put_rotation(Run *run, uint64_t now)
{
    const FleetRotation rotation = {.started_usec = now};
    const Fleet *f = &run->session.fleet;
    _cleanup_(freep) char *text = NULL, *statement = NULL;
    int r = fleet_rotation_format(&rotation, &text);

    if (r == 0)
        r = fleet_sign(f, text, &statement);
    if (r == 0)
        r = f->place->type->change(f->place,
                                   (PlaceChange[]){{ROTATION_KEY, statement, PLACE_ABSENT}}, 1);
    return r < 0 ? session_report_error(run->o, r, "begin the rotation") : EXIT_OK;
}

static void select_all(const Fleet *f)
{
    for (size_t i = 0; i < f->n; i++)
        f->plan[i].selected = true;
}

/* Selects the pairs of the command line, or all of a rotation. *ret_since: see plan_begin(). */
static int begin(Run *run, uint64_t now, uint64_t *ret_since)
{
    const Options *o = run->o;
    FleetRotation rotation = {0};
    int r = EXIT_OK;

    *ret_since = now;
    for (char **word = o->arguments; r == EXIT_OK && *word; word++)
        r = choose_pairs(&run->session, *word);
    if (r != EXIT_OK || o->arguments[0])
        return r;
    select_all(&run->session.fleet);
    r = read_rotation(run, &rotation, &run->version);
    if (r != EXIT_OK)
        return r;
    if (fleet_options(o)->all && run->version != PLACE_ABSENT)
        return fail_begun(&rotation);
    if (fleet_options(o)->all) {
        r = put_rotation(run, now);
        return r == EXIT_OK ? read_rotation(run, &rotation, &run->version) : r;
    }
    if (run->version == PLACE_ABSENT)
        return cli_fail(EXIT_USAGE, "no rotation is under way: name pairs, or --all");
    *ret_since = rotation.started_usec;
    return EXIT_OK;
}

static int make_plan(Run *run, uint64_t since, uint64_t now)
{
    const FleetOptions *o = fleet_options(run->o);
    Fleet *f = &run->session.fleet;
    PlanLimits limits = {o->max_in_flight, o->max_failures, o->patience_usec};

    run->asked = calloc(f->n_machines + 1, sizeof(*run->asked));
    if (!run->asked || plan_begin(f->plan, f->n, since, now, &limits, &run->plan) < 0)
        return cli_out_of_memory();
    if (run->plan.total == 0 && run->o->arguments[0])
        return cli_fail(EXIT_CONFLICT,
                        "the pair has ended: nvme-keyctl fleet issue makes it again");
    if (o->percent > 0)
        run->plan.limits.max_in_flight =
            CONST_MIN(limits.max_in_flight, (run->plan.total * o->percent + 99) / 100);
    return EXIT_OK;
}

static int fail_pair(const Run *run, int error, const char *id)
{
    char what[64];

    (void)snprintf(what, sizeof(what), "rotate the pair %s", id);
    return session_report_error(run->o, error, what);
}

/* As many as the limits allow. */
static int start_pairs(Run *run)
{
    Fleet *f = &run->session.fleet;
    size_t i;

    while (plan_take(&run->plan, &i)) {
        int r = fleet_renew(f, i, false, now_realtime());

        if (r == -ENOKEY || r == -ESTALE) {
            (void)fail_pair(run, r, f->entries[i].pair.id);
            plan_drop(&run->plan);
        } else if (r < 0) {
            return session_report_error(run->o, r, "rotate a pair");
        }
    }
    return EXIT_OK;
}

static int ask_machine(Run *run, size_t machine)
{
    int r;

    if (machine == FLEET_NO_MACHINE || run->asked[machine] == run->round)
        return EXIT_OK;
    run->asked[machine] = run->round;
    r = fleet_refresh(&run->session.fleet, machine);
    return r < 0 ? session_report_error(run->o, r, "read what a machine reports") : EXIT_OK;
}

/* Asks the machines of the pairs in flight alone. */
static int ask(Run *run)
{
    int r = EXIT_OK;

    run->round++;
    for (size_t i = 0; i < run->plan.n_in_flight && r == EXIT_OK; i++) {
        size_t entry = run->plan.in_flight[i];
        const FleetEntry *e = &run->session.fleet.entries[entry];

        r = ask_machine(run, e->target);
        if (r == EXIT_OK)
            r = ask_machine(run, e->host);
        fleet_note_presence(&run->session.fleet, entry);
    }
    return r;
}

static void draw(const Run *run)
{
    Counts c;

    if (run->o->columns == 0)
        return;
    counts_make(&run->session.fleet, &c);
    progress_draw(run->o, &c);
}

static int go_on(Run *run, PlanVerdict *ret)
{
    int r;

    while ((*ret = plan_settle(&run->plan, now_realtime())) == PLAN_GO_ON) {
        r = start_pairs(run);
        draw(run);
        if (r != EXIT_OK || run->o->no_block)
            return r;
        (void)usleep(POLL_USEC);
        r = ask(run);
        if (r != EXIT_OK)
            return r;
    }
    return EXIT_OK;
}

/* The rotation is over when no pair needs another try. */
static int finish(Run *run, PlanVerdict verdict)
{
    const Plan *p = &run->plan;
    const Fleet *f = &run->session.fleet;
    size_t bad = p->failed + p->late;
    int r = 0;

    if (verdict == PLAN_FINISHED && bad == 0 && run->version != PLACE_ABSENT)
        r = f->place->type->change(f->place, (PlaceChange[]){{ROTATION_KEY, NULL, run->version}},
                                   1);
    if (r < 0 && r != -ESTALE)
        return session_report_error(run->o, r, "end the rotation");
    if (bad == 0)
        return session_result(&run->session, EXIT_OK);
    return cli_fail(EXIT_NOT_ACCEPTED,
                    "%s: %zu failed, %zu took longer than --patience=; where the new PSK was not "
                    "taken, the old one stays in use: see nvme-keyctl fleet status",
                    verdict == PLAN_STOPPED ? "the rotation has stopped" : "not all was rotated",
                    p->failed, p->late);
}

static int print_counts(const Options *o, const Counts *c)
{
    _cleanup_(json_putp) json_object *reply = json_object_new_object();

    if (!reply || counts_add(reply, c) < 0)
        return cli_out_of_memory();
    cli_print_json(o, reply);
    return EXIT_OK;
}

static int print_end(const Run *run)
{
    Counts c;

    progress_end(run->o);
    counts_make(&run->session.fleet, &c);
    if (run->o->json != JSON_OFF)
        return print_counts(run->o, &c);
    if (run->o->legend)
        counts_print(&c);
    return EXIT_OK;
}

int verb_fleet_rotate(const Options *o)
{
    _cleanup_(run_done) Run run = {.o = o};
    uint64_t now = now_realtime(), since = now;
    PlanVerdict verdict = PLAN_GO_ON;
    int r = EXIT_OK;

    if (fleet_options(o)->all && o->arguments[0])
        return cli_fail(EXIT_USAGE, "--all and pairs exclude each other");
    r = session_open(o, true, &run.session);
    if (r == EXIT_OK)
        r = begin(&run, now, &since);
    if (r == EXIT_OK)
        r = make_plan(&run, since, now);
    if (r == EXIT_OK)
        r = go_on(&run, &verdict);
    if (r == EXIT_OK)
        r = print_end(&run);
    return r != EXIT_OK ? r : finish(&run, verdict);
}
