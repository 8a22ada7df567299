/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/names.h"
#include "nvme-keyctl/command-line.h"
#include "nvme-keyctl/fleet-program.h"
#include "nvme-keyctl/fleet-verbs.h"
#include "nvme-keyctl/program.h"
#include "nvme-keyd/config/config.h"
#include "psk/nqn.h"

/* One bit for each option, so that a verb can say which it takes. */
#define OPT(n) (UINT64_C(1) << (n))
#define OPT_SUBSYSNQN OPT(0)
#define OPT_HOSTNQN OPT(1)
#define OPT_ROLE OPT(2)
#define OPT_IDENTITY_VERSION OPT(3)
#define OPT_DERIVATION OPT(4)
#define OPT_HMAC OPT(5)
#define OPT_COMMENT OPT(6)
#define OPT_KEY_FILE OPT(7)
#define OPT_GENERATE OPT(8)
#define OPT_PRINT_KEY OPT(9)
#define OPT_FORCE OPT(10)
#define OPT_CHECK OPT(11)
#define OPT_DRY_RUN OPT(12)
#define OPT_TPM2_PCRS OPT(13)
#define OPT_WITH_KEY OPT(14)
#define OPT_ROLLBACK_COUNTER OPT(15)
#define OPT_NEW_TPM OPT(16)
#define OPT_MATCH OPT(17)
#define OPT_ADDRESS OPT(18)
#define OPT_STALLED OPT(19)
#define OPT_TARGET OPT(20)
#define OPT_WHEN_UNUSED OPT(21)
#define OPT_AT OPT(22)
#define OPT_IN OPT(23)
#define OPT_SAME_PSK OPT(24)
#define OPT_REVERT OPT(25)
#define OPT_LIFETIME OPT(26)
#define OPT_OLDER_THAN OPT(27)
#define OPT_WAIT OPT(28)
#define OPT_NO_BLOCK OPT(29)
#define OPT_STATE OPT(30)
#define OPT_FORCE_FOR OPT(32)
#define OPT_TO OPT(33)
#define OPT_ISSUER OPT(34)
#define OPT_ISSUER_KEY OPT(35)
#define OPT_TOMBSTONE OPT(36)
#define OPT_GENERATION OPT(37)
#define OPT_MACHINE_KEY OPT(38)
#define OPT_ALL OPT(39)
#define OPT_FROM_KEYRING OPT(40)
#define OPT_ROTATE_AFTER OPT(41)
#define OPT_FORMAT OPT(42)
#define OPT_FOR_PEER OPT(43)
#define OPT_OUTPUT OPT(44)
#define OPT_LIST OPT(45)
#define OPT_REQUEST OPT(46)

#define OPTS_PAIR (OPT_SUBSYSNQN | OPT_HOSTNQN)
#define OPTS_NEW                                                                                   \
    (OPTS_PAIR | OPT_ROLE | OPT_IDENTITY_VERSION | OPT_DERIVATION | OPT_COMMENT | OPT_LIFETIME |   \
     OPT_ROTATE_AFTER | OPT_FORCE)
#define OPTS_LIFE (OPT_FORCE | OPT_AT | OPT_IN)
#define OPTS_SWITCH (OPT_WAIT | OPT_NO_BLOCK | OPT_ADDRESS)
#define OPTS_SEAL (OPT_COMMENT | OPT_TPM2_PCRS | OPT_WITH_KEY | OPT_ROLLBACK_COUNTER | OPT_NEW_TPM)

static int set_json(Options *o, const char *value);
static int set_no_legend(Options *o, const char *value);
static int set_subsysnqn(Options *o, const char *value);
static int set_force_for(Options *o, const char *value);
static int set_to(Options *o, const char *value);
static int set_generation(Options *o, const char *value);
static int set_timeout(Options *o, const char *value);
static int set_lifetime(Options *o, const char *value);
static int set_older_than(Options *o, const char *value);
static int set_rotate_after(Options *o, const char *value);

static const char *const roles[] = {"host", "target", "both", NULL};
static const char *const states[] = {"pending", "active",     "retiring", "revoked",
                                     "broken",  "overridden", NULL};
static const char *const derivations[] = {"rfc8446", "compat", "lastfrag", NULL};
static const char *const hashes[] = {"sha256", "sha384", "none", NULL};
static const char *const formats[] = {"nvme-cli", "interchange", "spdk", NULL};
static const char *const json_modes[] = {
    [JSON_OFF] = "off", [JSON_SHORT] = "short", [JSON_PRETTY] = "pretty", NULL};

#define MEMBER(name) offsetof(Options, name), NULL
#define SETTER(function) 0, function

static const Option option_table[] = {
    {OPT_SUBSYSNQN, "subsysnqn", "NQN", SETTER(set_subsysnqn), NULL,
     "NQN of the subsystem; store image takes several"},
    {OPT_HOSTNQN, "hostnqn", "NQN", MEMBER(hostnqn), NULL,
     "NQN of the host (" NAMES_HOSTNQN_FILE ")"},
    {OPT_ROLE, "role", "ROLE", MEMBER(role), roles, "host, target or both (host)"},
    {OPT_IDENTITY_VERSION, "identity-version", "LIST", MEMBER(versions), NULL,
     "0, 1 or 0,1 (1; 0,1 on a target)"},
    {OPT_DERIVATION, "derivation", "NAME", MEMBER(derivation), derivations,
     "rfc8446; compat or lastfrag for libnvme before 1.16"},
    {OPT_HMAC, "hmac", "HASH", MEMBER(hash), hashes,
     "hash of a new PSK: sha256, sha384 or none (sha256)"},
    {OPT_COMMENT, "comment", "TEXT", MEMBER(comment), NULL, "a line for people"},
    {OPT_LIFETIME, "lifetime", "TIME", SETTER(set_lifetime), NULL,
     "warn about the key after that time"},
    {OPT_STATE, "state", "STATE", MEMBER(state), states, "list keys in this state"},
    {OPT_ROTATE_AFTER, "rotate-after", "TIME", SETTER(set_rotate_after), NULL,
     "age at which schedule run rotates the key, or never"},
    {OPT_OLDER_THAN, "older-than", "TIME", SETTER(set_older_than), NULL,
     "list keys that were made that long ago"},
    {OPT_KEY_FILE, "key-file", "FILE", MEMBER(key_file), NULL,
     "read the secret from FILE, - for standard input"},
    {OPT_GENERATE, "generate", NULL, MEMBER(generate), NULL, "rotate to a new random PSK"},
    {OPT_SAME_PSK, "same-psk", NULL, MEMBER(same_psk), NULL,
     "rotate to another form of the same PSK"},
    {OPT_REVERT, "revert", NULL, MEMBER(revert), NULL, "go back to the key before a rotation"},
    {OPT_WAIT, "wait", NULL, MEMBER(wait), NULL, "try until the targets accept the key"},
    {OPT_NO_BLOCK, "no-block", NULL, MEMBER(no_block), NULL,
     "with --wait: leave the waiting to the service"},
    {OPT_AT, "at", "TIME", MEMBER(at), NULL, "change the key at TIME; never drops the plan"},
    {OPT_IN, "in", "SPAN", MEMBER(in), NULL, "change the key in SPAN from now, such as 2h"},
    {OPT_PRINT_KEY, "print-key", NULL, MEMBER(print_key), NULL,
     "print the generated PSK, for the other end"},
    {OPT_FORCE, "force", NULL, MEMBER(force), NULL, "override a refusal"},
    {OPT_FORCE_FOR, "force-for", "NQN", SETTER(set_force_for), NULL,
     "import although this subsystem may get the key of another"},
    {OPT_TO, "to", "FILE", SETTER(set_to), NULL,
     "certificate of a machine that an envelope is for"},
    {OPT_ISSUER, "issuer", "FILE", MEMBER(issuer), NULL,
     "certificate of the issuer of an envelope"},
    {OPT_ISSUER_KEY, "issuer-key", "FILE", MEMBER(issuer_key), NULL,
     "its private key: a file, or a URI for OpenSSL"},
    {OPT_MACHINE_KEY, "machine-key", "FILE", MEMBER(machine_key), NULL,
     "open an envelope by the key of a machine"},
    {OPT_TOMBSTONE, "tombstone", NULL, MEMBER(tombstone), NULL,
     "have the machines remove the pair"},
    {OPT_GENERATION, "generation", "NUMBER", SETTER(set_generation), NULL,
     "of the pair, higher than any before (the time)"},
    {OPT_FORMAT, "format", "FORMAT", MEMBER(format), formats,
     "of an export: nvme-cli, interchange or spdk (nvme-cli)"},
    {OPT_FOR_PEER, "for-peer", NULL, MEMBER(for_peer), NULL, "export for import at the other end"},
    {OPT_OUTPUT, "output", "FILE", MEMBER(output), NULL, "make FILE, mode 0600, for the export"},
    {OPT_LIST, "list", NULL, MEMBER(list), NULL, "list the issuers that are trusted"},
    {OPT_REQUEST, "request", NULL, MEMBER(request), NULL,
     "print a certificate request in the place of the certificate"},
    {OPT_CHECK, "check", NULL, MEMBER(check), NULL,
     "print one line; the exit status is the result"},
    {OPT_DRY_RUN, "dry-run", NULL, MEMBER(dry_run), NULL, "only say what would be done"},
    {OPT_MATCH, "match", "DIGEST", MEMBER(match), NULL,
     "print only what gives this digest or identity"},
    {OPT_STALLED, "stalled", NULL, MEMBER(stalled), NULL,
     "move controllers whose requests do not end"},
    {OPT_TARGET, "target", NULL, MEMBER(target), NULL, "list the hosts of this machine's target"},
    {OPT_WHEN_UNUSED, "when-unused", NULL, MEMBER(when_unused), NULL,
     "wait until no host uses the key of a target"},
    {OPT_NO_PAGER, "no-pager", NULL, MEMBER(no_pager), NULL, "print to the terminal itself"},
    {OPT_ALL, "all", NULL, MEMBER(all), NULL, "adopt all keys of other programs"},
    {OPT_FROM_KEYRING, "from-keyring", NULL, MEMBER(from_keyring), NULL,
     "import what is in the keyring, as adopt --all does"},
    {OPT_TPM2_PCRS, "tpm2-pcrs", "LIST", MEMBER(tpm2_pcrs), NULL,
     "bind a slot to these PCRs, such as 7+14 (7)"},
    {OPT_WITH_KEY, "with-key", "KEY", MEMBER(with_key), NULL,
     "key by which systemd-creds seals a slot (auto)"},
    {OPT_ROLLBACK_COUNTER, "rollback-counter", NULL, MEMBER(rollback_counter), NULL,
     "detect old copies of the store by the TPM"},
    {OPT_NEW_TPM, "new-tpm", NULL, MEMBER(new_tpm), NULL,
     "seal by a TPM that the store does not know"},
    {OPT_ADDRESS, "address", "ADDR[:PORT]", MEMBER(address), NULL,
     "of a target (those of the controllers)"},
    {OPT_COMMON, "json", "MODE", SETTER(set_json), json_modes, "pretty (-j), short or off (off)"},
    {OPT_COMMON, "no-legend", NULL, SETTER(set_no_legend), NULL, "print neither header nor totals"},
    {OPT_COMMON, "socket", "PATH", MEMBER(socket), NULL, "talk to the service at PATH"},
    {OPT_COMMON, "timeout", "TIME", SETTER(set_timeout), NULL,
     "how long to wait for the service (5s for status)"},
    {OPT_COMMON, "help", NULL, MEMBER(help), NULL, "show this help (-h)"},
    {OPT_COMMON, "version", NULL, MEMBER(version), NULL, "show the version"},
};

#define LOOK_KEYS "nvme-keyctl list"
#define LOOK_ISSUERS "nvme-keyctl machine trust --list"
#define LOOK_SLOTS "nvme-keyctl slot list"

static int verb_help(const Options *o);

#define FLEET_ROW(function, name, argument, help) {name, argument, 0, verb_fleet, help, NULL},

static const Verb verb_table[] = {
    {"Keys", NULL, 0, NULL, NULL, NULL},
    {"list", NULL, OPTS_PAIR | OPT_ROLE | OPT_STATE | OPT_OLDER_THAN | OPT_NO_PAGER, verb_list,
     "list all keys", NULL},
    {"show", "ID", OPT_NO_PAGER, verb_show, "show all about one key", NULL},
    {"add", NULL, OPTS_NEW | OPT_KEY_FILE, verb_add,
     "store a PSK from a prompt, standard input or a file", LOOK_KEYS},
    {"generate", NULL, OPTS_NEW | OPT_HMAC | OPT_PRINT_KEY, verb_generate, "store a new random PSK",
     LOOK_KEYS},
    {"import", "[FILE]",
     OPTS_PAIR | OPT_ROLE | OPT_IDENTITY_VERSION | OPT_DERIVATION | OPT_FORCE | OPT_FORCE_FOR |
         OPT_DRY_RUN | OPT_FROM_KEYRING,
     verb_import, "store the PSKs of a file of nvme-cli or SPDK", LOOK_KEYS},
    {"adopt", "[KEY]", OPTS_PAIR | OPT_ROLE | OPT_FORCE | OPT_DRY_RUN | OPT_ALL, verb_adopt,
     "store PSKs that other programs put into the keyring", LOOK_KEYS},
    {"export", "[ID]", OPTS_PAIR | OPT_ROLE | OPT_FORMAT | OPT_FOR_PEER | OPT_OUTPUT, verb_export,
     "hand out PSKs in the clear, for the other end", NULL},
    {"remove", "ID", OPTS_LIFE | OPT_WHEN_UNUSED, verb_remove, "remove a PSK", LOOK_KEYS},
    {"Rotation", NULL, 0, NULL, NULL, NULL},
    {"rotate", "ID",
     OPT_KEY_FILE | OPT_GENERATE | OPT_SAME_PSK | OPT_REVERT | OPT_HMAC | OPT_PRINT_KEY |
         OPT_IDENTITY_VERSION | OPT_DERIVATION | OPT_COMMENT | OPT_LIFETIME | OPTS_LIFE |
         OPTS_SWITCH,
     verb_rotate, "replace a PSK", LOOK_KEYS},
    {"activate", "ID", OPTS_LIFE | OPTS_SWITCH, verb_activate,
     "switch to a pending key, or back to a retiring one", LOOK_KEYS},
    {"retire", "ID", OPTS_LIFE | OPT_WHEN_UNUSED, verb_retire,
     "end a key, on a target after RetireSec=", LOOK_KEYS},
    {"revoke", "ID", OPTS_LIFE, verb_revoke, "end a key at once, and refuse its PSK", LOOK_KEYS},
    {"schedule set", "ID", OPT_ROTATE_AFTER, verb_schedule_set,
     "set the age at which a key is rotated", LOOK_KEYS},
    {"schedule run", NULL, OPT_DRY_RUN | OPT_PRINT_KEY, verb_schedule_run,
     "rotate the keys that have that age", LOOK_KEYS},
    {"probe", "ID", OPT_ADDRESS, verb_probe, "ask targets whether they accept a PSK", NULL},
    {"Controllers", NULL, 0, NULL, NULL, NULL},
    {"controllers", NULL, OPT_TARGET | OPT_NO_PAGER, verb_controllers,
     "list controllers and the keys they use", NULL},
    {"move", "[SUBSYSNQN]", OPT_STALLED | OPT_FORCE | OPT_DRY_RUN, verb_move,
     "reset controllers that use an old key", "nvme-keyctl controllers"},
    {"Service", NULL, 0, NULL, NULL, NULL},
    {"status", NULL, OPT_CHECK | OPT_NO_PAGER, verb_status,
     "show the state of service, store and keyring", NULL},
    {"sync", NULL, 0, verb_sync, "reconcile the kernel's keyring with the store",
     "nvme-keyctl status"},
    {"doctor", NULL, OPT_SUBSYSNQN | OPT_NO_PAGER, verb_doctor,
     "look for what keeps connections from coming up", NULL},
    {"metrics", NULL, 0, verb_metrics, "print the state as metrics for node_exporter", NULL},
    {"monitor", NULL, 0, verb_monitor, "print what happens to keys, as it happens", NULL},
    {"Slots and store", NULL, 0, NULL, NULL, NULL},
    {"slot list", NULL, OPT_NO_PAGER, verb_slot_list, "list the slots, which open the store", NULL},
    {"slot add", "TYPE", OPTS_SEAL, verb_slot_add, "add a slot: tpm2, systemd-creds or recovery",
     LOOK_SLOTS},
    {"slot remove", "ID", OPT_FORCE, verb_slot_remove,
     "remove a slot, which then no longer opens the store", LOOK_SLOTS},
    {"slot reseal", "[ID]", OPTS_SEAL, verb_slot_reseal,
     "seal one slot, or all, to the present machine", LOOK_SLOTS},
    {"slot unlock", NULL, OPT_KEY_FILE, verb_slot_unlock, "open the store by its recovery key",
     "nvme-keyctl status"},
    {"backup", "FILE", 0, verb_backup, "write the whole store, sealed, to FILE, - for a pipe",
     NULL},
    {"restore", "FILE", OPT_KEY_FILE | OPT_FORCE, verb_restore,
     "put a backup in place of the store, by recovery key", "nvme-keyctl status"},
    {"store image", "DIR", OPT_SUBSYSNQN, verb_store_image,
     "export the store, sealed, for a boot image", "the directory"},
    {"store forget", "INDEX", 0, verb_store_forget,
     "remove the TPM counter of a store that is gone", "nvme-keyctl status"},
    {"Envelopes", NULL, 0, NULL, NULL, NULL},
    {"envelope issuer", "FILE", 0, verb_envelope_issuer,
     "make the key of an issuer, and print its certificate", NULL},
    {"envelope seal", NULL,
     OPTS_PAIR | OPT_TO | OPT_ISSUER | OPT_ISSUER_KEY | OPT_KEY_FILE | OPT_GENERATE | OPT_HMAC |
         OPT_IDENTITY_VERSION | OPT_DERIVATION | OPT_LIFETIME | OPT_TOMBSTONE | OPT_GENERATION,
     verb_envelope_seal, "seal a PSK to the machines of a pair, and sign it", NULL},
    {"envelope show", "[FILE]", OPT_MACHINE_KEY | OPT_ISSUER, verb_envelope_show,
     "print the machines of an envelope, or its pairs", NULL},
    {"envelope take", "[FILE]", 0, verb_envelope_take,
     "have this machine take the pairs of an envelope", LOOK_KEYS},
    {"inbox", "[DIR]", 0, verb_inbox, "take the envelopes in a directory", LOOK_KEYS},
    {"machine show", NULL, OPT_REQUEST, verb_machine_show,
     "print the identity of this machine, and certificate", NULL},
    {"machine trust", "[FILE]", OPT_LIST, verb_machine_trust,
     "take envelopes of the issuer with this certificate", LOOK_ISSUERS},
    {"machine distrust", "DIGEST", 0, verb_machine_distrust,
     "take no further envelopes of an issuer", LOOK_ISSUERS},
    {"Fleets", NULL, 0, NULL, NULL, NULL},
    FLEET_VERBS(FLEET_ROW){"Without the service", NULL, 0, NULL, NULL, NULL},
    {"identity", NULL, OPTS_PAIR | OPT_KEY_FILE | OPT_MATCH, verb_identity,
     "print the identities of a PSK, store nothing", NULL},
    {"help", "[COMMAND...]", OPT_NO_PAGER, verb_help, "show all commands, or the options of one",
     NULL},
};

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

static int set_subsysnqn(Options *o, const char *value)
{
    o->subsysnqn = o->subsysnqns[o->n_subsysnqns++] = value;
    return EXIT_OK;
}

static int set_force_for(Options *o, const char *value)
{
    if (!nqn_is_usable(value, strlen(value)))
        return cli_fail(EXIT_USAGE, "--force-for= needs the NQN of a subsystem");
    o->force_for[o->n_force_for++] = value;
    return EXIT_OK;
}

static int set_to(Options *o, const char *value)
{
    o->to[o->n_to++] = value;
    return EXIT_OK;
}

static int set_generation(Options *o, const char *value)
{
    char *end;

    errno = 0;
    o->generation = strtoull(value, &end, 10);
    if (errno != 0 || *end != '\0' || value[0] < '0' || value[0] > '9' || o->generation == 0 ||
        o->generation > INT64_MAX)
        return cli_fail(EXIT_USAGE, "--generation= needs a number from 1 on");
    return EXIT_OK;
}

static int set_timeout(Options *o, const char *value)
{
    if (config_parse_span(value, &o->timeout_usec) < 0 || o->timeout_usec == 0 ||
        o->timeout_usec > CLI_TIMEOUT_MAX_USEC)
        return cli_fail(EXIT_USAGE,
                        "--timeout= needs a time of at most a day, such as 10s or 5min");
    return EXIT_OK;
}

static int set_lifetime(Options *o, const char *value)
{
    if (config_parse_span(value, &o->lifetime_usec) < 0 || o->lifetime_usec < USEC_PER_SEC ||
        o->lifetime_usec > LIFETIME_SEC_MAX * USEC_PER_SEC)
        return cli_fail(EXIT_USAGE, "--lifetime= needs a time of at least a second, such as 90d");
    return EXIT_OK;
}

static int set_rotate_after(Options *o, const char *value)
{
    o->rotate_after = value;
    if (strcmp(value, "never") == 0)
        return EXIT_OK;
    if (config_parse_span(value, &o->rotate_after_usec) < 0 ||
        o->rotate_after_usec < USEC_PER_SEC ||
        o->rotate_after_usec > LIFETIME_SEC_MAX * USEC_PER_SEC)
        return cli_fail(EXIT_USAGE,
                        "--rotate-after= needs a time of at least a second, such as 90d, or never");
    return EXIT_OK;
}

static int set_older_than(Options *o, const char *value)
{
    if (config_parse_span(value, &o->older_than_usec) < 0 || o->older_than_usec == 0)
        return cli_fail(EXIT_USAGE, "--older-than= needs a time, such as 90d");
    return EXIT_OK;
}

static const CommandLine command_line = {option_table, ARRAY_SIZE(option_table), verb_table,
                                         ARRAY_SIZE(verb_table)};

static int verb_help(const Options *o)
{
    if (o->arguments[0] && strcmp(o->arguments[0], FLEET_VERB) == 0)
        return fleet_help(o->arguments);
    return help_print(&command_line, o->arguments);
}

/* An ID may be given in short. */
static int resolve_argument(const Verb *verb, Options *o)
{
    if (!verb->argument || !strstr(verb->argument, "ID") || !o->arguments[0])
        return EXIT_OK;
    if (strncmp(verb->name, "slot ", strlen("slot ")) == 0)
        return cli_resolve_slot(o);
    return cli_resolve_key(o, verb->run == verb_activate ? "pending" : "active");
}

/* Several subsystems are for one verb. */
static int prepare(const Verb *verb, Options *o)
{
    if (o->n_subsysnqns > 1 && verb->run != verb_store_image)
        return cli_fail(EXIT_USAGE, "--subsysnqn was given twice");
    return resolve_argument(verb, o);
}

int main(int argc, char **argv)
{
    _cleanup_(freep) const char **subsysnqns = calloc((size_t)argc + 1, sizeof(*subsysnqns));
    _cleanup_(freep) const char **force_for = calloc((size_t)argc + 1, sizeof(*force_for));
    _cleanup_(freep) const char **to = calloc((size_t)argc + 1, sizeof(*to));
    Options o = {.legend = true, .subsysnqns = subsysnqns, .force_for = force_for, .to = to};

    if (!subsysnqns || !force_for || !to)
        return cli_out_of_memory();
    if (fleet_is_meant(argv))
        return fleet_execute(argv);
    return program_run(&command_line, argc, argv, &o, prepare);
}
