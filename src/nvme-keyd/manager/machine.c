/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/io.h"
#include "nvme-keyd/envelopes/worker.h"
#include "nvme-keyd/manager/envelopes.h"
#include "nvme-keyd/manager/manager-private.h"
#include "psk/hostnqn.h"
#include "psk/nqn.h"

/* The identity of this machine, and the issuers that it trusts. */

const Records *manager_fleet(const Manager *m)
{
    return &m->fleet;
}

bool manager_is_taking(const Manager *m)
{
    return worker_is_busy(m->worker);
}

/* One request of a caller. */
typedef struct Showing {
    Manager *m;
    bool with_request;
    ManagerMachine done;
    void *userdata;
} Showing;

static void end_showing(Showing *s, int error, const char *request, const char *detail)
{
    s->done(error, error < 0 ? NULL : &s->m->fleet.machine, request, detail, s->userdata);
    free(s);
}

/* The store may have been closed while the child was at work. */
static int require_store(const Manager *m, char **reterr_detail)
{
    int r = vault_require_writable(m->vault, reterr_detail);

    return r < 0 ? r : vault_require_store(m->vault, reterr_detail);
}

static void on_request(int error, const Secret *output, const char *detail, void *userdata)
{
    _cleanup_(freep) char *text = NULL;
    Blob blob = {NULL, 0};

    if (error == 0 && (!output || blobs_read(output->data, output->size, &blob, 1) != 1))
        error = -EBADMSG;
    if (error == 0) {
        text = strndup(blob.data, blob.size);
        error = text ? 0 : -ENOMEM;
    }
    end_showing(userdata, error, text, detail);
}

/* A machine without a host NQN, which is a target, has no name. */
static void read_name(const MachineRecord *m, char ret[static NQN_LENGTH_MAX + 1])
{
    _cleanup_(freep) char *detail = NULL;
    char own[NQN_LENGTH_MAX + 2];

    if (hostnqn_read(own, &detail) < 0 || !nqn_is_usable(own, strlen(own)))
        strcpy(ret, m->name);
    else
        memcpy(ret, own, strlen(own) + 1);
}

static void ask_for_request(Showing *s)
{
    _cleanup_(secret_freep) Secret *key = NULL;
    const MachineRecord *m = &s->m->fleet.machine;
    int r;

    if (!s->with_request) {
        end_showing(s, 0, NULL, NULL);
        return;
    }
    r = store_unseal(vault_store(s->m->vault), m->id, &key);
    if (r == 0)
        r = worker_start(s->m->worker, WORK_REQUEST, key, &(Blob){m->name, strlen(m->name)}, 1,
                         on_request, s);
    if (r < 0)
        end_showing(s, r, NULL, NULL);
}

static int read_certified(const Secret *output, MachineRecord *ret, Secret **ret_key)
{
    Blob blobs[3];

    if (!output || blobs_read(output->data, output->size, blobs, 3) != 3 ||
        blobs[0].size != MACHINE_FINGERPRINT_SIZE - 1)
        return -EBADMSG;
    memcpy(ret->fingerprint, blobs[0].data, blobs[0].size);
    ret->fingerprint[blobs[0].size] = '\0';
    *ret_key = secret_new_copy(blobs[1].data, blobs[1].size);
    ret->certificate = strndup(blobs[2].data, blobs[2].size);
    return *ret_key && ret->certificate ? 0 : -ENOMEM;
}

static int keep_machine(Manager *m, const Secret *output, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *key = NULL;
    MachineRecord new = {.created_usec = now_realtime()};
    int r = read_certified(output, &new, &key);

    if (r == 0)
        r = require_store(m, reterr_detail);
    /* Of two callers that found no key at one time, the first one has made it. */
    if (r < 0 ||
        (m->fleet.machine.id[0] && strcmp(m->fleet.machine.fingerprint, new.fingerprint) != 0)) {
        free(new.certificate);
        return r;
    }
    if (m->fleet.machine.id[0])
        new.created_usec = m->fleet.machine.created_usec;
    read_name(&m->fleet.machine, new.name);
    r = records_put_machine(&m->fleet, vault_store(m->vault), &new, key);
    return r < 0 ? manager_store_failed(r, reterr_detail) : 0;
}

static void on_certified(int error, const Secret *output, const char *detail, void *userdata)
{
    _cleanup_(freep) char *why = NULL;
    Showing *s = userdata;

    if (error == 0)
        error = keep_machine(s->m, output, &why);
    if (error < 0)
        end_showing(s, error, NULL, why ? why : detail);
    else
        ask_for_request(s);
}

static int certify(Showing *s, const char *name, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *key = NULL;
    const MachineRecord *m = &s->m->fleet.machine;
    int r = require_store(s->m, reterr_detail);

    if (r == 0 && m->id[0])
        r = store_unseal(vault_store(s->m->vault), m->id, &key);
    return r < 0 ? r
                 : worker_start(s->m->worker, WORK_CERTIFY, key, &(Blob){name, strlen(name)}, 1,
                                on_certified, s);
}

void manager_show_machine(Manager *m, bool with_request, ManagerMachine done, void *userdata)
{
    char name[NQN_LENGTH_MAX + 1];
    _cleanup_(freep) char *detail = NULL;
    Showing *s = calloc(1, sizeof(*s));
    int r;

    if (!s) {
        done(-ENOMEM, NULL, NULL, NULL, userdata);
        return;
    }
    *s = (Showing){m, with_request, done, userdata};
    read_name(&m->fleet.machine, name);
    if (m->fleet.machine.id[0] && strcmp(name, m->fleet.machine.name) == 0) {
        ask_for_request(s);
        return;
    }
    r = certify(s, name, &detail);
    if (r < 0)
        end_showing(s, r, NULL, detail);
}

typedef struct Trusting {
    Manager *m;
    char *pem;
    ManagerTrusted done;
    void *userdata;
} Trusting;

static void end_trusting(Trusting *t, int error, const char *fingerprint, const char *detail)
{
    t->done(error, fingerprint, detail, t->userdata);
    free(t->pem);
    free(t);
}

static int keep_issuer(Manager *m, const char *pem, const Secret *output,
                       char ret_fingerprint[static MACHINE_FINGERPRINT_SIZE], char **reterr_detail)
{
    Blob blob;
    int r;

    if (!output || blobs_read(output->data, output->size, &blob, 1) != 1)
        return -EBADMSG;
    if (blob.size != MACHINE_FINGERPRINT_SIZE - 1)
        return detail_set(reterr_detail, -EINVAL, "no certificate of a P-256 key, in PEM");
    memcpy(ret_fingerprint, blob.data, blob.size);
    ret_fingerprint[blob.size] = '\0';
    r = require_store(m, reterr_detail);
    if (r < 0)
        return r;
    r = records_add_issuer(&m->fleet, vault_store(m->vault), ret_fingerprint, pem, strlen(pem));
    if (r == -E2BIG)
        return detail_set(reterr_detail, r, "%d issuers are trusted already: distrust one",
                          ISSUERS_MAX);
    return r == 0 || r == -EEXIST ? r : manager_store_failed(r, reterr_detail);
}

static void on_inspected(int error, const Secret *output, const char *detail, void *userdata)
{
    char fingerprint[MACHINE_FINGERPRINT_SIZE] = "";
    _cleanup_(freep) char *why = NULL;
    Trusting *t = userdata;

    if (error == 0)
        error = keep_issuer(t->m, t->pem, output, fingerprint, &why);
    end_trusting(t, error, fingerprint, why ? why : detail);
}

void manager_trust(Manager *m, const char *pem, ManagerTrusted done, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    Trusting *t = calloc(1, sizeof(*t));
    int r;

    if (!t) {
        done(-ENOMEM, NULL, NULL, userdata);
        return;
    }
    *t = (Trusting){m, strdup(pem), done, userdata};
    r = strlen(pem) > ISSUER_SIZE_MAX
            ? detail_set(&detail, -EINVAL, "a certificate has at most %zu bytes", ISSUER_SIZE_MAX)
        : t->pem ? require_store(m, &detail)
                 : -ENOMEM;
    if (r == 0)
        r = worker_start(m->worker, WORK_INSPECT, NULL, &(Blob){pem, strlen(pem)}, 1, on_inspected,
                         t);
    if (r < 0)
        end_trusting(t, r, NULL, detail);
}

int manager_distrust(Manager *m, const char *fingerprint, char **reterr_detail)
{
    int r = require_store(m, reterr_detail);

    if (r < 0)
        return r;
    r = records_remove_issuer(&m->fleet, vault_store(m->vault), fingerprint);
    if (r == -ENOENT)
        return detail_set(reterr_detail, r,
                          "the store has no issuer with this fingerprint: one that a file or a "
                          "credential names ends with it");
    return r < 0 ? manager_store_failed(r, reterr_detail) : 0;
}

typedef struct Listing {
    Manager *m;
    IssuerFiles files;
    ManagerIssuers done;
    void *userdata;
} Listing;

static void end_listing(Listing *l, int error, const Issuer *issuers, size_t n, const char *detail)
{
    l->done(error, issuers, n, detail, l->userdata);
    issuer_files_done(&l->files);
    free(l);
}

/* fingerprints: of the files, or NULL where there are none. */
static void report_issuers(Listing *l, const Blob *fingerprints)
{
    char texts[ISSUER_FILES_MAX][MACHINE_FINGERPRINT_SIZE];
    Issuer issuers[ISSUERS_MAX + ISSUER_FILES_MAX];
    const Records *r = &l->m->fleet;
    size_t n = 0;

    for (size_t i = 0; i < r->n_issuers; i++)
        issuers[n++] = (Issuer){.source = ISSUER_STORE,
                                .created_usec = r->issuers[i].created_usec,
                                .fingerprint = r->issuers[i].fingerprint};
    for (size_t i = 0; i < l->files.n; i++) {
        const IssuerFile *f = &l->files.items[i];
        bool known = fingerprints && fingerprints[i].size == MACHINE_FINGERPRINT_SIZE - 1;

        if (known)
            memcpy(texts[i], fingerprints[i].data, fingerprints[i].size);
        texts[i][MACHINE_FINGERPRINT_SIZE - 1] = '\0';
        issuers[n++] =
            (Issuer){.source = f->source, .name = f->name, .fingerprint = known ? texts[i] : NULL};
    }
    end_listing(l, 0, issuers, n, NULL);
}

static void on_files_inspected(int error, const Secret *output, const char *detail, void *userdata)
{
    Blob blobs[ISSUER_FILES_MAX];
    Listing *l = userdata;

    if (error == 0 && (!output || blobs_read(output->data, output->size, blobs, ISSUER_FILES_MAX) !=
                                      (int)l->files.n))
        error = -EBADMSG;
    if (error < 0)
        end_listing(l, error, NULL, 0, detail);
    else
        report_issuers(l, blobs);
}

void manager_list_issuers(Manager *m, ManagerIssuers done, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    Listing *l = calloc(1, sizeof(*l));
    Blob blobs[ISSUER_FILES_MAX];
    int r;

    if (!l) {
        done(-ENOMEM, NULL, 0, NULL, userdata);
        return;
    }
    l->m = m;
    l->done = done;
    l->userdata = userdata;
    r = issuer_files_read(&l->files, &detail);
    for (size_t i = 0; i < l->files.n; i++)
        blobs[i] = (Blob){l->files.items[i].text, l->files.items[i].size};
    if (r == 0 && l->files.n == 0) {
        report_issuers(l, NULL);
        return;
    }
    if (r == 0)
        r = worker_start(m->worker, WORK_INSPECT, NULL, blobs, l->files.n, on_files_inspected, l);
    if (r < 0)
        end_listing(l, r, NULL, 0, detail);
}
