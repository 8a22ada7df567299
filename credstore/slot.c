/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "credstore/slot.h"

/* systemd-creds comes first as long as a store has one slot: tpm2 binds to PCR 7, and an update of
 * the Secure Boot database would lock the only key away. */
const SlotType *const slot_types[] = {&slot_systemd_creds, &slot_tpm2, NULL};
