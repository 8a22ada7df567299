/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/text.h"
#include "nvme-keyctl/doctor/files.h"
#include "nvme-keyctl/doctor/pairs.h"
#include "nvme-keyctl/doctor/private.h"
#include "psk/hostnqn.h"
#include "psk/nqn.h"

/* The NQN of this host, which is a part of the identity of its keys. */

#define HOSTNQN_FILE "etc/nvme/hostnqn"
#define UUID_NQN "nqn.2014-08.org.nvmexpress:uuid:"

void doctor_hostnqn(const Doctor *d, char ret[static NQN_LENGTH_MAX + 2])
{
    if (io_read_line_at(d->root, HOSTNQN_FILE, ret, NQN_LENGTH_MAX + 2) < 0)
        ret[0] = '\0';
}

static bool has_upper_case_uuid(const char *nqn)
{
    const char *uuid = strncasecmp(nqn, UUID_NQN, strlen(UUID_NQN)) == 0 ? nqn : NULL;

    for (; uuid && *uuid; uuid++)
        if (*uuid >= 'A' && *uuid <= 'Z')
            return true;
    return false;
}

static void check_text(Doctor *d, const char *hostnqn)
{
    _cleanup_(freep) char *detail = NULL;

    if (nqn_check_text(hostnqn, "host NQN of " NAMES_HOSTNQN_FILE, &detail) < 0)
        doctor_fail(d, "nvme gen-hostnqn >" NAMES_HOSTNQN_FILE, "%s",
                    detail ? detail : "the host NQN is invalid");
    else if (has_upper_case_uuid(hostnqn))
        doctor_warn(d,
                    "write it in lower case here, in the keys and in allowed_hosts of the targets",
                    "the host NQN %s has upper-case letters, and the UUID of another program may "
                    "not",
                    hostnqn);
    else
        doctor_ok(d, "%s", hostnqn);
}

void check_hostnqn(Doctor *d)
{
    _cleanup_(pairs_done) Pairs pairs = {NULL, 0};
    char hostnqn[NQN_LENGTH_MAX + 2];
    int r = io_read_line_at(d->root, HOSTNQN_FILE, hostnqn, sizeof(hostnqn));

    if (pairs_read(d, true, &pairs) < 0) {
        d->out_of_memory = true;
        return;
    }
    if (r == 0)
        check_text(d, hostnqn);
    else if (r == -ENOENT && pairs.n == 0 && doctor_is_target(d))
        doctor_ok(d, "there is none, and a target needs none");
    else
        doctor_fail(d, "nvme gen-hostnqn >" NAMES_HOSTNQN_FILE,
                    "there is no host NQN in " NAMES_HOSTNQN_FILE " (%s)",
                    r == -ENODATA ? "it is empty" : strerror(-r));
}

/* True if the configuration of nvme-cli has this NQN for a host. */
static bool is_persona(const Doctor *d, const char *hostnqn)
{
    for (size_t i = 0; i < d->configured.n; i++)
        if (strcmp(d->configured.items[i].hostnqn, hostnqn) == 0)
            return true;
    return false;
}

void check_hostnqn_config(Doctor *d)
{
    const char *last = "";
    char hostnqn[NQN_LENGTH_MAX + 2];

    doctor_hostnqn(d, hostnqn);
    if (d->configured.unreadable[0])
        doctor_warn(d, "correct the file, or run nvme-keyctl doctor as root", "%s cannot be read",
                    d->configured.unreadable);
    for (size_t i = 0; hostnqn[0] && i < d->configured.n; i++) {
        const char *other = d->configured.items[i].hostnqn;

        /* The entries of a host stand together. */
        if (!other[0] || strcmp(other, hostnqn) == 0 || strcmp(other, last) == 0)
            continue;
        last = other;
        if (strcasecmp(other, hostnqn) == 0)
            doctor_fail(d, "write it the same in both files",
                        "%s of the configuration of nvme-cli differs from " NAMES_HOSTNQN_FILE
                        " in its case",
                        other);
        else
            doctor_warn(d, "add keys for it by nvme-keyctl add --hostnqn=, or correct the file",
                        "the configuration of nvme-cli has another host NQN: %s", other);
    }
    if (doctor_is_fine(d))
        doctor_ok(d, d->configured.n > 0 ? "the configuration of nvme-cli has the same host NQN"
                                         : "the configuration of nvme-cli has no host NQN");
}

/* Both in "HOSTNQN SUBNQN". */
static bool is_same_host(const char *a, const char *b)
{
    size_t n = strcspn(a, " ");

    return strncmp(a, b, n) == 0 && b[n] == ' ';
}

static void judge_key(Doctor *d, const char *other, const char *hostnqn)
{
    if (strcasecmp(other, hostnqn) == 0)
        doctor_fail(d, "add the key again by nvme-keyctl add, and remove the other one",
                    "the keys of host %s are not found by this host, whose NQN differs in its case",
                    other);
    else if (!is_persona(d, other))
        doctor_warn(d, "nvme connect --hostnqn=, or add the keys again without --hostnqn=",
                    "there are keys of host %s, which this machine is not", other);
}

void check_hostnqn_keys(Doctor *d)
{
    _cleanup_(pairs_done) Pairs pairs = {NULL, 0};
    char hostnqn[NQN_LENGTH_MAX + 2];

    if (!doctor_needs_keys(d))
        return;
    if (pairs_read(d, true, &pairs) < 0) {
        d->out_of_memory = true;
        return;
    }
    doctor_hostnqn(d, hostnqn);
    for (size_t i = 0; hostnqn[0] && i < pairs.n; i++) {
        const char *other = json_string_or(pairs.items[i].key, "hostNQN", "");

        if (strcmp(other, hostnqn) != 0 &&
            (i == 0 || !is_same_host(pairs.items[i].text, pairs.items[i - 1].text)))
            judge_key(d, other, hostnqn);
    }
    if (doctor_is_fine(d))
        doctor_ok(d, "%zu keys of this host", pairs.n);
}
