/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "fleet/json-read.h"
#include "fleet/report.h"

#define FORMAT_STATUS "nvme-keyd status"

static bool read_state(json_object *o, PlanReport *ret)
{
    static const char *const words[] = {
        [PLAN_PENDING] = "pending", [PLAN_ACTIVE] = "active", [PLAN_REFUSED] = "failed"};
    const char *s = json_string_or(o, "state", "");

    for (size_t i = PLAN_PENDING; i < ARRAY_SIZE(words); i++)
        if (strcmp(s, words[i]) == 0) {
            *ret = (PlanReport)i;
            return true;
        }
    return false;
}

static int read_report(json_object *o, FleetReport *ret)
{
    char hostnqn[NQN_LENGTH_MAX + 1], subsysnqn[NQN_LENGTH_MAX + 1];

    if (!json_object_is_type(o, json_type_object) || !fleet_json_nqn(o, "hostNQN", hostnqn) ||
        !fleet_json_nqn(o, "subsystemNQN", subsysnqn) ||
        json_get_uint(o, "generation", INT64_MAX, &ret->generation) <= 0 ||
        !read_state(o, &ret->state))
        return -EBADMSG;
    if (!fleet_json_text(o, "reason", ret->reason, sizeof(ret->reason)))
        ret->reason[0] = '\0';
    return fleet_pair_id(hostnqn, subsysnqn, ret->id);
}

int fleet_reports_parse(const char *text, size_t size, FleetReport **ret, size_t *ret_n)
{
    _cleanup_(json_putp) json_object *o = NULL;
    _cleanup_(freep) FleetReport *reports = NULL;
    json_object *array;
    size_t n;
    int r = fleet_json_open(text, size, FORMAT_STATUS, &o);

    if (r < 0)
        return r;
    /* A machine whose nvme-keyd does not answer says nothing about pairs. */
    r = json_get_array(o, "pairs", &array);
    n = r > 0 ? json_object_array_length(array) : 0;
    if (r < 0 || n > REPORTS_MAX)
        return -EBADMSG;
    reports = calloc(n + 1, sizeof(*reports));
    if (!reports)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        r = read_report(json_object_array_get_idx(array, i), &reports[i]);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(reports);
    *ret_n = n;
    return 0;
}
