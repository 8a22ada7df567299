/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "basic/io.h"
#include "basic/log.h"
#include "nvme-keyd-fetch/etcd-request.h"
#include "nvme-keyd-fetch/etcd-session.h"

/*
 * The presence of this machine is a key under a lease, so it ends with the signs of life. They show
 * as well that the endpoint still works: a server that stalls, or that is cut off from the others,
 * does not answer them, while its watch is just silent. The report is a key without a lease: what
 * this machine has must be known while it is away.
 */

#define PRESENCE "{\"format\":\"nvme-keyd presence\",\"version\":1}"

static void plan_sign_of_life(Source *s)
{
    s->alive_at = now_monotonic() + s->setup.config->presence_sec * USEC_PER_SEC / 3;
}

static void on_lease(Source *s, const EtcdReply *reply)
{
    uint64_t id, ttl;

    if (!reply->is_good && reply->fault == ETCD_FAULT_LEASE && s->lease != 0) {
        s->lease = 0;
        return;
    }
    if (!reply->is_good) {
        session_fault(s, reply->fault, reply->why);
        return;
    }
    if (etcd_answer_lease(reply->text, reply->size, &id, &ttl) < 0 || (ttl == 0 && s->lease == 0)) {
        session_fail(s, "its answer about the lease makes no sense");
        return;
    }
    /* An ended lease has taken the key with it. */
    if (id != s->lease || ttl == 0)
        s->is_present = false;
    s->lease = ttl > 0 ? id : 0;
    plan_sign_of_life(s);
}

/* Returns true if it was denied, which is said once. */
static bool is_denied(Source *s, const EtcdReply *reply, const char *key)
{
    if (reply->is_good || reply->fault != ETCD_FAULT_DENIED)
        return false;
    if (!s->may_not_tell)
        log_warning("Cannot write %s: %s; the fleet cannot see the state of this machine", key,
                    reply->why);
    s->may_not_tell = true;
    return true;
}

static void on_present(Source *s, const EtcdReply *reply)
{
    if (!reply->is_good && reply->fault == ETCD_FAULT_LEASE) {
        s->lease = 0;
        session_restart(s, reply->why);
    } else if (reply->is_good || is_denied(s, reply, s->presence))
        s->is_present = true;
    else
        session_fault(s, reply->fault, reply->why);
}

static void on_reported(Source *s, const EtcdReply *reply)
{
    if (!reply->is_good && !is_denied(s, reply, s->status)) {
        s->is_reported = false;
        session_fault(s, reply->fault, reply->why);
    }
}

void tell_next(Source *s)
{
    if (s->lease == 0)
        session_post(s, "/v3/lease/grant", etcd_request_grant(s->setup.config->presence_sec),
                     on_lease);
    else if (now_monotonic() >= s->alive_at)
        session_post(s, "/v3/lease/keepalive", etcd_request_keep_alive(s->lease), on_lease);
    else if (!s->is_present)
        session_post(s, "/v3/kv/put", etcd_request_put(s->presence, PRESENCE, s->lease),
                     on_present);
    else if (s->report && !s->is_reported) {
        s->is_reported = true;
        session_post(s, "/v3/kv/put", etcd_request_put(s->status, s->report, 0), on_reported);
    }
}
