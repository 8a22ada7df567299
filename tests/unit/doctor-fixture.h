/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyctl/doctor/doctor.h"

/* A machine below a directory, host and target, on which all is well, and what nvme-keyd, the
 * service manager and the journal say about it. All of these abort() on errors. */

#define MACHINE_HOST "nqn.2014-08.org.nvmexpress:uuid:0d4e0c5a-70a4-4b5e-9a5c-2f6f2a1b3c4d"
#define MACHINE_SUB "nqn.2024-01.com.example:storage"
/* A key of List. */
#define MACHINE_KEY(id, role, host, sub, more)                                                     \
    "{\"id\":\"" id "\",\"state\":\"active\",\"role\":\"" role "\",\"hostNQN\":\"" host            \
    "\",\"subsystemNQN\":\"" sub "\",\"derivation\":\"rfc8446\"" more "}"
#define MACHINE_HOST_KEY MACHINE_KEY("5f0c2ab19c3e7d44", "host", MACHINE_HOST, MACHINE_SUB, "")
/* 32 bytes, with their checksum. */
#define MACHINE_PSK "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:"

typedef struct Machine {
    char dir[32];
    Doctor d;
    DoctorUnit units[5];
} Machine;

Machine *machine_new(void);
void machine_free(Machine *m);
static inline void machine_freep(Machine **m)
{
    machine_free(*m);
}

/* Makes a file, with its directories, or removes it if text is NULL. */
void machine_write(const Machine *m, const char *path, const char *text);
/* Makes a symbolic link, with its directories. */
void machine_link(const Machine *m, const char *path, const char *target);
/* Removes a file, or a directory with all that is in it. */
void machine_remove(const Machine *m, const char *path);
void machine_chmod(const Machine *m, const char *path, unsigned mode);
/* Replaces a member of Status, or removes it if text is NULL. */
void machine_status(Machine *m, const char *member, const char *text);
/* Replaces all keys: a JSON array, or NULL if there is no list. */
void machine_keys(Machine *m, const char *text);
/* Replaces the reply of ListSlots. */
void machine_slots(Machine *m, const char *text);
DoctorUnit *machine_unit(Machine *m, const char *name);
/* Adds a message to the journal. */
void machine_message(Machine *m, const char *text);
/* nvme-keyd does not answer. */
void machine_without_daemon(Machine *m);

/* Runs all checks, and returns the worst result of one. */
DoctorResult machine_check(Machine *m, const char *check);
/* Same, and "" if a line of the check has this text, or else what it has; for ASSERT_STR(). */
const char *machine_lacks(Machine *m, const char *check, DoctorResult result, const char *text);
