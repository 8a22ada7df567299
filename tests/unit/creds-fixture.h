/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "basic/json.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/creds/creds.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/seal-type.h"

/*
 * A made-up service and program of systemd, which record the calls that they get. A made-up
 * credential is its type, eight bytes, and the key in plain text.
 */

#define ID_SIZE 16

extern const uint8_t host_id[ID_SIZE], null_id[ID_SIZE];
/* The keys that service and program return. */
extern const char service_key[STORE_KEY_SIZE + 1], program_key[STORE_KEY_SIZE + 1];

/* The behaviour of the service. start_service() copies it into a child. */
typedef struct Service {
    const uint8_t *id;
    const char *error; /* replaces any reply */
    int error_number;
    json_object *reply; /* replaces any reply */
    bool without_methods, old;
} Service;

extern Service service;

typedef struct Fake {
    char dir[64], socket[96], program[96], secret[96], machine_id[96];
    int listener;
    pid_t pid;
    Creds creds;
} Fake;

/* Makes the directory, without service and program. Like the functions below, abort()s on
 * errors. */
void fake_init(Fake *f);
void fake_done(Fake *f);

/* Binds the socket of the service, which nothing serves. */
void open_socket(Fake *f);
void start_service(Fake *f);

/* Makes a program that records its arguments and runs body, with the verb in $1. */
void write_program(const Fake *f, const char *body);
void write_file(const Fake *f, const char *name, const char *text, mode_t mode);
/* True if the file has exactly this text; text NULL: if there is no such file. */
bool file_is(const Fake *f, const char *name, const char *text);

#define CALL_ENCRYPT(key) "encrypt --name=nvme-keyd.kek --with-key=" key " --tpm2-pcrs= - -\n"
#define CALL_DECRYPT "decrypt --name=nvme-keyd.kek - -\n"
#define CALL_DECRYPT_NULL "decrypt --name=nvme-keyd.kek --allow-null - -\n"
#define GIVES_KEY "printf 'the key that the program gives..'"

/* A slot with a credential of that type, which holds size bytes of a key. */
json_object *make_slot(const uint8_t *id, const char *key, size_t size);
json_object *host_slot(void);
bool is_key(const Secret *kek, const char *key);

extern const SlotOptions no_options, null_allowed;

#define FAKE                                                                                       \
    _cleanup_(json_putp) _unused_ json_object *slot = host_slot();                                 \
    _cleanup_(secret_freep) _unused_ Secret *got = NULL;                                           \
    _cleanup_(freep) _unused_ char *detail = NULL;                                                 \
    _cleanup_(fake_done) Fake f = {.dir = ""};                                                     \
    fake_init(&f)
