/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/controllers/controllers.h"
#include "nvme-keyd/manager/manager.h"
#include "psk/limits.h"

/* What this machine shows of its part in a pair of host and subsystem, for a key of another
 * program, which does not say whose it is. */
typedef struct RoleEvidence {
    char own[NQN_LENGTH_MAX + 2]; /* the host NQN of this machine, empty if it has none */
    ControllerList controllers;   /* of this host */
    int target;                   /* the directory of the target's subsystems, -1 for no target */
} RoleEvidence;

/* Reads it; what cannot be read is no evidence. Release with role_evidence_done(). */
void role_evidence_read(const Manager *m, RoleEvidence *ret);
void role_evidence_done(const RoleEvidence *e);

/* The part in a pair: host, if the host NQN is that of this machine or a controller of the pair is
 * here; target, if the target of this machine has the subsystem; both. Without any such sign: that
 * of a target, if this machine is one, and otherwise that of a host. */
KeyRole role_evidence_judge(const RoleEvidence *e, const char *hostnqn, const char *subsysnqn);
