/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/io.h"
#include "basic/scan.h"
#include "basic/text.h"
#include "envelope/limits.h"
#include "nvme-keyd/envelopes/limits.h"
#include "nvme-keyd/envelopes/records.h"
#include "psk/nqn.h"

#define KIND_MACHINE "{\"kind\":\"machine\",\"created\":"
#define KIND_ISSUER "{\"kind\":\"issuer\",\"created\":"
#define KIND_PAIR "{\"kind\":\"pair\",\"hostNQN\":"
#define SUBSYSTEM_NQN ",\"subsystemNQN\":"
#define NAME ",\"name\":"
#define FINGERPRINT ",\"fingerprint\":"
#define CERTIFICATE ",\"certificate\":"
#define GENERATION ",\"generation\":"
#define CHANGED ",\"changed\":"
#define ENVELOPE ",\"envelope\":"
#define ISSUER ",\"issuer\":"
/* More than all names of members, numbers and digests. */
#define FIXED_LENGTH_MAX 512

/* A record has a secret. */
static const char no_secret[1];

static void pair_done(const PairRecord *p)
{
    free(p->hostnqn);
    free(p->subsysnqn);
}

void records_done(Records *r)
{
    free(r->machine.certificate);
    free(r->issuers);
    for (size_t i = 0; i < r->n_pairs; i++)
        pair_done(&r->pairs[i]);
    free(r->pairs);
    *r = (Records){.n_pairs = 0};
}

/* A string of size - 1 lower-case hexadecimal digits. */
static bool scan_hex(Scan *s, const char *member, char *ret, size_t size)
{
    return scan_literal(s, member) && scan_string(s, ret, size) && text_is_hex(ret, size - 1);
}

static bool scan_end(Scan *s)
{
    return scan_literal(s, "}") && s->p == s->end;
}

static int load_machine(Records *r, Scan *s, const char *id)
{
    MachineRecord m = {.certificate = NULL};
    size_t size = (size_t)(s->end - s->p);

    if (!scan_number(s, INT64_MAX, &m.created_usec) || !scan_literal(s, NAME) ||
        !scan_string(s, m.name, sizeof(m.name)) ||
        (m.name[0] && !nqn_is_usable(m.name, strlen(m.name))) ||
        !scan_hex(s, FINGERPRINT, m.fingerprint, sizeof(m.fingerprint)) ||
        !scan_literal(s, CERTIFICATE) || r->machine.id[0])
        return -EBADMSG;
    m.certificate = malloc(size);
    if (!m.certificate)
        return -ENOMEM;
    if (!scan_string(s, m.certificate, size) || !scan_end(s)) {
        free(m.certificate);
        return -EBADMSG;
    }
    memcpy(m.id, id, sizeof(m.id));
    r->machine = m;
    return 1;
}

static int load_issuer(Records *r, Scan *s, const char *id)
{
    IssuerRecord i = {.created_usec = 0}, *grown;

    if (!scan_number(s, INT64_MAX, &i.created_usec) ||
        !scan_hex(s, FINGERPRINT, i.fingerprint, sizeof(i.fingerprint)) || !scan_end(s) ||
        r->n_issuers == ISSUERS_MAX)
        return -EBADMSG;
    grown = reallocarray(r->issuers, r->n_issuers + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    memcpy(i.id, id, sizeof(i.id));
    r->issuers = grown;
    r->issuers[r->n_issuers++] = i;
    return 1;
}

static PairRecord *find_pair(const Records *r, const char *hostnqn, const char *subsysnqn)
{
    for (size_t i = 0; i < r->n_pairs; i++)
        if (strcmp(r->pairs[i].hostnqn, hostnqn) == 0 &&
            strcmp(r->pairs[i].subsysnqn, subsysnqn) == 0)
            return &r->pairs[i];
    return NULL;
}

static int append_pair(Records *r, const PairRecord *pair)
{
    PairRecord p = *pair;

    if (r->n_pairs == r->n_pairs_max) {
        size_t n_max = 2 * r->n_pairs_max + 4;
        PairRecord *grown = reallocarray(r->pairs, n_max, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        r->pairs = grown;
        r->n_pairs_max = n_max;
    }
    p.hostnqn = strdup(pair->hostnqn);
    p.subsysnqn = strdup(pair->subsysnqn);
    if (!p.hostnqn || !p.subsysnqn) {
        pair_done(&p);
        return -ENOMEM;
    }
    r->pairs[r->n_pairs++] = p;
    return 0;
}

static bool scan_nqn(Scan *s, char ret[static NQN_LENGTH_MAX + 1])
{
    return scan_string(s, ret, NQN_LENGTH_MAX + 1) && nqn_is_usable(ret, strlen(ret));
}

static int load_pair(Records *r, Scan *s, const char *id)
{
    char hostnqn[NQN_LENGTH_MAX + 1], subsysnqn[NQN_LENGTH_MAX + 1];
    PairRecord p = {.hostnqn = hostnqn, .subsysnqn = subsysnqn};
    int n;

    if (!scan_nqn(s, hostnqn) || !scan_literal(s, SUBSYSTEM_NQN) || !scan_nqn(s, subsysnqn) ||
        !scan_literal(s, GENERATION) || !scan_number(s, INT64_MAX, &p.generation) ||
        p.generation == 0 || !scan_literal(s, CHANGED) ||
        !scan_number(s, INT64_MAX, &p.changed_usec) ||
        !scan_hex(s, ENVELOPE, p.envelope, sizeof(p.envelope)) ||
        !scan_hex(s, ISSUER, p.issuer, sizeof(p.issuer)) || !scan_end(s) ||
        find_pair(r, hostnqn, subsysnqn))
        return -EBADMSG;
    memcpy(p.id, id, sizeof(p.id));
    n = append_pair(r, &p);
    return n < 0 ? n : 1;
}

int records_load(Records *r, const StoreRecord *record)
{
    Scan s = {record->meta, record->meta + record->meta_size};

    if (scan_literal(&s, KIND_MACHINE))
        return load_machine(r, &s, record->id);
    if (scan_literal(&s, KIND_ISSUER))
        return load_issuer(r, &s, record->id);
    if (scan_literal(&s, KIND_PAIR))
        return load_pair(r, &s, record->id);
    return 0;
}

static char *write_member(char *p, const char *member, const char *value)
{
    return scan_write_string(stpcpy(p, member), value);
}

static char *machine_to_meta(const MachineRecord *m)
{
    char *text =
        malloc(FIXED_LENGTH_MAX + SCAN_STRING_LENGTH_MAX(strlen(m->name) + strlen(m->certificate)));
    char *p = text;

    if (!text)
        return NULL;
    p = scan_write_number(stpcpy(p, KIND_MACHINE), m->created_usec);
    p = write_member(p, NAME, m->name);
    p = write_member(p, FINGERPRINT, m->fingerprint);
    p = write_member(p, CERTIFICATE, m->certificate);
    strcpy(p, "}");
    return text;
}

static void issuer_to_meta(const IssuerRecord *i, char ret[static FIXED_LENGTH_MAX])
{
    char *p = scan_write_number(stpcpy(ret, KIND_ISSUER), i->created_usec);

    p = write_member(p, FINGERPRINT, i->fingerprint);
    strcpy(p, "}");
}

static char *pair_to_meta(const PairRecord *pair)
{
    char *text = malloc(FIXED_LENGTH_MAX +
                        SCAN_STRING_LENGTH_MAX(strlen(pair->hostnqn) + strlen(pair->subsysnqn)));
    char *p = text;

    if (!text)
        return NULL;
    p = scan_write_string(stpcpy(p, KIND_PAIR), pair->hostnqn);
    p = write_member(p, SUBSYSTEM_NQN, pair->subsysnqn);
    p = scan_write_number(stpcpy(p, GENERATION), pair->generation);
    p = scan_write_number(stpcpy(p, CHANGED), pair->changed_usec);
    p = write_member(p, ENVELOPE, pair->envelope);
    p = write_member(p, ISSUER, pair->issuer);
    strcpy(p, "}");
    return text;
}

int records_put_machine(Records *r, Store *store, const MachineRecord *m, const Secret *key)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    _cleanup_(freep) char *meta = machine_to_meta(m);
    MachineRecord new = *m;
    int e = meta ? store_begin(store, &t) : -ENOMEM;

    if (e == 0 && r->machine.id[0]) {
        memcpy(new.id, r->machine.id, sizeof(new.id));
        e = store_replace(t, new.id, meta, key);
    } else if (e == 0) {
        e = key ? store_add(t, meta, key, new.id) : -EINVAL;
    }
    if (e == 0)
        e = store_commit(t);
    free(e == 0 ? r->machine.certificate : new.certificate);
    if (e == 0)
        r->machine = new;
    return e;
}

static const IssuerRecord *find_issuer(const Records *r, const char *fingerprint)
{
    for (size_t i = 0; i < r->n_issuers; i++)
        if (strcmp(r->issuers[i].fingerprint, fingerprint) == 0)
            return &r->issuers[i];
    return NULL;
}

static int store_issuer(Store *store, IssuerRecord *i, const void *certificate, size_t size)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    _cleanup_(secret_freep) Secret *secret = secret_new_copy(certificate, size);
    char meta[FIXED_LENGTH_MAX];
    int e = secret ? store_begin(store, &t) : -ENOMEM;

    issuer_to_meta(i, meta);
    if (e == 0)
        e = store_add(t, meta, secret, i->id);
    return e == 0 ? store_commit(t) : e;
}

int records_add_issuer(Records *r, Store *store, const char *fingerprint, const void *certificate,
                       size_t size)
{
    IssuerRecord i = {.created_usec = now_realtime()}, *grown;
    int e;

    if (find_issuer(r, fingerprint))
        return -EEXIST;
    if (r->n_issuers == ISSUERS_MAX)
        return -E2BIG;
    grown = reallocarray(r->issuers, r->n_issuers + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    r->issuers = grown;
    memcpy(i.fingerprint, fingerprint, sizeof(i.fingerprint));
    e = store_issuer(store, &i, certificate, size);
    if (e == 0)
        r->issuers[r->n_issuers++] = i;
    return e;
}

int records_remove_issuer(Records *r, Store *store, const char *fingerprint)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    const IssuerRecord *i = find_issuer(r, fingerprint);
    int e = i ? store_begin(store, &t) : -ENOENT;

    if (e == 0)
        e = store_remove(t, i->id);
    if (e == 0)
        e = store_commit(t);
    if (e == 0)
        r->issuers[i - r->issuers] = r->issuers[--r->n_issuers];
    return e;
}

uint64_t records_generation(const Records *r, const char *hostnqn, const char *subsysnqn)
{
    const PairRecord *p = find_pair(r, hostnqn, subsysnqn);

    return p ? CONST_MAX(p->generation, p->staged) : 0;
}

int records_stage_pair(Records *r, StoreTransaction *t, const PairRecord *pair)
{
    PairRecord new = *pair, *p = find_pair(r, pair->hostnqn, pair->subsysnqn);
    _cleanup_(secret_freep) Secret *secret = secret_new_copy(no_secret, sizeof(no_secret));
    _cleanup_(freep) char *meta = pair_to_meta(pair);
    int e;

    if (!meta || !secret)
        return -ENOMEM;
    if (p) {
        p->staged = pair->generation;
        return store_replace(t, p->id, meta, NULL);
    }
    new.generation = 0;
    new.staged = pair->generation;
    e = store_add(t, meta, secret, new.id);
    return e == 0 ? append_pair(r, &new) : e;
}

void records_end_pairs(Records *r, bool committed)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n_pairs; i++) {
        PairRecord *p = &r->pairs[i];

        if (committed && p->staged > 0)
            p->generation = p->staged;
        p->staged = 0;
        if (p->generation > 0)
            r->pairs[n++] = *p;
        else
            pair_done(p);
    }
    r->n_pairs = n;
}
