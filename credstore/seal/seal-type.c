/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "credstore/seal/seal-type.h"

/* A new store gets a slot of each type that works here. tpm2 opens it in an initramfs, where there
 * is no host key; systemd-creds still opens it after an update of the Secure Boot database, which
 * changes the PCR that tpm2 is bound to. */
const SlotType *const slot_types[] = {&slot_tpm2, &slot_systemd_creds, &slot_recovery, NULL};
