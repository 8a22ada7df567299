/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/io.h"
#include "fleet/certificate.h"
#include "fleet/issue.h"
#include "nvme-keyctl-fleet/session.h"
#include "nvme-keyctl/pem-file.h"

/* fleet enrol, approve and revoke: which machines belong to the fleet. */

int verb_fleet_enrol(const Options *o)
{
    _cleanup_(session_done) Session s = {.place = NULL};
    _cleanup_(X509_freep) X509 *certificate = NULL;
    _cleanup_(freep) char *pem = NULL;
    char fingerprint[MACHINE_FINGERPRINT_SIZE], name[MACHINE_NAME_MAX + 1], key[PLACE_KEY_SIZE];
    int r = session_open_place(o, &s);

    if (r == EXIT_OK)
        r = pem_file_read_certificate(o->arguments[0], &certificate);
    if (r != EXIT_OK)
        return r;
    r = machine_certificate_to_pem(certificate, &pem);
    if (r == 0)
        r = certificate_describe(pem, strlen(pem), fingerprint, name);
    if (r < 0)
        return cli_fail(EXIT_OTHER, "cannot read the certificate: %s", strerror(-r));
    place_key(key, "machines/%s/certificate", fingerprint);
    r = s.place->type->change(s.place, (PlaceChange[]){{key, pem, PLACE_ANY}}, 1);
    if (r < 0)
        return session_report_error(o, r, "put the certificate");
    return session_print_id(o, "Enrolled, and waits for nvme-keyctl fleet approve:", "fingerprint",
                            fingerprint);
}

/* A whole fingerprint has been compared; what is shorter is shown to a person. */
static int confirm(const Options *o, const FleetMachine *m, const char *question)
{
    const char *given = fleet_options(o)->fingerprint;
    char answer[16];

    if (given && strcmp(given, m->fingerprint) != 0)
        return cli_fail(EXIT_CONFLICT,
                        "the machine has the fingerprint %s, not that of "
                        "--fingerprint=: nothing was changed",
                        m->fingerprint);
    if (given || strcmp(o->arguments[0], m->fingerprint) == 0)
        return EXIT_OK;
    if (o->columns == 0 || !isatty(STDIN_FILENO))
        return cli_fail(EXIT_USAGE,
                        "without a terminal, --fingerprint= or the whole fingerprint is "
                        "needed: nvme-keyctl machine show prints it on the machine");
    printf("Name:        %s\nFingerprint: %s\n%s [y/N] ", m->name, m->fingerprint, question);
    (void)fflush(stdout);
    if (!fgets(answer, sizeof(answer), stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
        return cli_fail(EXIT_OTHER, "nothing was changed");
    return EXIT_OK;
}

static int open_machine(const Options *o, const char *question, Session *s, size_t *ret)
{
    int r = session_open(o, true, s);

    if (r == EXIT_OK)
        r = choose_machine(s, o->arguments[0], ret);
    return r == EXIT_OK ? confirm(o, &s->fleet.machines[*ret], question) : r;
}

int verb_fleet_approve(const Options *o)
{
    _cleanup_(session_done) Session s = {.place = NULL};
    FleetMachine *m;
    size_t i;
    int r = open_machine(o, "Is this the fingerprint that the machine itself shows?", &s, &i);

    if (r != EXIT_OK)
        return r;
    m = &s.fleet.machines[i];
    if (m->revoked)
        return cli_fail(EXIT_CONFLICT,
                        "%s is revoked, for good: give the machine a new key, and enrol that",
                        m->fingerprint);
    if (!m->certificate)
        return cli_fail(EXIT_NO_KEY, "%s has no certificate yet: see nvme-keyctl fleet enrol",
                        m->fingerprint);
    r = fleet_approve(&s.fleet, i, now_realtime());
    if (r < 0)
        return session_report_error(o, r, "approve the machine");
    return session_result(&s, session_print_id(o, "Approved", "fingerprint", m->fingerprint));
}

/* Ends the pairs of a machine. Goes on after one that fails. */
static int end_pairs(const Options *o, Session *s, size_t machine, size_t *ret_n)
{
    int result = EXIT_OK;

    *ret_n = 0;
    for (size_t i = 0; i < s->fleet.n; i++) {
        const FleetEntry *e = &s->fleet.entries[i];
        int r;

        if ((e->host != machine && e->target != machine) || e->pair.ended)
            continue;
        r = fleet_renew(&s->fleet, i, true, now_realtime());
        if (r < 0)
            result = session_report_error(o, r, "end a pair");
        else
            ++*ret_n;
    }
    return result;
}

int verb_fleet_revoke(const Options *o)
{
    _cleanup_(session_done) Session s = {.place = NULL};
    const FleetMachine *m;
    size_t i, n;
    int r = open_machine(o, "Revoke this machine for good, and end its pairs?", &s, &i);

    if (r != EXIT_OK)
        return r;
    m = &s.fleet.machines[i];
    r = fleet_revoke(&s.fleet, i, now_realtime());
    if (r < 0)
        return session_report_error(o, r, "revoke the machine");
    r = end_pairs(o, &s, i, &n);
    if (r != EXIT_OK)
        return cli_fail((ExitCode)r, "pairs of the machine are left: run the command once more");
    if (n > 0 && o->legend && o->json == JSON_OFF)
        printf("Ended %zu pair%s.\n", n, n == 1 ? "" : "s");
    return session_result(&s, session_print_id(o, "Revoked", "fingerprint", m->fingerprint));
}
