/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "basic/io.h"
#include "basic/text.h"
#include "fleet/issue.h"
#include "nvme-keyctl-fleet/session.h"

/* fleet issue and end: which pairs there are. */

static int choose_end(const Session *s, const char *word, char ret[static MACHINE_FINGERPRINT_SIZE],
                      size_t *ret_machine)
{
    const FleetMachine *m;
    int r = choose_machine(s, word, ret_machine);

    if (r != EXIT_OK)
        return r;
    m = &s->fleet.machines[*ret_machine];
    if (!m->approved)
        return cli_fail(EXIT_CONFLICT, "%s is %s", word,
                        m->revoked ? "revoked" : "not approved: see nvme-keyctl fleet approve");
    strcpy(ret, m->fingerprint);
    return EXIT_OK;
}

/* A machine of a host is named by its host NQN. */
static int take_names(const Options *o, const FleetMachine *host, FleetPair *p)
{
    bool is_named = text_after(host->name, "nqn.");
    const char *hostnqn = o->hostnqn ? o->hostnqn : is_named ? host->name : NULL;
    int r;

    if (!hostnqn)
        return cli_fail(EXIT_USAGE, "--hostnqn= is missing, and the certificate of the host names "
                                    "no host NQN");
    if (is_named && strcmp(hostnqn, host->name) != 0)
        return cli_fail(EXIT_CONFLICT, "the certificate of the host names the host NQN %s",
                        host->name);
    r = cli_check_nqn(o, hostnqn, "host NQN");
    if (r == EXIT_OK)
        r = cli_check_nqn(o, o->subsysnqn, "subsystem NQN");
    if (r != EXIT_OK)
        return r;
    strcpy(p->hostnqn, hostnqn);
    strcpy(p->subsysnqn, o->subsysnqn);
    return fleet_pair_id(p->hostnqn, p->subsysnqn, p->id) < 0
               ? cli_fail(EXIT_OTHER, "cannot compute the ID of the pair")
               : EXIT_OK;
}

static int take_recipe(const Options *o, FleetPair *p)
{
    p->hash = PSK_HASH_SHA256;
    if (o->hash)
        (void)!psk_hash_from_string(o->hash, &p->hash);
    if (o->derivation)
        (void)!psk_derivation_from_string(o->derivation, &p->derivation);
    p->lifetime_usec = o->lifetime_usec;
    return cli_parse_versions(o->versions ? o->versions : "1", &p->versions);
}

static int read_pair(const Options *o, const Session *s, FleetPair *p)
{
    const FleetOptions *f = fleet_options(o);
    size_t host, target;
    int r;

    if (!f->host || !f->target || !o->subsysnqn)
        return cli_fail(EXIT_USAGE, "fleet issue needs --host=, --target= and --subsysnqn=");
    r = choose_end(s, f->host, p->host, &host);
    if (r == EXIT_OK)
        r = choose_end(s, f->target, p->target, &target);
    if (r == EXIT_OK)
        r = take_names(o, &s->fleet.machines[host], p);
    return r == EXIT_OK ? take_recipe(o, p) : r;
}

/* Finds the description of a pair that has ended, for its version and generation. */
static int find_old(const Session *s, FleetPair *p, uint64_t *ret_version)
{
    *ret_version = PLACE_ABSENT;
    for (size_t i = 0; i < s->fleet.n; i++) {
        const FleetEntry *e = &s->fleet.entries[i];

        if (strcmp(e->pair.id, p->id) != 0)
            continue;
        if (!e->pair.ended)
            return cli_fail(EXIT_CONFLICT,
                            "the pair exists: nvme-keyctl fleet rotate %.12s gives it a new PSK",
                            p->id);
        p->generation = e->pair.generation;
        *ret_version = e->version;
    }
    return EXIT_OK;
}

int verb_fleet_issue(const Options *o)
{
    _cleanup_(session_done) Session s = {.place = NULL};
    FleetPair p = {.generation = 0};
    uint64_t version;
    int r = session_open(o, true, &s);

    if (r == EXIT_OK)
        r = read_pair(o, &s, &p);
    if (r == EXIT_OK)
        r = find_old(&s, &p, &version);
    if (r != EXIT_OK)
        return r;
    r = fleet_issue(&s.fleet, &p, version, now_realtime());
    if (r < 0)
        return session_report_error(o, r, "issue the pair");
    return session_result(&s, session_print_id(o, "Issued a PSK for the pair", "id", p.id));
}

int verb_fleet_end(const Options *o)
{
    _cleanup_(session_done) Session s = {.place = NULL};
    int r = session_open(o, true, &s), e;

    for (char **word = o->arguments; r == EXIT_OK && *word; word++)
        r = choose_pairs(&s, *word);
    for (size_t i = 0; r == EXIT_OK && i < s.fleet.n; i++) {
        if (!s.fleet.plan[i].selected || s.fleet.entries[i].pair.ended)
            continue;
        e = fleet_renew(&s.fleet, i, true, now_realtime());
        if (e < 0)
            r = session_report_error(o, e, "end the pair");
        else
            r = session_print_id(o, "Ended the pair", "id", s.fleet.entries[i].pair.id);
    }
    return session_result(&s, r);
}
