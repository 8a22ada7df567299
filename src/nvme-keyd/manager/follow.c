/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/io.h"
#include "nvme-keyd/manager/follow.h"
#include "nvme-keyd/manager/limits.h"
#include "nvme-keyd/manager/manager-private.h"
#include "nvme-keyd/manager/rotation.h"

/* One key that is to become active: it follows its target, or a caller asked for it. */
typedef struct Attempt {
    Follow *follow;
    struct Attempt *next;
    char id[KEY_ID_SIZE];
    bool follows;      /* else it ends with its round */
    uint64_t due_usec; /* CLOCK_MONOTONIC, of the next round */
    uint64_t pause_usec;
    bool has_target;
    ProbeTarget target;    /* the only one to be asked */
    ProbeRound *round;     /* NULL while it waits */
    KeyState state;        /* of the key when it was asked for, or else when the round began, */
    uint64_t changed_usec; /* and since when */
    bool tried;
    Verdict before;         /* if it was tried */
    AttemptHandler handler; /* or NULL */
    void *userdata;
} Attempt;

struct Follow {
    Manager *m;
    sd_event_source *timer;
    Attempt *attempts;
    struct lh_table *following; /* id -> Attempt of a key that follows its target */
    size_t n_running;           /* attempts with a round */
    AttemptHandler report;
    void *userdata;
};

static void attempt_free(Attempt *a)
{
    probe_round_free(a->round);
    free(a);
}

static void end_round(Attempt *a)
{
    a->follow->n_running -= a->round != NULL;
    a->round = probe_round_free(a->round);
}

static void unlink_attempt(Follow *f, Attempt *a)
{
    Attempt **link = &f->attempts;

    while (*link != a)
        link = &(*link)->next;
    *link = a->next;
    if (a->follows)
        (void)lh_table_delete(f->following, a->id);
    end_round(a);
    attempt_free(a);
}

static void arm(const Follow *f)
{
    uint64_t first = UINT64_MAX;

    for (const Attempt *a = f->attempts; a && f->n_running < FOLLOW_AT_ONCE; a = a->next)
        if (!a->round)
            first = CONST_MIN(first, a->due_usec);
    (void)sd_event_source_set_enabled(f->timer,
                                      first < UINT64_MAX ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
    if (first < UINT64_MAX)
        (void)sd_event_source_set_time(f->timer, first);
}

Verdict follow_judge(const ProbeResult *results, size_t n)
{
    size_t by_answer[PROBE_UNAVAILABLE + 1] = {0};

    for (size_t i = 0; i < n; i++)
        by_answer[results[i].answer]++;
    if (n == 0)
        return VERDICT_NO_PATH;
    if (by_answer[PROBE_REFUSED] > 0 || by_answer[PROBE_NO_TLS] > 0)
        return VERDICT_REFUSED;
    if (by_answer[PROBE_UNAVAILABLE] > 0)
        return VERDICT_UNKNOWN;
    return by_answer[PROBE_UNREACHABLE] == n ? VERDICT_UNREACHABLE : VERDICT_ACCEPTED;
}

static bool is_proved(const ProbeResult *results, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (results[i].answer == PROBE_ACCEPTED)
            return true;
    return false;
}

static const char *explain(Verdict v)
{
    switch (v) {
    case VERDICT_NO_PATH:
        return "this host has no controller of its pair, so no target can be asked";
    case VERDICT_REFUSED:
        return "a target does not accept it yet: give it the same PSK first";
    case VERDICT_UNREACHABLE:
        return "none of its targets can be reached";
    case VERDICT_UNKNOWN:
        return "a target could not be probed";
    default:
        return NULL;
    }
}

/* Reports the end of a round, or of an attempt that had none. The attempt is freed unless it is
 * made again. */
static void end_attempt(Attempt *a, AttemptResult *result)
{
    Follow *f = a->follow;
    const AttemptHandler handler = a->handler;
    void *userdata = a->userdata;
    const Key *k = key_table_find(&f->m->keys, result->id);

    result->again = a->follows && k && k->state == KEY_PENDING && k->follow;
    result->repeated = a->tried && a->before == result->verdict;
    a->tried = true;
    a->before = result->verdict;
    a->handler = NULL;
    if (f->report)
        f->report(result, f->userdata);
    if (handler)
        handler(result, userdata);
    if (!result->again) {
        unlink_attempt(f, a);
    } else {
        end_round(a);
        a->due_usec = now_monotonic() + a->pause_usec;
        a->pause_usec = CONST_MIN(2 * a->pause_usec, FOLLOW_LAST_USEC);
    }
    arm(f);
}

static void note_state(Attempt *a, const Key *k)
{
    a->state = k->state;
    a->changed_usec = k->changed_usec;
}

/* True if a person has decided about the key since the round began. */
static bool has_changed(const Attempt *a)
{
    const Key *k = key_table_find(&a->follow->m->keys, a->id);

    return !k || k->state != a->state || k->changed_usec != a->changed_usec ||
           (a->follows && !k->follow);
}

static void on_answers(const ProbeResult *results, size_t n, void *userdata)
{
    Attempt *a = userdata;
    _cleanup_(freep) char *detail = NULL;
    char id[KEY_ID_SIZE];
    AttemptResult r = {id, follow_judge(results, n), results, n, NULL, false, false};

    memcpy(id, a->id, sizeof(id));
    r.detail = explain(r.verdict);
    if (has_changed(a)) {
        r.detail = "the key was changed meanwhile";
    } else if (!r.detail) {
        int error = manager_activate(a->follow->m, id, is_proved(results, n), &detail);

        r.detail = error == 0 ? NULL : detail ? detail : strerror(-error);
    }
    end_attempt(a, &r);
}

static void begin_round(Attempt *a)
{
    const Key *k = key_table_find(&a->follow->m->keys, a->id);
    _cleanup_(freep) char *detail = NULL;
    char id[KEY_ID_SIZE];
    AttemptResult failed = {id, VERDICT_UNKNOWN, NULL, 0, NULL, false, false};
    int r;

    if (k && a->follows)
        note_state(a, k);
    r = probe_round_start(a->follow->m, a->id, a->has_target ? &a->target : NULL, on_answers, a,
                          &a->round, &detail);

    memcpy(id, a->id, sizeof(id));
    if (r == 0) {
        a->follow->n_running++;
    } else if (r == -ENODEV) {
        failed.verdict = VERDICT_NO_PATH;
        failed.detail = explain(VERDICT_NO_PATH);
        end_attempt(a, &failed);
    } else {
        failed.detail = detail ? detail : strerror(-r);
        end_attempt(a, &failed);
    }
}

static int on_due(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    Follow *f = userdata;
    uint64_t now = now_monotonic();
    Attempt *first = NULL;

    /* One at a time, because the end of an attempt changes the list. */
    for (Attempt *a = f->attempts; a; a = a->next)
        if (!a->round && a->due_usec <= now && (!first || a->due_usec < first->due_usec))
            first = a;
    if (first)
        begin_round(first);
    arm(f);
    return 0;
}

static Attempt *add_attempt(Follow *f, const char *id)
{
    Attempt *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    a->follow = f;
    memcpy(a->id, id, sizeof(a->id));
    a->pause_usec = FOLLOW_FIRST_USEC;
    a->next = f->attempts;
    f->attempts = a;
    return a;
}

int follow_try(Follow *f, const char *id, const ProbeTarget *target, AttemptHandler handler,
               void *userdata, char **reterr_detail)
{
    const Key *k = key_table_find(&f->m->keys, id);
    KeyState next;
    const char *refusal;
    Attempt *a;

    if (!k)
        return detail_set(reterr_detail, -ENOENT, "no key has the id \"%s\"", id);
    refusal = key_life_next(k->state, KEY_EVENT_ACTIVATE, k->role, &next);
    if (refusal)
        return detail_set(reterr_detail, -EBUSY, "key %s is %s: %s", id,
                          key_state_to_string(k->state), refusal);
    a = add_attempt(f, id);
    if (!a)
        return -ENOMEM;
    note_state(a, k);
    a->has_target = target;
    if (target)
        a->target = *target;
    a->handler = handler;
    a->userdata = userdata;
    arm(f);
    return 0;
}

/* Ends attempts of keys that no longer follow. One whose round runs ends with it. */
static void drop_settled(Follow *f)
{
    Attempt *next;

    for (Attempt *a = f->attempts; a; a = next) {
        const Key *k = key_table_find(&f->m->keys, a->id);

        next = a->next;
        if (a->follows && !a->round && !(k && k->state == KEY_PENDING && k->follow))
            unlink_attempt(f, a);
    }
}

static void add_following(Follow *f, const char *id)
{
    Attempt *a = add_attempt(f, id);

    if (!a)
        return;
    a->follows = lh_table_insert(f->following, a->id, a) == 0;
    /* Without memory: the next update tries again. */
    if (!a->follows)
        unlink_attempt(f, a);
}

void follow_update(Follow *f)
{
    const Key *k;

    drop_settled(f);
    if (f->m->n_following > 0)
        KEY_TABLE_FOREACH(&f->m->keys, k)
        {
            if (k->state == KEY_PENDING && k->follow && !lh_table_lookup_entry(f->following, k->id))
                add_following(f, k->id);
        }
    arm(f);
}

bool follow_is_busy(const Follow *f)
{
    return f->attempts != NULL;
}

void follow_set_report(Follow *f, AttemptHandler report, void *userdata)
{
    f->report = report;
    f->userdata = userdata;
}

int follow_new(sd_event *event, Manager *m, Follow **ret)
{
    _cleanup_(follow_freep) Follow *f = calloc(1, sizeof(*f));
    int r;

    if (!f)
        return -ENOMEM;
    f->m = m;
    f->following = lh_kchar_table_new(16, NULL);
    if (!f->following)
        return -ENOMEM;
    r = sd_event_add_time(event, &f->timer, CLOCK_MONOTONIC, 0, 0, on_due, f);
    if (r < 0)
        return r;
    arm(f);
    *ret = TAKE_PTR(f);
    return 0;
}

Follow *follow_free(Follow *f)
{
    if (!f)
        return NULL;
    while (f->attempts) {
        Attempt *a = f->attempts;
        const AttemptResult stopped = {a->id, VERDICT_UNKNOWN, NULL, 0, "the service stops", false,
                                       false};

        f->attempts = a->next;
        if (a->handler)
            a->handler(&stopped, a->userdata);
        attempt_free(a);
    }
    if (f->following)
        lh_table_free(f->following);
    sd_event_source_disable_unref(f->timer);
    free(f);
    return NULL;
}
