/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "nvme-keyctl-fleet/session.h"
#include "nvme-keyctl/fleet-verbs.h"
#include "nvme-keyctl/program.h"
#include "nvme-keyd/config/config.h"

/* The commands of fleets, for nvme-keyctl fleet. */

#define OPT(n) (UINT64_C(1) << (n))
#define OPT_PLACE OPT(0)
#define OPT_ISSUER OPT(1)
#define OPT_ISSUER_KEY OPT(2)
#define OPT_FINGERPRINT OPT(3)
#define OPT_HOST OPT(4)
#define OPT_TARGET OPT(5)
#define OPT_HOSTNQN OPT(6)
#define OPT_SUBSYSNQN OPT(7)
#define OPT_HMAC OPT(8)
#define OPT_IDENTITY_VERSION OPT(9)
#define OPT_DERIVATION OPT(10)
#define OPT_LIFETIME OPT(11)
#define OPT_ALL OPT(12)
#define OPT_MAX_IN_FLIGHT OPT(13)
#define OPT_PERCENT OPT(14)
#define OPT_MAX_FAILURES OPT(15)
#define OPT_PATIENCE OPT(16)
#define OPT_NO_BLOCK OPT(17)
#define OPT_WATCH OPT(18)
#define OPT_FORCE OPT(19)

#define OPTS_LOOK (OPT_PLACE | OPT_ISSUER)
#define OPTS_CHANGE (OPTS_LOOK | OPT_ISSUER_KEY)

#define MAX_IN_FLIGHT 16
#define PATIENCE_USEC (10 * 60 * USEC_PER_SEC)
#define NUMBER_MAX 1000000

static int set_json(Options *o, const char *value);
static int set_no_legend(Options *o, const char *value);
static int set_lifetime(Options *o, const char *value);
static int set_timeout(Options *o, const char *value);
static int set_max_in_flight(Options *o, const char *value);
static int set_percent(Options *o, const char *value);
static int set_max_failures(Options *o, const char *value);
static int set_patience(Options *o, const char *value);
static int set_watch(Options *o, const char *value);

static const char *const derivations[] = {"rfc8446", "compat", "lastfrag", NULL};
static const char *const hashes[] = {"sha256", "sha384", "none", NULL};
static const char *const json_modes[] = {
    [JSON_OFF] = "off", [JSON_SHORT] = "short", [JSON_PRETTY] = "pretty", NULL};

#define MEMBER(name) offsetof(FleetOptions, name), NULL
#define SETTER(function) 0, function

static const Option option_table[] = {
    {OPT_PLACE, "place", "DIRECTORY", MEMBER(place), NULL, "where the fleet is kept"},
    {OPT_ISSUER, "issuer", "FILE", MEMBER(base.issuer), NULL, "certificate of the issuer"},
    {OPT_ISSUER_KEY, "issuer-key", "FILE", MEMBER(base.issuer_key), NULL,
     "its private key: a file, or a URI for OpenSSL"},
    {OPT_FINGERPRINT, "fingerprint", "DIGEST", MEMBER(fingerprint), NULL,
     "of the machine, as it shows it itself"},
    {OPT_HOST, "host", "MACHINE", MEMBER(host), NULL, "fingerprint or name of the host"},
    {OPT_TARGET, "target", "MACHINE", MEMBER(target), NULL, "fingerprint or name of the target"},
    {OPT_HOSTNQN, "hostnqn", "NQN", MEMBER(base.hostnqn), NULL,
     "NQN of the host (that of its certificate)"},
    {OPT_SUBSYSNQN, "subsysnqn", "NQN", MEMBER(base.subsysnqn), NULL, "NQN of the subsystem"},
    {OPT_HMAC, "hmac", "HASH", MEMBER(base.hash), hashes,
     "hash of the PSKs: sha256, sha384 or none (sha256)"},
    {OPT_IDENTITY_VERSION, "identity-version", "LIST", MEMBER(base.versions), NULL,
     "0, 1 or 0,1 (1)"},
    {OPT_DERIVATION, "derivation", "NAME", MEMBER(base.derivation), derivations,
     "rfc8446; compat or lastfrag for libnvme before 1.16"},
    {OPT_LIFETIME, "lifetime", "TIME", SETTER(set_lifetime), NULL,
     "have the machines warn about a PSK after that time"},
    {OPT_FORCE, "force", NULL, MEMBER(base.force), NULL, "take NQNs of another form"},
    {OPT_ALL, "all", NULL, MEMBER(all), NULL, "begin a rotation of all pairs"},
    {OPT_MAX_IN_FLIGHT, "max-in-flight", "NUMBER", SETTER(set_max_in_flight), NULL,
     "pairs that are rotated at the same time (16)"},
    {OPT_PERCENT, "percent", "NUMBER", SETTER(set_percent), NULL,
     "at most this part of the pairs at the same time"},
    {OPT_MAX_FAILURES, "max-failures", "NUMBER", SETTER(set_max_failures), NULL,
     "stop after more pairs have failed (0)"},
    {OPT_PATIENCE, "patience", "TIME", SETTER(set_patience), NULL,
     "a pair that takes longer has failed (10min)"},
    {OPT_NO_BLOCK, "no-block", NULL, MEMBER(base.no_block), NULL,
     "begin as many pairs as may be, and do not wait"},
    {OPT_WATCH, "watch", NULL, SETTER(set_watch), NULL, "show progress until no pair waits"},
    {OPT_NO_PAGER, "no-pager", NULL, MEMBER(base.no_pager), NULL, "print to the terminal itself"},
    {OPT_COMMON, "json", "MODE", SETTER(set_json), json_modes, "pretty (-j), short or off (off)"},
    {OPT_COMMON, "no-legend", NULL, SETTER(set_no_legend), NULL, "print neither header nor totals"},
    {OPT_COMMON, "socket", "PATH", MEMBER(base.socket), NULL, "has no effect: no service is asked"},
    {OPT_COMMON, "timeout", "TIME", SETTER(set_timeout), NULL, "has no effect"},
    {OPT_COMMON, "help", NULL, MEMBER(base.help), NULL, "show this help (-h)"},
    {OPT_COMMON, "version", NULL, MEMBER(base.version), NULL, "show the version"},
};

#define LOOK "nvme-keyctl fleet status"

#define OPTS_status (OPTS_LOOK | OPT_WATCH | OPT_NO_PAGER)
#define OPTS_enrol OPT_PLACE
#define OPTS_approve (OPTS_CHANGE | OPT_FINGERPRINT)
#define OPTS_revoke OPTS_approve
#define OPTS_issue                                                                                 \
    (OPTS_CHANGE | OPT_HOST | OPT_TARGET | OPT_HOSTNQN | OPT_SUBSYSNQN | OPT_HMAC |                \
     OPT_IDENTITY_VERSION | OPT_DERIVATION | OPT_LIFETIME | OPT_FORCE)
#define OPTS_rotate                                                                                \
    (OPTS_CHANGE | OPT_ALL | OPT_MAX_IN_FLIGHT | OPT_PERCENT | OPT_MAX_FAILURES | OPT_PATIENCE |   \
     OPT_NO_BLOCK)
#define OPTS_end OPTS_CHANGE

#define ROW(function, name, argument, help)                                                        \
    {name, argument, OPTS_##function, verb_fleet_##function, help, LOOK},

static const Verb verb_table[] = {FLEET_VERBS(ROW)};

static int set_json(Options *o, const char *value)
{
    while (strcmp(json_modes[o->json], value) != 0)
        o->json++;
    return EXIT_OK;
}

static int set_no_legend(Options *o, _unused_ const char *value)
{
    o->legend = false;
    return EXIT_OK;
}

/* As nvme-keyctl takes it with all commands. */
static int set_timeout(_unused_ Options *o, _unused_ const char *value)
{
    return EXIT_OK;
}

static int set_lifetime(Options *o, const char *value)
{
    if (config_parse_span(value, &o->lifetime_usec) < 0 || o->lifetime_usec < USEC_PER_SEC ||
        o->lifetime_usec > LIFETIME_SEC_MAX * USEC_PER_SEC)
        return cli_fail(EXIT_USAGE, "--lifetime= needs a time of at least a second, such as 90d");
    return EXIT_OK;
}

/* Returns false for what is no number from least to most. */
static bool parse_number(const char *value, size_t least, size_t most, size_t *ret)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(value, &end, 10);
    *ret = n;
    return errno == 0 && *end == '\0' && value[0] >= '0' && value[0] <= '9' && n >= least &&
           n <= most;
}

static int set_max_in_flight(Options *o, const char *value)
{
    return parse_number(value, 1, NUMBER_MAX, &((FleetOptions *)o)->max_in_flight)
               ? EXIT_OK
               : cli_fail(EXIT_USAGE, "--max-in-flight= needs a number from 1 on");
}

static int set_percent(Options *o, const char *value)
{
    return parse_number(value, 1, 100, &((FleetOptions *)o)->percent)
               ? EXIT_OK
               : cli_fail(EXIT_USAGE, "--percent= needs a number from 1 to 100");
}

static int set_max_failures(Options *o, const char *value)
{
    return parse_number(value, 0, NUMBER_MAX, &((FleetOptions *)o)->max_failures)
               ? EXIT_OK
               : cli_fail(EXIT_USAGE, "--max-failures= needs a number");
}

static int set_patience(Options *o, const char *value)
{
    uint64_t *patience = &((FleetOptions *)o)->patience_usec;

    return config_parse_span(value, patience) == 0 && *patience > 0 &&
                   *patience <= LIFETIME_SEC_MAX * USEC_PER_SEC
               ? EXIT_OK
               : cli_fail(EXIT_USAGE, "--patience= needs a time, such as 10min");
}

/* A pager would show the end alone. */
static int set_watch(Options *o, _unused_ const char *value)
{
    ((FleetOptions *)o)->watch = o->no_pager = true;
    return EXIT_OK;
}

static int prepare(_unused_ const Verb *verb, _unused_ Options *o)
{
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    static const CommandLine line = {option_table, ARRAY_SIZE(option_table), verb_table,
                                     ARRAY_SIZE(verb_table)};
    FleetOptions o = {
        .base = {.legend = true}, .max_in_flight = MAX_IN_FLIGHT, .patience_usec = PATIENCE_USEC};

    return program_run(&line, argc, argv, &o.base, prepare);
}
