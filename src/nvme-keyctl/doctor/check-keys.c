/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "basic/macro.h"
#include "basic/names.h"
#include "basic/text.h"
#include "nvme-keyctl/doctor/files.h"
#include "nvme-keyctl/doctor/limits.h"
#include "nvme-keyctl/doctor/pairs.h"
#include "nvme-keyctl/doctor/parse.h"
#include "nvme-keyctl/doctor/private.h"

/* The keys: whether the kernel has them, and finds the right one. */

void check_keys_published(Doctor *d)
{
    _cleanup_(pairs_done) Pairs host = {NULL, 0}, target = {NULL, 0};
    uint64_t missing = doctor_count(d->status, "missing"),
             expired = doctor_count(d->status, "expired");
    char remedy[NQN_LENGTH_MAX + 64];

    if (!doctor_needs_status(d) || !doctor_needs_keys(d))
        return;
    if (pairs_read(d, true, &host) < 0 || pairs_read(d, false, &target) < 0) {
        d->out_of_memory = true;
        return;
    }
    (void)snprintf(remedy, sizeof(remedy), "nvme-keyctl add --subsysnqn=%.*s", NQN_LENGTH_MAX,
                   d->subsysnqn ? d->subsysnqn : "NQN");
    if (missing > 0)
        doctor_fail(d, "nvme-keyctl sync, then nvme-keyctl status",
                    "%llu keys are not in the keyring", (unsigned long long)missing);
    if (host.n + target.n == 0 && d->subsysnqn)
        doctor_fail(d, remedy, "there is no active key for %s", d->subsysnqn);
    else if (host.n + target.n == 0)
        doctor_warn(d, remedy, "there is no active key yet");
    if (expired > 0)
        doctor_warn(d, "nvme-keyctl list, then nvme-keyctl rotate ID",
                    "%llu keys are past the end of their lifetime", (unsigned long long)expired);
    if (doctor_is_fine(d))
        doctor_ok(d, "%zu active keys, none is missing in the keyring",
                  CONST_MAX(host.n, target.n));
}

/* The kernel takes any of several, and a target accepts one. */
void check_keys_one(Doctor *d)
{
    _cleanup_(pairs_done) Pairs p = {NULL, 0};

    if (!doctor_needs_keys(d))
        return;
    if (pairs_read(d, true, &p) < 0) {
        d->out_of_memory = true;
        return;
    }
    for (size_t i = 1; i < p.n; i++) {
        char remedy[64];

        if (strcmp(p.items[i].text, p.items[i - 1].text) != 0)
            continue;
        (void)snprintf(remedy, sizeof(remedy), "nvme-keyctl retire %.20s",
                       json_string_or(p.items[i].key, "id", "ID"));
        doctor_fail(d, remedy, "this host has two active keys for %s",
                    json_string_or(p.items[i].key, "subsystemNQN", ""));
    }
    if (doctor_is_fine(d))
        doctor_ok(d, "this host has one key for each of %zu subsystems", p.n);
}

/* The livepatch makes the kernel compare whole NQNs. */
static bool kernel_compares_ends(const Doctor *d)
{
    return doctor_exists(d->root, &NAMES_LIVEPATCH_MATCH[1]) ||
           doctor_exists(d->root, &NAMES_LIVEPATCH_MATCH_BUILT_IN[1]);
}

void check_keys_shadow(Doctor *d)
{
    _cleanup_(pairs_done) Pairs p = {NULL, 0};
    bool compares_ends = kernel_compares_ends(d);

    if (!doctor_needs_keys(d))
        return;
    if (pairs_read(d, true, &p) < 0) {
        d->out_of_memory = true;
        return;
    }
    for (size_t i = 1; i < p.n && !compares_ends; i++) {
        const char *rest = text_after(p.items[i].text, p.items[i - 1].text);

        if (rest && *rest)
            doctor_warn(d, "name one of the subsystems otherwise, or install kernel/ (README.md)",
                        "for %s the kernel may take the key of %s, whose NQN begins with it",
                        json_string_or(p.items[i - 1].key, "subsystemNQN", ""),
                        json_string_or(p.items[i].key, "subsystemNQN", ""));
    }
    if (doctor_is_fine(d))
        doctor_ok(d, "no NQN of a subsystem begins with another one");
}

static void report_rivals(Doctor *d, json_object *key)
{
    json_object *rivals = NULL;
    char remedy[64];

    if (json_get_array(key, "rivals", &rivals) <= 0)
        return;
    for (size_t i = 0; i < json_object_array_length(rivals); i++) {
        int64_t serial = json_object_get_int64(json_object_array_get_idx(rivals, i));

        (void)snprintf(remedy, sizeof(remedy), "keyctl unlink %lld %%:" NAMES_RING,
                       (long long)serial);
        doctor_fail(d, remedy,
                    "the kernel could take a key of another program (%08llx) for that of %s",
                    (unsigned long long)serial, json_string_or(key, "subsystemNQN", ""));
    }
}

void check_keys_foreign(Doctor *d)
{
    json_object *problems = NULL;

    if (!doctor_needs_status(d) || !doctor_needs_keys(d))
        return;
    for (size_t i = 0; i < json_object_array_length(d->keys); i++) {
        json_object *key = json_object_array_get_idx(d->keys, i);

        if (doctor_key_is(d, key, true) || doctor_key_is(d, key, false))
            report_rivals(d, key);
    }
    /* The same faults in words, and others. */
    (void)json_get_array(doctor_status(d, "keyring"), "problems", &problems);
    for (size_t i = 0; doctor_is_fine(d) && problems && i < json_object_array_length(problems); i++)
        doctor_warn(d, "nvme-keyctl status", "%s",
                    json_object_get_string(json_object_array_get_idx(problems, i)));
    if (doctor_is_fine(d))
        doctor_ok(d, "no key of another program stands beside ours");
}

static void find_library(const Doctor *d, const char *directory, unsigned *version)
{
    _cleanup_(doctor_names_done) DoctorNames names = {NULL, 0};

    if (doctor_names(d->root, directory, "", &names) < 0)
        return;
    for (size_t i = 0; i < names.n; i++) {
        const char *text = text_after(names.items[i], "libnvme.so.");

        /* The last one of several is the newest. */
        if (text && strchr(text, '.'))
            *version = CONST_MAX(*version, version_parse(text));
    }
}

/* 0 if there is none. The file is libnvme.so.VERSION. */
static unsigned libnvme_version(const Doctor *d)
{
    static const char *const places[] = {"usr/lib/x86_64-linux-gnu",
                                         "usr/lib/aarch64-linux-gnu",
                                         "usr/lib/arm-linux-gnueabihf",
                                         "usr/lib/i386-linux-gnu",
                                         "usr/lib/powerpc64le-linux-gnu",
                                         "usr/lib/riscv64-linux-gnu",
                                         "usr/lib/s390x-linux-gnu",
                                         "usr/lib64",
                                         "usr/lib",
                                         "usr/local/lib",
                                         "usr/local/lib64"};
    unsigned version = 0;

    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        find_library(d, places[i], &version);
    return version;
}

/* The derivation of a libnvme (docs of --derivation=), or NULL if ours has none like it. */
static const char *derivation_of(unsigned libnvme, unsigned openssl)
{
    if (libnvme >= VERSION(1, 16, 0))
        return "rfc8446";
    if (libnvme < VERSION(1, 11, 0))
        return NULL;
    return openssl >= 0x30301 ? "compat" : "lastfrag";
}

/* The same for people. Before 1.7 it knew no identity of version 1. */
static const char *derivation_text(unsigned libnvme, const char *derivation)
{
    if (derivation)
        return derivation;
    return libnvme < VERSION(1, 7, 0) ? "identity version 0 only, by no standard"
                                      : "by no standard";
}

/* A key that has worked is right, whatever libnvme would make of its PSK. */
static bool is_unproven(const Doctor *d, json_object *key, const char *derivation)
{
    return doctor_key_is(d, key, true) && doctor_count(key, "confirmed") == 0 &&
           json_string_or(key, "derivation", "")[0] &&
           (!derivation || strcmp(json_string_or(key, "derivation", ""), derivation) != 0);
}

void check_keys_derivation(Doctor *d)
{
    unsigned version = libnvme_version(d);
    const char *derivation = derivation_of(version, d->openssl_version);
    char text[VERSION_TEXT_SIZE];
    json_object *first = NULL;
    size_t n = 0;

    if (!doctor_needs_keys(d))
        return;
    if (version == 0) {
        doctor_ok(d, "libnvme is not installed, so the keys are compared with none");
        return;
    }
    for (size_t i = 0; i < json_object_array_length(d->keys); i++) {
        json_object *key = json_object_array_get_idx(d->keys, i);

        if (is_unproven(d, key, derivation)) {
            first = first ? first : key;
            n++;
        }
    }
    (void)version_format(version, text);
    if (n > 0)
        doctor_warn(
            d,
            "if a target refuses them: nvme-keyctl identity --match=DIGEST, with the digest "
            "in its log, then nvme-keyctl rotate ID --same-psk --derivation=",
            "%zu keys that have not worked yet (the first is %s) are derived otherwise (%s) "
            "than by libnvme %s (%s)",
            n, json_string_or(first, "id", "?"), json_string_or(first, "derivation", "?"), text,
            derivation_text(version, derivation));
    else
        doctor_ok(d, "the keys are derived as by libnvme %s, or have worked", text);
}

void check_controllers(Doctor *d)
{
    json_object *controllers = doctor_status(d, "controllers"), *problems = NULL;
    uint64_t old = doctor_count(controllers, "old");

    if (!doctor_needs_status(d))
        return;
    (void)json_get_array(controllers, "problems", &problems);
    for (size_t i = 0; problems && i < json_object_array_length(problems); i++)
        doctor_fail(d, "nvme-keyctl move --stalled", "%s",
                    json_object_get_string(json_object_array_get_idx(problems, i)));
    if (old > 0)
        doctor_warn(d, "nvme-keyctl move", "%llu controllers use an old key",
                    (unsigned long long)old);
    if (doctor_is_fine(d))
        doctor_ok(d, "%llu controllers with TLS",
                  (unsigned long long)doctor_count(controllers, "total"));
}
