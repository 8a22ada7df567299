/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/text.h"
#include "envelope/cms.h"
#include "envelope/signed.h"
#include "fleet/certificate.h"
#include "fleet/fleet.h"
#include "fleet/json-read.h"
#include "fleet/report.h"

void fleet_done(const Fleet *f)
{
    for (size_t i = 0; i < f->n_machines; i++)
        free(f->machines[i].certificate);
    free(f->machines);
    free(f->entries);
    free(f->plan);
}

/* Grows an array by one, by doubling. */
static void *grow(void *array, size_t n, size_t *size, size_t each)
{
    void *p;

    if (n < *size)
        return array;
    p = reallocarray(array, *size ? 2 * *size : 16, each);
    if (p)
        *size = *size ? 2 * *size : 16;
    return p;
}

static int refuse(Fleet *f, const char *key, const char *why)
{
    _cleanup_(freep) char *line = NULL;

    f->n_refused++;
    if (asprintf(&line, "%s is refused: %s", key, why) < 0)
        return -ENOMEM;
    f->warn(line);
    return -EBADMSG;
}

/* As an error that ends a list: a value that is refused does not. */
static int go_on(int r)
{
    return r == -EBADMSG ? 0 : r;
}

int fleet_sign(const Fleet *f, const char *text, char **ret)
{
    return statement_sign(text, f->issuer, f->key, ret);
}

static int open_signed(Fleet *f, const char *key, const PlaceValue *v, char **ret, size_t *ret_size)
{
    int r = statement_open(v->data, v->size, f->issuer, ret, ret_size);

    if (r == ENVELOPE_ISSUER)
        return refuse(f, key, "signed by another issuer than that of --issuer=");
    return r > 0 ? refuse(f, key,
                          r == ENVELOPE_SIGNATURE ? envelope_refusal_text(r)
                                                  : "no signed statement, or a damaged one")
                 : r;
}

int fleet_get_signed(Fleet *f, const char *key, char **ret_text, size_t *ret_size,
                     uint64_t *ret_version)
{
    _cleanup_(place_value_done) PlaceValue v = {.size = 0};
    int r = f->place->type->get(f->place, key, &v);

    if (r < 0)
        return r;
    *ret_version = v.version;
    return open_signed(f, key, &v, ret_text, ret_size);
}

/* Returns 0 if the machine has no good one. */
static int load_approval(Fleet *f, FleetMachine *m)
{
    _cleanup_(freep) char *text = NULL;
    _cleanup_(fleet_approval_done) FleetApproval a = {.certificate = NULL};
    char key[PLACE_KEY_SIZE];
    uint64_t version;
    size_t size;
    int r;

    place_key(key, "machines/%s/approved", m->fingerprint);
    r = fleet_get_signed(f, key, &text, &size, &version);
    if (r == 0)
        r = fleet_approval_parse(text, size, &a);
    if (r == -EBADMSG)
        return text ? go_on(refuse(f, key, "no approval")) : 0;
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (strcmp(a.fingerprint, m->fingerprint) != 0)
        return go_on(refuse(f, key, "the approval of another machine"));
    m->approved = true;
    strcpy(m->name, a.name);
    m->certificate = TAKE_PTR(a.certificate);
    return 0;
}

/* A damaged value may be the rest of a revocation, so it counts as one. */
static int load_revocation(Fleet *f, FleetMachine *m)
{
    _cleanup_(freep) char *text = NULL;
    FleetRevocation revocation;
    char key[PLACE_KEY_SIZE];
    uint64_t version;
    size_t size;
    int r;

    place_key(key, "machines/%s/revoked", m->fingerprint);
    r = fleet_get_signed(f, key, &text, &size, &version);
    if (r == 0)
        r = fleet_revocation_parse(text, size, &revocation);
    if (r < 0 && r != -EBADMSG)
        return r == -ENOENT ? 0 : r;
    if (r == -EBADMSG && text)
        (void)refuse(f, key, "no revocation");
    else if (r == 0 && strcmp(revocation.fingerprint, m->fingerprint) != 0)
        (void)refuse(f, key, "the revocation of another machine");
    m->revoked = true;
    return 0;
}

/* The certificate of a machine that waits for its approval. */
static int load_certificate(Fleet *f, FleetMachine *m)
{
    _cleanup_(place_value_done) PlaceValue v = {.size = 0};
    char key[PLACE_KEY_SIZE], fingerprint[MACHINE_FINGERPRINT_SIZE];
    int r;

    place_key(key, "machines/%s/certificate", m->fingerprint);
    r = f->place->type->get(f->place, key, &v);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    r = certificate_describe(v.data, v.size, fingerprint, m->name);
    if (r < 0 || strcmp(fingerprint, m->fingerprint) != 0)
        return r == -ENOMEM ? r : go_on(refuse(f, key, "not the certificate of that machine"));
    m->certificate = TAKE_PTR(v.data);
    return 0;
}

static int load_machine(const char *name, _unused_ const PlaceValue *value, void *userdata)
{
    Fleet *f = userdata;
    FleetMachine *m;
    int r;

    if (!text_is_hex(name, MACHINE_FINGERPRINT_SIZE - 1))
        return 0;
    m = grow(f->machines, f->n_machines, &f->machines_size, sizeof(*m));
    if (!m)
        return -ENOMEM;
    f->machines = m;
    m += f->n_machines++;
    *m = (FleetMachine){.online = true};
    strcpy(m->fingerprint, name);
    r = load_revocation(f, m);
    if (r == 0 && !m->revoked)
        r = load_approval(f, m);
    return r == 0 && !m->approved ? load_certificate(f, m) : r;
}

static int compare_machine(const void *fingerprint, const void *machine)
{
    return strcmp(fingerprint, ((const FleetMachine *)machine)->fingerprint);
}

size_t fleet_find_machine(const Fleet *f, const char *fingerprint)
{
    const FleetMachine *m = f->n_machines == 0 ? NULL
                                               : bsearch(fingerprint, f->machines, f->n_machines,
                                                         sizeof(*m), compare_machine);

    return m ? (size_t)(m - f->machines) : FLEET_NO_MACHINE;
}

static int add_entry(Fleet *f, const FleetPair *pair, uint64_t version)
{
    size_t plan_size = f->size;
    FleetEntry *entries = grow(f->entries, f->n, &f->size, sizeof(*entries));
    PlanPair *plan;

    if (!entries)
        return -ENOMEM;
    f->entries = entries;
    plan = grow(f->plan, f->n, &plan_size, sizeof(*plan));
    if (!plan)
        return -ENOMEM;
    f->plan = plan;
    f->entries[f->n] = (FleetEntry){.pair = *pair, .version = version};
    f->plan[f->n++] = (PlanPair){.generation = pair->generation, .ended = pair->ended};
    return 0;
}

static int load_pair(const char *name, const PlaceValue *value, void *userdata)
{
    Fleet *f = userdata;
    _cleanup_(freep) char *text = NULL;
    FleetPair pair;
    char key[PLACE_KEY_SIZE];
    size_t size;
    int r;

    if (!text_is_hex(name, FLEET_ID_SIZE - 1))
        return 0;
    place_key(key, "pairs/%s", name);
    r = open_signed(f, key, value, &text, &size);
    if (r == 0)
        r = fleet_pair_parse(text, size, &pair);
    if (r == -EBADMSG)
        return text ? go_on(refuse(f, key, "no description of a pair")) : 0;
    if (r == 0 && strcmp(pair.id, name) != 0)
        return go_on(refuse(f, key, "the description of another pair"));
    return r == 0 ? add_entry(f, &pair, value->version) : r;
}

static int compare_id(const void *id, const void *entry)
{
    return strcmp(id, ((const FleetEntry *)entry)->pair.id);
}

/* A revoked machine is no end of a pair, whatever it reports. */
static void join_end(const Fleet *f, const char *fingerprint, size_t *ret_machine, PlanEnd *ret)
{
    *ret_machine = fleet_find_machine(f, fingerprint);
    ret->exists = *ret_machine == FLEET_NO_MACHINE || !f->machines[*ret_machine].revoked;
}

static bool is_offline(const Fleet *f, size_t machine)
{
    return machine != FLEET_NO_MACHINE && !f->machines[machine].online;
}

void fleet_note_presence(Fleet *f, size_t entry)
{
    f->plan[entry].host.offline = is_offline(f, f->entries[entry].host);
    f->plan[entry].target.offline = is_offline(f, f->entries[entry].target);
}

static void take_report(Fleet *f, size_t machine, const FleetReport *report)
{
    FleetEntry *e =
        f->n == 0 ? NULL : bsearch(report->id, f->entries, f->n, sizeof(*e), compare_id);
    PlanEnd end = {.exists = true, .generation = report->generation, .report = report->state};

    if (!e)
        return;
    if (e->host == machine) {
        f->plan[e - f->entries].host = end;
        strcpy(e->host_reason, report->reason);
    }
    if (e->target == machine) {
        f->plan[e - f->entries].target = end;
        strcpy(e->target_reason, report->reason);
    }
}

static int read_presence(Fleet *f, FleetMachine *m)
{
    _cleanup_(place_value_done) PlaceValue v = {.size = 0};
    char key[PLACE_KEY_SIZE];
    int r;

    if (!f->place->type->has_presence)
        return 0;
    place_key(key, "machines/%s/presence", m->fingerprint);
    r = f->place->type->get(f->place, key, &v);
    m->online = r != -ENOENT;
    return r == -ENOENT ? 0 : r;
}

int fleet_refresh(Fleet *f, size_t machine)
{
    _cleanup_(place_value_done) PlaceValue v = {.size = 0};
    _cleanup_(freep) FleetReport *reports = NULL;
    FleetMachine *m = &f->machines[machine];
    char key[PLACE_KEY_SIZE];
    size_t n = 0;
    int r = m->revoked ? 0 : read_presence(f, m);

    if (r < 0 || m->revoked)
        return r;
    place_key(key, "machines/%s/status", m->fingerprint);
    r = f->place->type->get(f->place, key, &v);
    if (r == 0)
        r = fleet_reports_parse(v.data, v.size, &reports, &n);
    if (r == -EBADMSG)
        return go_on(refuse(f, key, "no status of a machine"));
    for (size_t i = 0; i < n; i++)
        take_report(f, machine, &reports[i]);
    return r == -ENOENT ? 0 : r;
}

static int check_envelope(Fleet *f, size_t entry, const char *machine)
{
    _cleanup_(place_value_done) PlaceValue v = {.size = 0};
    const FleetPair *p = &f->entries[entry].pair;
    char key[PLACE_KEY_SIZE], digest[65] = "";
    int r;

    place_key(key, "machines/%s/envelopes/%s", machine, p->id);
    r = f->place->type->get(f->place, key, &v);
    if (r == 0)
        r = fleet_digest(v.data, digest);
    if (r < 0 && r != -ENOENT)
        return r;
    if (strcmp(digest, p->envelope) != 0)
        f->plan[entry].undelivered = true;
    return 0;
}

/* Marks a pair whose envelope is missing in the place, or is another one. */
static int check_delivery(Fleet *f, size_t entry)
{
    const FleetPair *p = &f->entries[entry].pair;
    int r = 0;

    f->plan[entry].undelivered = false;
    if (f->plan[entry].target.exists)
        r = check_envelope(f, entry, p->target);
    if (r == 0 && f->plan[entry].host.exists)
        r = check_envelope(f, entry, p->host);
    return r;
}

/* Envelopes of pairs that are done are of no interest. */
static int check_deliveries(Fleet *f)
{
    int r = 0;

    for (size_t i = 0; i < f->n && r == 0; i++) {
        PlanState state = plan_state(&f->plan[i]);

        if (state != PLAN_DONE && state != PLAN_ENDED)
            r = check_delivery(f, i);
    }
    return r;
}

int fleet_load(Fleet *f)
{
    const PlaceType *type = f->place->type;
    int r = type->list(f->place, "machines", true, load_machine, f);

    if (r == 0)
        r = type->list(f->place, "pairs", false, load_pair, f);
    for (size_t i = 0; i < f->n; i++) {
        join_end(f, f->entries[i].pair.host, &f->entries[i].host, &f->plan[i].host);
        join_end(f, f->entries[i].pair.target, &f->entries[i].target, &f->plan[i].target);
    }
    for (size_t i = 0; i < f->n_machines && r == 0; i++)
        r = fleet_refresh(f, i);
    for (size_t i = 0; i < f->n; i++)
        fleet_note_presence(f, i);
    return r == 0 ? check_deliveries(f) : r;
}
