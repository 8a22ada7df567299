/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "basic/macro.h"
#include "nvme-keyctl/doctor/files.h"
#include "nvme-keyctl/doctor/limits.h"
#include "nvme-keyctl/doctor/pairs.h"
#include "nvme-keyctl/doctor/parse.h"
#include "nvme-keyctl/doctor/private.h"

/* The kernel's target, as configfs shows it. */

#define TARGET "sys/kernel/config/nvmet"

/* Room for a path with two NQNs. */
#define TARGET_PATH_MAX 640

static void read_port(const Doctor *d, const char *port, const char *attribute, char *ret,
                      size_t size)
{
    char path[DOCTOR_PATH_MAX];

    (void)snprintf(path, sizeof(path), TARGET "/ports/%s/%s", port, attribute);
    doctor_read_word(d->root, path, ret, size);
}

static void check_port(Doctor *d, const char *port, size_t *n)
{
    char type[16], tsas[32], treq[32], remedy[DOCTOR_PATH_MAX];

    read_port(d, port, "addr_trtype", type, sizeof(type));
    read_port(d, port, "addr_tsas", tsas, sizeof(tsas));
    read_port(d, port, "addr_treq", treq, sizeof(treq));
    if (strcmp(type, "tcp") != 0)
        return;
    (*n)++;
    if (strcmp(tsas, "tls1.3") != 0) {
        (void)snprintf(remedy, sizeof(remedy),
                       "remove the links in /" TARGET "/ports/%s/subsystems, write tls1.3 into "
                       "addr_tsas beside it, and make the links again",
                       port);
        doctor_warn(d, remedy, "port %s of the target takes connections without TLS (%s)", port,
                    tsas[0] ? tsas : "addr_tsas cannot be read");
    } else if (strcmp(treq, "required") != 0 && treq[0]) {
        (void)snprintf(remedy, sizeof(remedy),
                       "echo required >/" TARGET "/ports/%s/addr_treq, while it has no links",
                       port);
        doctor_warn(d, remedy, "port %s of the target does not require TLS (addr_treq is \"%s\")",
                    port, treq);
    }
}

void check_target_ports(Doctor *d)
{
    _cleanup_(doctor_names_done) DoctorNames ports = {NULL, 0};
    size_t n = 0;

    if (doctor_names(d->root, TARGET "/ports", "", &ports) < 0) {
        d->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < ports.n; i++)
        check_port(d, ports.items[i], &n);
    if (n == 0)
        doctor_ok(d, "this machine has no target of NVMe/TCP");
    else if (doctor_is_fine(d))
        doctor_ok(d, "%zu ports of NVMe/TCP, all with TLS", n);
}

static bool allows_any(const Doctor *d, const char *subsysnqn)
{
    char path[TARGET_PATH_MAX], word[8];

    (void)snprintf(path, sizeof(path), TARGET "/subsystems/%s/attr_allow_any_host", subsysnqn);
    doctor_read_word(d->root, path, word, sizeof(word));
    return strcmp(word, "1") == 0;
}

static void check_host(Doctor *d, const char *hostnqn, const char *subsysnqn)
{
    char path[TARGET_PATH_MAX], remedy[2 * TARGET_PATH_MAX];

    /* Names of directories have no slash. */
    if (strchr(hostnqn, '/') || strchr(subsysnqn, '/'))
        return;
    (void)snprintf(path, sizeof(path), TARGET "/subsystems/%s", subsysnqn);
    if (!doctor_exists(d->root, path)) {
        doctor_warn(d, "remove the key, or configure the subsystem",
                    "there is a key for the subsystem %s, which the target does not have",
                    subsysnqn);
        return;
    }
    (void)snprintf(path, sizeof(path), TARGET "/subsystems/%s/allowed_hosts/%s", subsysnqn,
                   hostnqn);
    if (doctor_exists(d->root, path) || allows_any(d, subsysnqn))
        return;
    (void)snprintf(remedy, sizeof(remedy),
                   "mkdir -p /" TARGET "/hosts/%s && ln -s /" TARGET "/hosts/%s /" TARGET
                   "/subsystems/%s/allowed_hosts/",
                   hostnqn, hostnqn, subsysnqn);
    doctor_fail(d, remedy, "the target has a key for host %s, and does not allow it to use %s",
                hostnqn, subsysnqn);
}

void check_target_hosts(Doctor *d)
{
    _cleanup_(pairs_done) Pairs p = {NULL, 0};

    if (!doctor_exists(d->root, TARGET "/subsystems")) {
        doctor_ok(d, "this machine has no target");
        return;
    }
    if (!doctor_needs_keys(d))
        return;
    if (pairs_read(d, false, &p) < 0) {
        d->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < p.n; i++)
        if (i == 0 || strcmp(p.items[i].text, p.items[i - 1].text) != 0)
            check_host(d, json_string_or(p.items[i].key, "hostNQN", ""),
                       json_string_or(p.items[i].key, "subsystemNQN", ""));
    if (doctor_is_fine(d))
        doctor_ok(d, "the hosts with a key of the target are allowed (%zu keys)", p.n);
}

/* The kernel's target accepts 128 connections at a time on each port; each host makes one for each
 * of its queues. */
void check_target_backlog(Doctor *d)
{
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
    uint64_t n = 0;

    if (!doctor_is_target(d)) {
        doctor_ok(d, "this machine has no target");
        return;
    }
    if (doctor_read(d->root, "proc/net/netstat", DOCTOR_FILE_MAX, &f) < 0 ||
        !netstat_get(f.text, "TcpExt:", "ListenOverflows", &n))
        doctor_warn(d, "nstat -az TcpExtListenOverflows",
                    "the counter of refused connections "
                    "cannot be read");
    else if (n > 0)
        doctor_warn(d, "fewer queues on the hosts (nvme connect --nr-io-queues=), or more ports",
                    "%llu connections to this machine were dropped since boot because too many "
                    "came at once; hosts try again",
                    (unsigned long long)n);
    else
        doctor_ok(d, "no connection was dropped for too many at once");
}
