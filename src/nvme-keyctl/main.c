/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "basic/names.h"
#include "build-config.h"
#include "nvme-keyctl/cli.h"
#include "nvme-keyctl/output.h"
#include "nvme-keyd/config/config.h"

/* One bit for each option, so that a verb can say which it takes. */
enum {
    OPT_SUBSYSNQN = 1 << 0,
    OPT_HOSTNQN = 1 << 1,
    OPT_ROLE = 1 << 2,
    OPT_IDENTITY_VERSION = 1 << 3,
    OPT_DERIVATION = 1 << 4,
    OPT_HMAC = 1 << 5,
    OPT_COMMENT = 1 << 6,
    OPT_KEY_FILE = 1 << 7,
    OPT_GENERATE = 1 << 8,
    OPT_PRINT_KEY = 1 << 9,
    OPT_FORCE = 1 << 10,
    /* These go with every verb. */
    OPT_JSON = 1 << 11,
    OPT_NO_LEGEND = 1 << 12,
    OPT_SOCKET = 1 << 13,
    OPT_HELP = 1 << 14,
    OPT_VERSION = 1 << 15,
    OPT_DRY_RUN = 1 << 16,
    OPT_TPM2_PCRS = 1 << 17,
    OPT_WITH_KEY = 1 << 18,
    OPT_ROLLBACK_COUNTER = 1 << 19,
    OPT_NEW_TPM = 1 << 20,
    OPT_CHECK = 1 << 21,
    OPT_TIMEOUT = 1 << 22, /* with every verb */
};

#define OPTS_COMMON (OPT_JSON | OPT_NO_LEGEND | OPT_SOCKET | OPT_TIMEOUT)
/* Of these one may have several. */
#define OPTS_LIST OPT_SUBSYSNQN
#define OPTS_PAIR (OPT_SUBSYSNQN | OPT_HOSTNQN)
#define OPTS_NEW                                                                                   \
    (OPTS_PAIR | OPT_ROLE | OPT_IDENTITY_VERSION | OPT_DERIVATION | OPT_COMMENT | OPT_FORCE)
#define OPTS_SEAL (OPT_TPM2_PCRS | OPT_WITH_KEY | OPT_ROLLBACK_COUNTER | OPT_NEW_TPM)

typedef struct Option {
    int bit;
    const char *name;
    const char *argument; /* or NULL */
    const char *help;
} Option;

static const Option option_table[] = {
    {OPT_SUBSYSNQN, "subsysnqn", "NQN", "NQN of the subsystem; several for store export"},
    {OPT_HOSTNQN, "hostnqn", "NQN", "NQN of the host (" NAMES_HOSTNQN_FILE ")"},
    {OPT_ROLE, "role", "ROLE", "host, target or both (host)"},
    {OPT_IDENTITY_VERSION, "identity-version", "LIST", "0, 1 or 0,1 (1; 0,1 on a target)"},
    {OPT_DERIVATION, "derivation", "NAME", "rfc8446, or compat for libnvme before 1.16"},
    {OPT_HMAC, "hmac", "HASH", "of a generated PSK: sha256, sha384 or none (sha256)"},
    {OPT_COMMENT, "comment", "TEXT", "a line for people"},
    {OPT_KEY_FILE, "key-file", "FILE", "read the secret from FILE, - for standard input"},
    {OPT_GENERATE, "generate", NULL, "rotate to a new random PSK"},
    {OPT_PRINT_KEY, "print-key", NULL, "print the generated PSK, for the other end"},
    {OPT_FORCE, "force", NULL, "do what is refused without it"},
    {OPT_CHECK, "check", NULL, "tell in one line, and by the exit status, whether all is well"},
    {OPT_DRY_RUN, "dry-run", NULL, "check a key file, keep nothing"},
    {OPT_TPM2_PCRS, "tpm2-pcrs", "LIST", "PCRs to bind a slot to, such as 7+14 (7)"},
    {OPT_WITH_KEY, "with-key", "KEY", "what systemd-creds seals a slot with (auto)"},
    {OPT_ROLLBACK_COUNTER, "rollback-counter", NULL, "tell an old copy of the store by the TPM"},
    {OPT_NEW_TPM, "new-tpm", NULL, "seal by a TPM that the store does not know"},
    {OPT_JSON, "json", "MODE", "pretty (-j), short or off (off)"},
    {OPT_NO_LEGEND, "no-legend", NULL, "print no head and no totals"},
    {OPT_SOCKET, "socket", "PATH", "talk to the service at PATH"},
    {OPT_TIMEOUT, "timeout", "TIME", "how long to wait for the service (5s for status)"},
    {OPT_HELP, "help", NULL, "show this help (-h)"},
    {OPT_VERSION, "version", NULL, "show the version"},
};

typedef struct Verb {
    const char *name;     /* one word or two */
    const char *argument; /* what it takes behind its name, in brackets if it need not; or NULL */
    int options;
    int (*run)(const Options *o);
    const char *help;
    const char *look; /* where people see what it has changed; NULL if it changes nothing */
} Verb;

/* What somebody who gave a word too many may have wanted. */
#define READS_SECRET "; a secret is read from standard input, --key-file= or the prompt"
#define LOOK_KEYS "nvme-keyctl list"
#define LOOK_SLOTS "nvme-keyctl slot list"

static const Verb verb_table[] = {
    {"list", NULL, 0, verb_list, "list all keys", NULL},
    {"show", "ID", 0, verb_show, "show all about one key", NULL},
    {"add", NULL, OPTS_NEW | OPT_KEY_FILE, verb_add,
     "keep a PSK: standard input, --key-file= or a prompt", LOOK_KEYS},
    {"generate", NULL, OPTS_NEW | OPT_HMAC | OPT_PRINT_KEY, verb_generate, "keep a new random PSK",
     LOOK_KEYS},
    {"rotate", "ID", OPT_KEY_FILE | OPT_GENERATE | OPT_HMAC | OPT_PRINT_KEY | OPT_COMMENT,
     verb_rotate, "put another PSK in the place of one", LOOK_KEYS},
    {"import", "[FILE]", OPT_ROLE | OPT_IDENTITY_VERSION | OPT_DERIVATION | OPT_FORCE | OPT_DRY_RUN,
     verb_import, "keep all PSKs of a key file, or none", LOOK_KEYS},
    {"remove", "ID", OPT_FORCE, verb_remove, "forget a PSK", LOOK_KEYS},
    {"sync", NULL, 0, verb_sync, "make the kernel's keyring hold what it should",
     "nvme-keyctl status"},
    {"status", NULL, OPT_CHECK, verb_status, "show the state of service, store and keyring", NULL},
    {"identity", NULL, OPTS_PAIR | OPT_KEY_FILE, verb_identity,
     "print what a PSK is called, keep nothing", NULL},
    {"slot list", NULL, 0, verb_slot_list, "list what can open the store", NULL},
    {"slot add", "TYPE", OPTS_SEAL, verb_slot_add, "another way: tpm2, systemd-creds or recovery",
     LOOK_SLOTS},
    {"slot remove", "ID", OPT_FORCE, verb_slot_remove, "let a slot open the store no more",
     LOOK_SLOTS},
    {"slot reseal", "[ID]", OPTS_SEAL, verb_slot_reseal, "seal one, or all, as the machine is now",
     LOOK_SLOTS},
    {"slot unlock", NULL, OPT_KEY_FILE, verb_slot_unlock, "open the store by its recovery key",
     "nvme-keyctl status"},
    {"store export", "DIR", OPT_SUBSYSNQN, verb_store_export,
     "put a sealed copy for a boot image into DIR", "the directory"},
    {"store forget", "INDEX", 0, verb_store_forget, "let the TPM forget a store that is gone",
     "nvme-keyctl status"},
};

static void print_help_line(const char *prefix, const char *name, const char *joint,
                            const char *argument, const char *help)
{
    char text[48];

    (void)snprintf(text, sizeof(text), "%s%s%s%s", prefix, name, argument ? joint : "",
                   argument ? argument : "");
    printf("  %-24s %s\n", text, help);
}

static int print_help(void)
{
    printf("nvme-keyctl [OPTIONS] COMMAND\n\n"
           "Keeps the TLS pre-shared keys of NVMe/TCP, by nvme-keyd.\n\nCommands:\n");
    for (size_t i = 0; i < ARRAY_SIZE(verb_table); i++)
        print_help_line("", verb_table[i].name, " ", verb_table[i].argument, verb_table[i].help);
    printf("\nOptions:\n");
    for (size_t i = 0; i < ARRAY_SIZE(option_table); i++)
        print_help_line("--", option_table[i].name, "=", option_table[i].argument,
                        option_table[i].help);
    printf("\nA secret is never a word of the command line. See nvme-keyctl(1).\n");
    return EXIT_OK;
}

static int set_json(Options *o, const char *mode)
{
    static const char *const modes[] = {
        [JSON_OFF] = "off", [JSON_SHORT] = "short", [JSON_PRETTY] = "pretty"};

    for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
        if (strcmp(mode, modes[i]) == 0) {
            o->json = (JsonMode)i;
            return EXIT_OK;
        }
    return cli_fail(EXIT_USAGE, "--json= is pretty, short or off");
}

static bool is_one_of(const char *s, const char *const *words)
{
    while (*words && strcmp(*words, s) != 0)
        words++;
    return *words;
}

static int set_word(const char **target, const char *value, const char *name,
                    const char *const *words, const char *list)
{
    if (!is_one_of(value, words))
        return cli_fail(EXIT_USAGE, "--%s= is %s", name, list);
    *target = value;
    return EXIT_OK;
}

static int set_timeout(Options *o, const char *value)
{
    if (config_parse_span(value, &o->timeout_usec) < 0 || o->timeout_usec == 0 ||
        o->timeout_usec > CLI_TIMEOUT_MAX_USEC)
        return cli_fail(EXIT_USAGE, "--timeout= is a time such as 10s or 5min, of a day at most");
    return EXIT_OK;
}

static bool *flag_of(Options *o, int bit)
{
    switch (bit) {
    case OPT_GENERATE:
        return &o->generate;
    case OPT_PRINT_KEY:
        return &o->print_key;
    case OPT_FORCE:
        return &o->force;
    case OPT_CHECK:
        return &o->check;
    case OPT_DRY_RUN:
        return &o->dry_run;
    case OPT_ROLLBACK_COUNTER:
        return &o->rollback_counter;
    case OPT_NEW_TPM:
        return &o->new_tpm;
    }
    return NULL;
}

static const char **text_of(Options *o, int bit)
{
    switch (bit) {
    case OPT_HOSTNQN:
        return &o->hostnqn;
    case OPT_IDENTITY_VERSION:
        return &o->versions;
    case OPT_COMMENT:
        return &o->comment;
    case OPT_KEY_FILE:
        return &o->key_file;
    case OPT_TPM2_PCRS:
        return &o->tpm2_pcrs;
    case OPT_WITH_KEY:
        return &o->with_key;
    case OPT_SOCKET:
        return &o->socket;
    }
    return NULL;
}

static int set_option(Options *o, int bit, const char *value)
{
    static const char *const roles[] = {"host", "target", "both", NULL};
    static const char *const derivations[] = {"rfc8446", "compat", NULL};
    static const char *const hashes[] = {"sha256", "sha384", "none", NULL};
    const char **text = text_of(o, bit);
    bool *flag = flag_of(o, bit);

    if (text)
        *text = value;
    if (flag)
        *flag = true;
    switch (bit) {
    case OPT_SUBSYSNQN:
        o->subsysnqn = o->subsysnqns[o->n_subsysnqns++] = value;
        break;
    case OPT_ROLE:
        return set_word(&o->role, value, "role", roles, "host, target or both");
    case OPT_DERIVATION:
        return set_word(&o->derivation, value, "derivation", derivations, "rfc8446 or compat");
    case OPT_HMAC:
        return set_word(&o->hash, value, "hmac", hashes, "sha256, sha384 or none");
    case OPT_JSON:
        return set_json(o, value);
    case OPT_NO_LEGEND:
        o->legend = false;
        break;
    case OPT_TIMEOUT:
        return set_timeout(o, value);
    }
    return EXIT_OK;
}

/* getopt's own words would repeat a value, which may be a secret. */
static int refuse_option(char **argv, int why)
{
    const char *word = optopt && why == '?' ? NULL : argv[optind - 1];

    if (!word)
        return cli_fail(EXIT_USAGE, "an option is unknown or takes no value, see --help");
    return cli_fail(EXIT_USAGE, "%.*s %s, see --help", (int)strcspn(word, "="), word,
                    why == ':' ? "needs a value" : "is no option");
}

/* It must not come into a message, a comment or another program, whatever it was meant for. */
static int refuse_secrets(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (cli_is_secret(argv[i]))
            return cli_fail(EXIT_USAGE,
                            "a secret is no word of a command line: give it to standard input, "
                            "--key-file= or the prompt; this one is in the history of the shell "
                            "now and other users may have seen it, so use another one");
    return EXIT_OK;
}

static int parse_options(int argc, char **argv, Options *o, int *ret_given)
{
    struct option long_options[ARRAY_SIZE(option_table) + 1] = {{NULL, 0, NULL, 0}};
    int index = 0, c, r;

    for (size_t i = 0; i < ARRAY_SIZE(option_table); i++)
        long_options[i] =
            (struct option){option_table[i].name,
                            option_table[i].argument ? required_argument : no_argument, NULL, 1};
    while ((c = getopt_long(argc, argv, ":hj", long_options, &index)) >= 0) {
        if (c == '?' || c == ':')
            return refuse_option(argv, c);
        if (c == 'j') {
            o->json = JSON_PRETTY;
            *ret_given |= OPT_JSON;
            continue;
        }
        if (c == 'h') {
            *ret_given |= OPT_HELP;
            continue;
        }
        /* Which of the two was meant, nobody knows; those of a list are told by their verb. */
        if (*ret_given & option_table[index].bit & ~OPTS_LIST)
            return cli_fail(EXIT_USAGE, "--%s was given twice", option_table[index].name);
        *ret_given |= option_table[index].bit;
        r = set_option(o, option_table[index].bit, optarg);
        if (r != EXIT_OK)
            return r;
    }
    return EXIT_OK;
}

/* How many of the words are the name of a verb: 2, 1 or 0. */
static int match_verb(const char *name, char *const *words)
{
    size_t length = strcspn(name, " ");

    if (strncmp(words[0], name, length) != 0 || words[0][length] != '\0')
        return 0;
    if (name[length] == '\0')
        return 1;
    return words[1] && strcmp(words[1], name + length + 1) == 0 ? 2 : 0;
}

/* words ends with NULL; without any, it is the first verb. */
static const Verb *find_verb(char **words, char ***ret_arguments)
{
    if (!words[0]) {
        *ret_arguments = words;
        return verb_table;
    }
    for (size_t i = 0; i < ARRAY_SIZE(verb_table); i++) {
        int n = match_verb(verb_table[i].name, words);

        if (n > 0) {
            *ret_arguments = words + n;
            return &verb_table[i];
        }
    }
    return NULL;
}

static int check_usage(const Verb *verb, int given, size_t n_subsysnqns, int n_arguments)
{
    int expected = verb->argument ? 1 : 0, required = expected;

    if (verb->argument && verb->argument[0] == '[')
        required = 0;
    for (size_t i = 0; i < ARRAY_SIZE(option_table); i++)
        if (given & option_table[i].bit & ~(verb->options | OPTS_COMMON))
            return cli_fail(EXIT_USAGE, "%s does not take --%s", verb->name, option_table[i].name);
    if (n_subsysnqns > 1 && verb->run != verb_store_export)
        return cli_fail(EXIT_USAGE, "--subsysnqn was given twice");
    if (n_arguments < required)
        return cli_fail(EXIT_USAGE, "%s needs %s", verb->name, verb->argument);
    /* It may be a PSK, so it is not repeated. */
    if (n_arguments > expected)
        return cli_fail(EXIT_USAGE, "%s takes %s, but %d more %s given%s", verb->name,
                        verb->argument ? "one word" : "no words", n_arguments - expected,
                        n_arguments - expected == 1 ? "was" : "were",
                        verb->options & OPT_KEY_FILE ? READS_SECRET : "");
    return EXIT_OK;
}

/* look: see Verb. */
static int run(int argc, char **argv, Options *o, const char **ret_look)
{
    const Verb *verb;
    int given = 0, r;

    r = secret_memory_init();
    if (r < 0)
        return cli_fail(EXIT_OTHER,
                        "cannot lock memory for secrets (%s): raise its limit, ulimit -l",
                        strerror(-r));
    if ((r = refuse_secrets(argc, argv)) != EXIT_OK ||
        (r = parse_options(argc, argv, o, &given)) != EXIT_OK)
        return r;
    if (given & OPT_HELP)
        return print_help();
    if (given & OPT_VERSION) {
        printf("nvme-keyctl " PROJECT_VERSION "\n");
        return EXIT_OK;
    }
    verb = find_verb(argv + optind, &o->arguments);
    if (!verb)
        return cli_fail(EXIT_USAGE, "no such command, see --help");
    r = check_usage(verb, given, o->n_subsysnqns, (int)(argv + argc - o->arguments));
    if (r != EXIT_OK)
        return r;
    *ret_look = o->dry_run ? NULL : verb->look;
    return verb->run(o);
}

int main(int argc, char **argv)
{
    _cleanup_(freep) const char **subsysnqns = calloc((size_t)argc + 1, sizeof(*subsysnqns));
    Options o = {.legend = true, .subsysnqns = subsysnqns};
    const char *look = NULL;
    int r = output_init();

    if (r < 0)
        return cli_fail(EXIT_OTHER, "cannot open /dev/null: %s", strerror(-r));
    if (!subsysnqns)
        return cli_out_of_memory();
    r = run(argc, argv, &o, &look);
    return output_finish(r, look);
}
