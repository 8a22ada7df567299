/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/encoding.h"
#include "envelope/cms.h"
#include "envelope/content.h"
#include "fleet/issue.h"

/* The machines that an envelope is sealed to: two ends at most. */
typedef struct Recipients {
    X509 *certificates[2];
    const char *machines[2]; /* fingerprints, borrowed */
    size_t n;
} Recipients;

static void recipients_done(const Recipients *r)
{
    for (size_t i = 0; i < r->n; i++)
        X509_free(r->certificates[i]);
}

/* A tombstone goes to those that are left. A machine with both roles gets one envelope. */
static int add_recipient(const Fleet *f, const FleetPair *pair, const char *fingerprint,
                         Recipients *ret)
{
    size_t i = fleet_find_machine(f, fingerprint);
    const FleetMachine *m = i == FLEET_NO_MACHINE ? NULL : &f->machines[i];
    int r;

    if (!m || !m->approved || m->revoked)
        return pair->ended ? 0 : -ENOKEY;
    if (ret->n > 0 && strcmp(ret->machines[0], fingerprint) == 0)
        return 0;
    r = machine_certificate_from_pem(m->certificate, strlen(m->certificate),
                                     &ret->certificates[ret->n]);
    if (r < 0)
        return r == -EBADMSG ? -ENOKEY : r;
    ret->machines[ret->n++] = fingerprint;
    return 0;
}

static int make_content(const FleetPair *p, uint64_t now, Secret **ret)
{
    EnvelopeEntry e = {.generation = p->generation,
                       .expires_usec = p->lifetime_usec > 0 ? now + p->lifetime_usec : 0,
                       .versions = p->versions,
                       .derivation = p->derivation,
                       .hash = p->hash};
    EnvelopeContent c = {.issued_usec = now, .entries = &e, .n = 1};
    _cleanup_(secret_freep) Secret *random = NULL;
    _cleanup_(secret_freep) Secret *psk = NULL;
    int r = secret_random((ENVELOPE_ID_SIZE - 1) / 2, &random);

    if (r == 0 && !p->ended)
        r = psk_generate(p->hash, &psk);
    if (r < 0)
        return r;
    e.configured = psk;
    hex_encode(random->data, random->size, c.id);
    strcpy(e.hostnqn, p->hostnqn);
    strcpy(e.subsysnqn, p->subsysnqn);
    strcpy(e.host, p->host);
    strcpy(e.target, p->target);
    return envelope_content_format(&c, ret);
}

static int make_envelope(const Fleet *f, const FleetPair *p, const Recipients *to, uint64_t now,
                         char **ret)
{
    _cleanup_(secret_freep) Secret *content = NULL;
    int r = make_content(p, now, &content);

    return r == 0 ? envelope_seal(content, f->issuer, f->key, to->certificates, to->n, ret) : r;
}

/* The description first: it names the envelope, so one that is missing is found. */
static int put(const Fleet *f, const FleetPair *p, uint64_t version, const Recipients *to,
               const char *envelope)
{
    _cleanup_(freep) char *text = NULL, *description = NULL;
    char key[PLACE_KEY_SIZE], keys[2][PLACE_KEY_SIZE];
    const char *const ends[] = {p->target, p->host};
    PlaceChange changes[1 + ARRAY_SIZE(ends)];
    int r = fleet_pair_format(p, &text);

    if (r == 0)
        r = fleet_sign(f, text, &description);
    if (r < 0)
        return r;
    place_key(key, "pairs/%s", p->id);
    changes[0] = (PlaceChange){key, description, version};
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        bool gets = false;

        for (size_t j = 0; j < to->n; j++)
            gets = gets || strcmp(to->machines[j], ends[i]) == 0;
        place_key(keys[i], "machines/%s/envelopes/%s", ends[i], p->id);
        changes[1 + i] = (PlaceChange){keys[i], gets ? envelope : NULL, PLACE_ANY};
    }
    return f->place->type->change(f->place, changes,
                                  strcmp(p->host, p->target) == 0 ? 2 : ARRAY_SIZE(changes));
}

int fleet_issue(Fleet *f, FleetPair *pair, uint64_t version, uint64_t now_usec)
{
    _cleanup_(recipients_done) Recipients to = {.n = 0};
    _cleanup_(freep) char *envelope = NULL;
    int r = add_recipient(f, pair, pair->target, &to);

    if (r == 0)
        r = add_recipient(f, pair, pair->host, &to);
    /* A clock that was put back must not make a replay of what is new. */
    pair->generation = CONST_MAX(now_usec, pair->generation + 1);
    pair->envelope[0] = '\0';
    if (r == 0 && to.n > 0)
        r = make_envelope(f, pair, &to, now_usec, &envelope);
    if (r == 0 && envelope)
        r = fleet_digest(envelope, pair->envelope);
    return r == 0 ? put(f, pair, version, &to, envelope) : r;
}

int fleet_renew(Fleet *f, size_t entry, bool end, uint64_t now_usec)
{
    FleetEntry *e = &f->entries[entry];
    FleetPair pair = e->pair;
    int r;

    pair.ended = end;
    r = fleet_issue(f, &pair, e->version, now_usec);
    if (r < 0)
        return r;
    e->pair = pair;
    e->host_reason[0] = e->target_reason[0] = '\0';
    f->plan[entry].generation = pair.generation;
    f->plan[entry].ended = end;
    f->plan[entry].undelivered = false;
    return 0;
}

int fleet_approve(Fleet *f, size_t machine, uint64_t now_usec)
{
    FleetMachine *m = &f->machines[machine];
    FleetApproval a = {.certificate = m->certificate, .time_usec = now_usec};
    _cleanup_(freep) char *text = NULL, *approval = NULL;
    char key[PLACE_KEY_SIZE];
    int r;

    strcpy(a.fingerprint, m->fingerprint);
    strcpy(a.name, m->name);
    r = fleet_approval_format(&a, &text);
    if (r == 0)
        r = fleet_sign(f, text, &approval);
    if (r < 0)
        return r;
    place_key(key, "machines/%s/approved", m->fingerprint);
    r = f->place->type->change(f->place, (PlaceChange[]){{key, approval, PLACE_ANY}}, 1);
    m->approved = r == 0;
    return r;
}

int fleet_revoke(Fleet *f, size_t machine, uint64_t now_usec)
{
    FleetMachine *m = &f->machines[machine];
    FleetRevocation revocation = {.time_usec = now_usec};
    _cleanup_(freep) char *text = NULL, *statement = NULL;
    char key[PLACE_KEY_SIZE], approved[PLACE_KEY_SIZE];
    int r;

    strcpy(revocation.fingerprint, m->fingerprint);
    r = fleet_revocation_format(&revocation, &text);
    if (r == 0)
        r = fleet_sign(f, text, &statement);
    if (r < 0)
        return r;
    place_key(key, "machines/%s/revoked", m->fingerprint);
    place_key(approved, "machines/%s/approved", m->fingerprint);
    r = f->place->type->change(
        f->place, (PlaceChange[]){{key, statement, PLACE_ANY}, {approved, NULL, PLACE_ANY}}, 2);
    if (r == 0) {
        m->revoked = true;
        m->approved = false;
    }
    return r;
}
