/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "credstore/slot.h"

const SlotType *const slot_types[] = {&slot_tpm2, &slot_systemd_creds, NULL};
