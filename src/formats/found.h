/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/secret.h"
#include "formats/limits.h"
#include "psk/interchange.h"

/*
 * One PSK as a file has it. The reader of a format calls a FoundFn for each, in the order of
 * the file.
 */

typedef enum FoundKind {
    FOUND_PSK,        /* psk is set */
    FOUND_CREDENTIAL, /* the PSK is in a credential of systemd, in the interchange format */
    FOUND_OTHER,      /* no PSK: a secret of another kind, or a key that is elsewhere; see text */
    FOUND_FAULT,      /* this place is wrong, see text */
} FoundKind;

/* All members are borrowed for the time of the call. */
typedef struct Found {
    FoundKind kind;
    size_t line;        /* from 1; 0 if it is not known */
    size_t source_line; /* another line that belongs to it, or 0 */
    /* The file need not have the names of the pair: NULL. With an identity both are set. */
    const char *hostnqn, *subsysnqn;
    const char *identity; /* psk is the TLS PSK that was derived for it; else a configured PSK */
    PskHash hash;
    const Secret *psk;
    const char *credential; /* its name */
    const char *text;
} Found;

/* Returns 0, or another value, which ends reading and is returned by the reader. */
typedef int (*FoundFn)(const Found *found, void *userdata);

/* A part of a file. */
typedef struct Part {
    const char *text; /* NULL for none */
    size_t length;
} Part;

/* A key of a configuration, with its neighbours in the file. */
typedef struct FoundKey {
    size_t line, source_line;
    Part hostnqn, subsysnqn;
    Part key;      /* a PSK, a serial in the keyring, or the name of a credential */
    Part identity; /* or none */
    Part source;   /* key-source=, or none */
} FoundKey;

/* Reports a fault or an entry of another kind. */
int found_note(FoundKind kind, size_t line, const char *text, FoundFn fn, void *userdata);

/* Parses and reports a key as libnvme understands it: with an identity, and a hash in the key, it
 * is the TLS PSK of that identity, otherwise a configured PSK. Returns what fn returns, or -ENOMEM.
 */
int found_report(const FoundKey *key, FoundFn fn, void *userdata);
