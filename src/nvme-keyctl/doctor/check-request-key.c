/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "basic/json.h"
#include "basic/macro.h"
#include "basic/names.h"
#include "nvme-keyctl/doctor/files.h"
#include "nvme-keyctl/doctor/limits.h"
#include "nvme-keyctl/doctor/parse.h"
#include "nvme-keyctl/doctor/private.h"
#include "nvme-keyctl/doctor/rule.h"

/* The kernel's way to ask for a key: request-key(8), and our rule for it. Only on-demand keys need
 * it. */

#define SHIM "request-key-shim"
#define DIRECTORY "etc/request-key.d"
#define MAIN_FILE "etc/request-key.conf"
#define OUR_FILE DIRECTORY "/nvme-keyd.conf"

static bool is_needed(const Doctor *d)
{
    return strcmp(json_string_or(doctor_status(d, "provision"), "mode", ""), "on_demand") == 0;
}

static void bad(Doctor *d, const char *remedy, const char *text)
{
    if (is_needed(d))
        doctor_fail(d, remedy, "%s, so keys on demand are not found", text);
    else
        doctor_warn(d, remedy, "%s", text);
}

void check_request_key(Doctor *d)
{
    if (faccessat(d->root, "sbin/request-key", X_OK, 0) < 0 &&
        faccessat(d->root, "usr/sbin/request-key", X_OK, 0) < 0)
        bad(d, "apt install keyutils",
            "the kernel cannot ask for keys: /sbin/request-key is missing");
    else
        doctor_ok(d, "/sbin/request-key is there");
}

/* The rule that request-key(8) takes. */
typedef struct Choice {
    RuleMatch best;
    bool found;
    char path[DOCTOR_PATH_MAX];    /* of its file */
    char invalid[DOCTOR_PATH_MAX]; /* "/FILE:LINE" of a line that stops request-key(8), or "" */
} Choice;

static void read_rules(const Doctor *d, const char *path, const RequestKey *request, Choice *c)
{
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
    unsigned number = 0;
    const char *p, *line;
    size_t length;

    if (doctor_read(d->root, path, DOCTOR_FILE_MAX, &f) < 0)
        return;
    for (p = f.text; line_next(&p, &line, &length);) {
        RuleMatch m = {.program = ""};
        RuleResult r = rule_match(line, length, request, &m);

        number++;
        if (r == RULE_INVALID && !c->invalid[0])
            (void)snprintf(c->invalid, sizeof(c->invalid), "/%.*s:%u", DOCTOR_PATH_MAX - 16, path,
                           number);
        if (r != RULE_MATCHES || (c->found && !rule_is_better(&m, &c->best)))
            continue;
        c->best = m;
        c->found = true;
        (void)snprintf(c->path, sizeof(c->path), "%s", path);
    }
}

static int choose(const Doctor *d, const RequestKey *request, Choice *c)
{
    _cleanup_(doctor_names_done) DoctorNames names = {NULL, 0};
    int r = doctor_names_unsorted(d->root, DIRECTORY, ".conf", &names);

    for (size_t i = 0; i < names.n; i++) {
        char path[DOCTOR_PATH_MAX];

        (void)snprintf(path, sizeof(path), DIRECTORY "/%s", names.items[i]);
        read_rules(d, path, request, c);
    }
    read_rules(d, MAIN_FILE, request, c);
    return r;
}

static bool is_ours(const char *program)
{
    const char *slash = strrchr(program, '/');

    return strcmp(slash ? slash + 1 : program, SHIM) == 0;
}

static void judge(Doctor *d, const RequestKey *request, const Choice *c)
{
    char text[2 * DOCTOR_PATH_MAX];

    if (c->invalid[0]) {
        (void)snprintf(text, sizeof(text), "request-key stops at the invalid line %s", c->invalid);
        bad(d, "correct that line, see request-key.conf(5)", text);
    } else if (!c->found) {
        (void)snprintf(text, sizeof(text), "there is no rule for requests of type %s",
                       request->type);
        bad(d, "install nvme-keyd again: /" OUR_FILE " is missing", text);
    } else if (!is_ours(c->best.program)) {
        (void)snprintf(text, sizeof(text), "a rule in /%s takes requests of type %s from ours",
                       c->path, request->type);
        bad(d, "make that rule narrower, or remove it", text);
    } else if (c->best.program[0] != '/' || faccessat(d->root, c->best.program + 1, X_OK, 0) < 0) {
        (void)snprintf(text, sizeof(text), "%s is missing", c->best.program);
        bad(d, "install nvme-keyd again", text);
    }
}

void check_request_key_rule(Doctor *d)
{
    static const RequestKey requests[] = {
        {"create", NAMES_KEY_TYPE, "NVMe1R01 nqn.2014-08.host nqn.2014-08.subsystem", ""},
        {"create", "user", NAMES_PAIR_REQUEST "nqn.2014-08.host nqn.2014-08.subsystem", ""},
    };

    for (size_t i = 0; doctor_is_fine(d) && i < ARRAY_SIZE(requests); i++) {
        Choice c = {.found = false};

        if (choose(d, &requests[i], &c) < 0) {
            d->out_of_memory = true;
            return;
        }
        judge(d, &requests[i], &c);
    }
    if (doctor_is_fine(d))
        doctor_ok(d, "requests of the kernel go to our program");
}
