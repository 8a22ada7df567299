/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "nvme-keyctl/doctor/doctor.h"
#include "psk/limits.h"

/* Shared by the checks. */

/* Adds a line to the present check. Control characters of a text are replaced, because it may come
 * from a file. remedy is copied. A lack of memory ends the run. */
void doctor_ok(Doctor *d, const char *format, ...) _printf_(2, 3);
void doctor_warn(Doctor *d, const char *remedy, const char *format, ...) _printf_(3, 4);
void doctor_fail(Doctor *d, const char *remedy, const char *format, ...) _printf_(3, 4);

/* True if the present check has only good lines. */
bool doctor_is_fine(const Doctor *d);

/* The unit of this name, or NULL if its state is unknown or there is none. */
const DoctorUnit *doctor_unit(const Doctor *d, const char *name);
bool doctor_unit_is_active(const Doctor *d, const char *name);
/* Enabled in any way, also for this boot only. */
bool doctor_unit_is_enabled(const Doctor *d, const char *name);

/* A member of Status, or NULL. */
json_object *doctor_status(const Doctor *d, const char *member);
/* A number of an object, 0 if there is none. */
uint64_t doctor_count(json_object *o, const char *member);

/* True if a key of List is to be checked: active, of d->subsysnqn, and for a host, or for a
 * target. */
bool doctor_key_is(const Doctor *d, json_object *key, bool of_host);

/* True if this machine has a target, or keys of one. */
bool doctor_is_target(const Doctor *d);

/* The release of the running kernel, "" if it is unknown. */
#define DOCTOR_RELEASE_SIZE 128
void doctor_kernel_release(const Doctor *d, char ret[static DOCTOR_RELEASE_SIZE]);

/* Reads the NQN of this host, "" if there is none. */
void doctor_hostnqn(const Doctor *d, char ret[static NQN_LENGTH_MAX + 2]);

/* False, with a line that says so, if nvme-keyd has given no status, or no keys. */
bool doctor_needs_status(Doctor *d);
bool doctor_needs_keys(Doctor *d);

/* One function for each check. */
void check_kernel_version(Doctor *d);
void check_kernel_options(Doctor *d);
void check_keyring(Doctor *d);
void check_modules(Doctor *d);
void check_tls(Doctor *d);
void check_modules_load(Doctor *d);
void check_modprobe(Doctor *d);
void check_key_quota(Doctor *d);

void check_tlshd_program(Doctor *d);
void check_tlshd_config(Doctor *d);
void check_tlshd_service(Doctor *d);
void check_tlshd_keyring(Doctor *d);

void check_hostnqn(Doctor *d);
void check_hostnqn_config(Doctor *d);
void check_hostnqn_keys(Doctor *d);

void check_daemon(Doctor *d);
void check_units(Doctor *d);
void check_preload(Doctor *d);
void check_store(Doctor *d);
void check_slots(Doctor *d);
void check_recovery_slot(Doctor *d);
void check_machine_id(Doctor *d);
void check_configuration(Doctor *d);
void check_clock(Doctor *d);

void check_keys_published(Doctor *d);
void check_keys_one(Doctor *d);
void check_keys_shadow(Doctor *d);
void check_keys_foreign(Doctor *d);
void check_keys_derivation(Doctor *d);
void check_controllers(Doctor *d);

void check_discovery_key(Doctor *d);
void check_udev_rule(Doctor *d);
void check_keysd(Doctor *d);

void check_request_key(Doctor *d);
void check_request_key_rule(Doctor *d);

void check_target_ports(Doctor *d);
void check_target_hosts(Doctor *d);
void check_target_backlog(Doctor *d);

void check_key_file_mode(Doctor *d);
void check_secrets_in_files(Doctor *d);
void check_secrets_in_arguments(Doctor *d);

void check_handshakes(Doctor *d);
