/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "basic/log.h"
#include "credstore/seal/limits.h"
#include "credstore/slot-warnings.h"
#include "nvme-keyd/manager/manager-private.h"

/*
 * How the store is opened and made, slot by slot: each waits for a TPM or for another program in a
 * process of its own. Meanwhile whoever needs the store is told -EINPROGRESS, and asks again when
 * the hook of manager_set_loop() has been called; only then does it learn why opening failed.
 */

/* After a try to open the store that failed there is none for a while, longer if it took its time:
 * whoever asks must not make processes and the TPM work again and again. */
#define REOPEN_USEC USEC_PER_SEC
#define REOPEN_SLOW_USEC (10 * USEC_PER_SEC)

#define SLOW_AGAIN_USEC (30 * USEC_PER_SEC)

static void try_slot(Manager *m);
static void enrol_type(Manager *m);

void manager_set_loop(Manager *m, sd_event *event, ManagerReadyFn on_ready, void *userdata)
{
    m->event = event;
    m->on_ready = on_ready;
    m->on_ready_userdata = userdata;
}

SlotOptions manager_slot_options(const Manager *m)
{
    return (SlotOptions){.allow_null_key = m->config.allow_null_key,
                         .closed_ways = m->config.closed_ways};
}

void manager_end_task(Manager *m, ManagerEvent event, int result)
{
    m->task = TASK_NONE;
    m->result = result;
    m->job = job_free(m->job);
    m->slow_timer = sd_event_source_disable_unref(m->slow_timer);
    /* Who started it is told by what it returns: the hook could free what it works on. */
    if (!m->on_ready || m->starting)
        return;
    m->fresh = true;
    m->on_ready(event, m->on_ready_userdata);
    m->fresh = false;
}

char *manager_explain(const char *type, int error)
{
    char *words = NULL;

    (void)detail_set(&words, error, "%s: %s", type,
                     error == -ETIMEDOUT ? "did not answer in time"
                     : error == -ECHILD  ? "its process has died"
                                         : strerror(-error));
    return words;
}

int manager_start_job(Manager *m, JobWork work, JobDone done)
{
    return manager_start_job_within(m, SEAL_TIMEOUT_USEC, work, done);
}

int manager_start_job_within(Manager *m, uint64_t limit_usec, JobWork work, JobDone done)
{
    Job *job = NULL;
    int r;

    m->job = job_free(m->job);
    r = job_start(m->event, limit_usec, work, done, m, &job);
    /* Without an event loop it is all over by now, and there is no job. */
    if (job)
        m->job = job;
    return r;
}

/* type: of the slot that failed, for an error without words. */
static void note_failure(Manager *m, int error, const char *type, const char *detail)
{
    _cleanup_(freep) char *words = NULL;

    if (!detail)
        detail = words = manager_explain(type, error);
    if (error == -ENOMEM || error == -ETIMEDOUT || m->task_error == 0)
        m->task_error = error;
    if (error == -EXDEV)
        m->refused = true;
    if (detail)
        detail_append(&m->store_detail, detail);
}

static int load_record(const StoreRecord *record, void *userdata)
{
    Manager *m = userdata;
    _cleanup_(key_freep) Key *k = NULL;
    int r = record->error;

    if (r == 0)
        r = key_from_meta(record->meta, &k);
    if (r == -ENOMEM)
        return r;
    if (!k) {
        /* It cannot be used, but people must see that it is there. */
        k = calloc(1, sizeof(*k));
        if (!k)
            return -ENOMEM;
        k->state = KEY_BROKEN;
        k->error = r;
    }
    memcpy(k->id, record->id, sizeof(k->id));
    k->generation = record->generation;
    k->source = &m->records;
    r = key_table_insert(&m->keys, k);
    if (r == 0)
        k = NULL;
    return r;
}

/* The store is unlocked; what is in it becomes keys. */
static int take_store(Manager *m)
{
    int r;

    m->store = TAKE_PTR(m->attached);
    r = store_for_each(m->store, load_record, m);
    manager_update_deadline(m);
    manager_settle_credentials(m);
    if (r < 0)
        manager_close(m);
    return r;
}

static void end_opening(Manager *m, int result)
{
    uint64_t now = now_monotonic();

    m->attached = store_close(m->attached);
    m->found = secret_free(m->found);
    m->failed = result;
    m->retry_usec =
        now + (now - m->task_start_usec > MANAGER_SLOW_USEC ? REOPEN_SLOW_USEC : REOPEN_USEC);
    if (result < 0 && !m->store_detail)
        m->store_detail = strdup(strerror(-result));
    manager_end_task(m, result == 0 ? MANAGER_STORE_OPENED : MANAGER_STORE_FAILED, result);
    /* What the slots before the right one said. */
    if (result == 0)
        free(TAKE_PTR(m->store_detail));
}

/* As systemd tells, and what tests of programs for an initramfs tell it. */
static bool is_initramfs(void)
{
    const char *told = secure_getenv("SYSTEMD_IN_INITRD");

    return told && *told ? strcmp(told, "1") == 0 : access("/etc/initrd-release", F_OK) == 0;
}

/* A copy that somebody put in the place of the store would have old keys, or no longer all of them,
 * and no rollback counter that tells. */
static int unlock(Manager *m, const Secret *found, char **reterr_detail)
{
    int r = store_unlock(m->attached, found, reterr_detail);

    if (r == 0) {
        r = manager_check_store_id(m, m->attached, reterr_detail);
        m->foreign = r < 0;
    }
    if (r == 0 && store_is_copy(m->attached) && !is_initramfs())
        return detail_set(reterr_detail, -EROFS,
                          "it is a copy for a boot image, which is no store outside of one");
    return r;
}

static int work_find_key(const void *userdata, Secret **ret, char **reterr_detail)
{
    const Manager *m = userdata;
    SlotOptions options = manager_slot_options(m);

    return store_find_key(m->attached, m->nth, &options, ret, reterr_detail);
}

static void open_with(Manager *m, const Secret *found)
{
    _cleanup_(freep) char *why = NULL;
    int r = unlock(m, found, &why);

    if (r < 0)
        note_failure(m, r, "store", why);
    else
        r = take_store(m);
    end_opening(m, r);
}

static void on_counters_seen(int error, const Secret *output, const char *detail, void *userdata)
{
    _cleanup_(freep) char *why = NULL;
    Manager *m = userdata;
    int r = manager_check_counter(error, output, &why);

    manager_note_counter_check(m, error, detail);

    if (r < 0) {
        m->foreign = true;
        note_failure(m, r, "store", why);
        end_opening(m, r);
        return;
    }
    open_with(m, m->found);
}

static void on_find_key(int error, const Secret *output, const char *detail, void *userdata)
{
    Manager *m = userdata;
    int r;

    if (error == -ERANGE) {
        end_opening(m, m->task_error < 0 ? m->task_error : -EKEYREJECTED);
        return;
    }
    if (error < 0) {
        note_failure(m, error, store_nth_slot_type(m->attached, m->nth), detail);
        m->nth++;
        try_slot(m);
        return;
    }
    secret_free(m->found);
    m->found = secret_new_copy(output->data, output->size);
    r = m->found ? manager_start_counter_check(m, on_counters_seen) : -ENOMEM;
    if (r == -ENOENT)
        open_with(m, output);
    else if (r < 0)
        end_opening(m, r);
}

static void try_slot(Manager *m)
{
    int r = manager_start_job(m, work_find_key, on_find_key);

    if (r < 0)
        end_opening(m, r);
}

/* It is told again and again, so that who waits for the service can be asked for more time. */
static int on_slow(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    Manager *m = userdata;

    if (sd_event_source_set_time_relative(source, SLOW_AGAIN_USEC) >= 0)
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    m->on_ready(MANAGER_STORE_SLOW, m->on_ready_userdata);
    return 0;
}

static void start_task(Manager *m, ManagerTask task)
{
    m->task = task;
    m->task_error = 0;
    m->task_start_usec = now_monotonic();
    m->nth = 0;
    m->refused = m->foreign = false;
    free(TAKE_PTR(m->store_detail));
    /* Who was to be told of an unlocking that failed hears of this task instead. */
    m->slow_timer = sd_event_source_disable_unref(m->slow_timer);
    /* Without the timer, who asks for the state waits to the end. */
    if (m->event)
        (void)sd_event_add_time_relative(m->event, &m->slow_timer, CLOCK_MONOTONIC,
                                         MANAGER_SLOW_USEC, 0, on_slow, m);
}

int manager_open_store(Manager *m)
{
    int r;

    if (m->store)
        return 0;
    if (m->task != TASK_NONE)
        return -EINPROGRESS;
    if (m->fresh && m->result < 0)
        return m->result;
    if (m->failed < 0 && now_monotonic() < m->retry_usec)
        return m->failed;

    free(TAKE_PTR(m->store_detail));
    r = store_attach(m->state_dir, &m->attached, &m->store_detail);
    if (r == -ENOENT) {
        free(TAKE_PTR(m->store_detail));
        r = manager_check_store_id(m, NULL, &m->store_detail);
    }
    m->foreign = r == -EXDEV;
    if (r < 0 || !m->attached) {
        m->attached = store_close(m->attached);
        return r;
    }
    start_task(m, TASK_OPEN);
    m->starting = true;
    try_slot(m);
    m->starting = false;
    return m->task != TASK_NONE ? -EINPROGRESS : m->result;
}

static void end_making(Manager *m, int result)
{
    m->store = result == 0 ? TAKE_PTR(m->attached) : NULL;
    m->attached = store_close(m->attached);
    m->made = result == 0;
    if (result == 0)
        free(TAKE_PTR(m->store_detail));
    manager_end_task(m, result == 0 ? MANAGER_STORE_CREATED : MANAGER_STORE_FAILED, result);
}

static int work_enrol(const void *userdata, Secret **ret, char **reterr_detail)
{
    const Manager *m = userdata;
    SlotOptions options = manager_slot_options(m);

    return store_enrol(m->attached, m->nth, &options, ret, reterr_detail);
}

/* What this machine does not have, or what is not to open the store, is not missed. */
static void note_passed_over(Manager *m, int error, const char *type, const char *detail)
{
    _cleanup_(freep) char *words = NULL, *line = NULL;

    if (error == -ENODEV || error == -EXDEV)
        return;
    if (!detail)
        detail = words = manager_explain(type, error);
    (void)detail_set(&line, 0, "the store has no slot by %s; later: nvme-keyctl slot add %s",
                     detail ? detail : type, type);
    if (!m->passed_over)
        m->passed_over = json_object_new_array();
    /* Without memory it is not told. */
    if (line && m->passed_over &&
        json_append_take(m->passed_over, json_object_new_string(line)) < 0)
        log_debug("a warning is lost");
}

int manager_made_warnings(const Manager *m, json_object **ret)
{
    _cleanup_(json_putp) json_object *lines = NULL;
    int r = slot_warnings(store_slots(m->store), &lines);

    for (size_t i = 0; r == 0 && m->passed_over && i < json_object_array_length(m->passed_over);
         i++)
        r = json_append_take(lines, json_object_get(json_object_array_get_idx(m->passed_over, i)));
    if (r == 0)
        *ret = TAKE_PTR(lines);
    return r;
}

static void on_enrol(int error, const Secret *output, const char *detail, void *userdata)
{
    _cleanup_(freep) char *why = NULL;
    Manager *m = userdata;
    int r = error;

    if (r == -ERANGE) {
        r = store_establish(m->attached, &why);
        if (r == -EOPNOTSUPP && m->task_error < 0)
            r = m->task_error;
        if (why)
            detail_append(&m->store_detail, why);
        end_making(m, r);
        return;
    }
    if (r == 0)
        r = store_adopt_slot(m->attached, output);
    if (r < 0) {
        note_passed_over(m, r, store_nth_enrol_type(m->nth), detail);
        note_failure(m, r, store_nth_enrol_type(m->nth), detail);
    }
    m->nth++;
    enrol_type(m);
}

static void enrol_type(Manager *m)
{
    int r = manager_start_job(m, work_enrol, on_enrol);

    if (r < 0)
        end_making(m, r);
}

static void on_counters_seen_before(int error, const Secret *output, _unused_ const char *detail,
                                    void *userdata)
{
    _cleanup_(freep) char *why = NULL;
    Manager *m = userdata;
    int r = manager_check_counter(error, output, &why);

    if (r < 0) {
        m->foreign = true;
        note_failure(m, r, "store", why);
        end_making(m, r);
        return;
    }
    enrol_type(m);
}

/* A store that does not open the next time is of no use: so a counter in the way is found before.
 */
static void check_and_enrol(Manager *m)
{
    int r = manager_start_counter_check(m, on_counters_seen_before);

    if (r == -ENOENT)
        enrol_type(m);
    else if (r < 0)
        end_making(m, r);
}

int manager_make_store(Manager *m)
{
    int r = manager_open_store(m);

    if (r < 0 || m->store)
        return r;
    r = store_prepare(m->state_dir, &m->attached, &m->store_detail);
    if (r < 0)
        return r;
    json_object_put(m->passed_over);
    m->passed_over = NULL;
    start_task(m, TASK_CREATE);
    m->starting = true;
    check_and_enrol(m);
    m->starting = false;
    return m->task != TASK_NONE ? -EINPROGRESS : m->result;
}

static int on_unlocked(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    Manager *m = userdata;

    m->on_ready(m->store ? MANAGER_STORE_OPENED : MANAGER_STORE_FAILED, m->on_ready_userdata);
    return 0;
}

void manager_tell_later(Manager *m)
{
    m->slow_timer = sd_event_source_disable_unref(m->slow_timer);
    if (m->event)
        (void)sd_event_add_time_relative(m->event, &m->slow_timer, CLOCK_MONOTONIC, 0, 0,
                                         on_unlocked, m);
}

static int find_by_recovery(const Manager *m, const Secret *key, Secret **ret, char **reterr_detail)
{
    int r;

    if (m->config.closed_ways & WAY_RECOVERY)
        return detail_set(reterr_detail, -EXDEV, "recovery: " WAY_CLOSED);
    r = store_find_key_by_recovery(m->attached, key, ret);
    if (r == -ENOENT)
        return detail_set(reterr_detail, r, "the store has no recovery key");
    if (r == -EKEYREJECTED)
        return detail_set(reterr_detail, r, "it is not the recovery key of this store");
    return r;
}

int manager_unlock(Manager *m, const Secret *recovery_key, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *found = NULL;
    bool was_opening = m->task == TASK_OPEN, was_working = m->task != TASK_NONE;
    int r = 0;

    if (m->store)
        return detail_set(reterr_detail, -EALREADY, "the store is open");
    if (m->task == TASK_CREATE)
        return -EINPROGRESS;
    if (!m->attached)
        r = store_attach(m->state_dir, &m->attached, reterr_detail);
    if (r == -ENOENT)
        return detail_set(reterr_detail, -ENOMEDIUM, "there is no store yet");
    if (r == 0)
        r = find_by_recovery(m, recovery_key, &found, reterr_detail);
    /* A slot that is still being tried may hang: it is not waited for. */
    if (r == 0) {
        m->job = job_free(m->job);
        m->found = secret_free(m->found);
        m->task = TASK_NONE;
        r = unlock(m, found, reterr_detail);
    }
    if (r == 0)
        r = take_store(m);
    if (m->task != TASK_NONE) {
        /* Its lock would keep us from the store when that task is done. */
        if (!was_opening)
            m->attached = store_close(m->attached);
        return r;
    }
    m->attached = store_close(m->attached);
    m->failed = 0;
    if (r == 0)
        free(TAKE_PTR(m->store_detail));
    else if (was_working && !m->store_detail)
        m->store_detail = strdup(*reterr_detail ? *reterr_detail : strerror(-r));
    /* Whoever waits for the task that has been ended here asks again. */
    if (r == 0 || was_working)
        manager_tell_later(m);
    return r;
}

bool manager_take_made(Manager *m)
{
    bool made = m->made;

    m->made = false;
    return made;
}

bool manager_is_unlocked_by_hand(const Manager *m)
{
    return m->store && !store_opens_by_itself(m->store);
}
