/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>

#include "basic/io.h"
#include "basic/names.h"
#include "nvme-keyd/manager/controllers.h"
#include "nvme-keyd/manager/manager-private.h"
#include "nvme-keyd/manager/role-evidence.h"
#include "psk/hostnqn.h"

void role_evidence_read(const Manager *m, RoleEvidence *ret)
{
    const char *target =
        manager_system_path(m, NAMES_ENV_TARGET_SUBSYSTEMS, NAMES_TARGET_SUBSYSTEMS);
    _cleanup_(freep) char *detail = NULL;

    *ret = (RoleEvidence){.target = -1};
    if (hostnqn_read(ret->own, &detail) < 0)
        ret->own[0] = '\0';
    if (manager_read_controllers(m, &ret->controllers) < 0)
        ret->controllers = (ControllerList){NULL, 0};
    if (target)
        ret->target = open(target, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

void role_evidence_done(const RoleEvidence *e)
{
    controller_list_done(&(ControllerList){e->controllers.items, e->controllers.n});
    if (e->target >= 0)
        close(e->target);
}

static bool has_controller(const ControllerList *l, const char *hostnqn, const char *subsysnqn)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->items[i].hostnqn, hostnqn) == 0 &&
            strcmp(l->items[i].subsysnqn, subsysnqn) == 0)
            return true;
    return false;
}

KeyRole role_evidence_judge(const RoleEvidence *e, const char *hostnqn, const char *subsysnqn)
{
    bool is_host =
        strcmp(hostnqn, e->own) == 0 || has_controller(&e->controllers, hostnqn, subsysnqn);
    /* A name of a directory has no slash, so such an NQN cannot be there. */
    bool is_target =
        e->target >= 0 && !strchr(subsysnqn, '/') && faccessat(e->target, subsysnqn, F_OK, 0) == 0;

    if (is_host && is_target)
        return KEY_ROLE_BOTH;
    if (is_host || is_target)
        return is_host ? KEY_ROLE_HOST : KEY_ROLE_TARGET;
    return e->target >= 0 ? KEY_ROLE_TARGET : KEY_ROLE_HOST;
}
