/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/text.h"
#include "nvme-keyd/manager/manager-private.h"
#include "psk/hostnqn.h"
#include "psk/identity.h"
#include "psk/limits.h"
#include "psk/nqn.h"

/* What a new key is asked to be, looked at before anything is made or asked for. */

#define UUID_PREFIX "nqn.2014-08.org.nvmexpress:uuid:"
#define DISCOVERY_NQN "nqn.2014-08.org.nvmexpress.discovery"

int manager_read_hostnqn(char ret[static NQN_LENGTH_MAX + 2], char **reterr_detail)
{
    _cleanup_(freep) char *why = NULL;

    if (hostnqn_read(ret, &why) < 0)
        return detail_set(reterr_detail, -ENODATA, "no host NQN given, and %s", why ? why : "none");
    return 0;
}

/* Whether the two were mixed up, which no look-up of the kernel would forgive. */
static int check_sides(const KeyRequest *q, const char *hostnqn, char **reterr_detail)
{
    _cleanup_(freep) char *detail = NULL;
    char own[NQN_LENGTH_MAX + 2];
    const char *why = NULL;

    if (q->force)
        return 0;
    if (strcmp(hostnqn, q->subsysnqn) == 0)
        why = "both are the same";
    else if (strcmp(hostnqn, DISCOVERY_NQN) == 0)
        why = "that of the host is the one of discovery subsystems";
    else if (text_after(q->subsysnqn, UUID_PREFIX) && !text_after(hostnqn, UUID_PREFIX))
        why = "that of the subsystem is of a form that hosts have, and that of the host is not";
    else if (hostnqn_read(own, &detail) == 0 && strcmp(q->subsysnqn, own) == 0)
        why = "that of the subsystem is the NQN of this host";
    return why ? detail_set(reterr_detail, -EINVAL,
                            "host and subsystem NQN seem to be swapped (%s): if they are right, "
                            "force it",
                            why)
               : 0;
}

/* Versions that the caller asked for are not taken away. */
static int check_versions(const Key *k, char **reterr_detail)
{
    if (k->versions & KEY_VERSION_BIT(0) && !psk_identity_fits_version_0(k->hostnqn, k->subsysnqn))
        return detail_set(reterr_detail, -EINVAL, "%s", psk_error_text(PSK_E_IDENTITY_LENGTH));
    return 0;
}

int manager_prepare(Manager *m, const KeyRequest *q, Key **ret, Key **ret_other,
                    char **reterr_detail)
{
    _cleanup_(key_freep) Key *k = NULL;
    char own[NQN_LENGTH_MAX + 2];
    const char *hostnqn = q->hostnqn;
    int r;

    if (!hostnqn && q->role == KEY_ROLE_TARGET)
        return detail_set(reterr_detail, -ENODATA,
                          "a target needs the NQN of the host that connects, --hostnqn=: that of "
                          "this machine would match no host");
    if (!hostnqn && (r = manager_read_hostnqn(own, reterr_detail)) < 0)
        return r;
    if (!hostnqn)
        hostnqn = own;
    if ((r = nqn_check_text(hostnqn, "host NQN", reterr_detail)) < 0 ||
        (r = nqn_check_text(q->subsysnqn, "subsystem NQN", reterr_detail)) < 0 ||
        (r = check_sides(q, hostnqn, reterr_detail)) < 0 ||
        (r = manager_new_key(q, hostnqn, &k)) < 0 || (r = check_versions(k, reterr_detail)) < 0 ||
        (r = manager_need_writable(m, reterr_detail)) < 0 ||
        (r = manager_check_neighbours(m, k, q->force, ret_other, reterr_detail)) < 0)
        return r;

    *ret = TAKE_PTR(k);
    return 0;
}
