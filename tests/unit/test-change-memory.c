/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/json.h"
#include "keyd-fixture.h"
#include "nvme-keyd/keys/key-rules.h"
#include "nvme-keyd/manager/import.h"

/*
 * Each allocation of each change fails in turn. The change must then be made or not made at all,
 * and afterwards memory, store and ring must agree, and no pair may have two active keys.
 */

#define OTHER "nqn.2026-11.org.example:b"
#define CALLS_MAX 20000

static const char *const added[] = {OTHER, OTHER "2", OTHER "3"};

#if defined(__SANITIZE_ADDRESS__)
#define CANNOT_FAIL true
static size_t fail_at, n_calls;
#else
#define CANNOT_FAIL false
/* The allocation that fails, counted from 1; 0 for none. */
static size_t fail_at, n_calls;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

/* Only our own allocations fail, because json-c crashes if its parser gets no memory. */
static bool is_failing(const void *caller)
{
    extern const char __executable_start, etext;

    return fail_at > 0 && (const char *)caller >= &__executable_start &&
           (const char *)caller < &etext && ++n_calls == fail_at;
}

void *malloc(size_t size)
{
    return is_failing(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return is_failing(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    return is_failing(__builtin_return_address(0)) ? NULL : __libc_realloc(p, size);
}

char *strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *copy = is_failing(__builtin_return_address(0)) ? NULL : __libc_malloc(size);

    return copy ? memcpy(copy, s, size) : NULL;
}

void *reallocarray(void *p, size_t n, size_t size)
{
    size_t bytes;

    if (is_failing(__builtin_return_address(0)) || __builtin_mul_overflow(n, size, &bytes))
        return NULL;
    return __libc_realloc(p, bytes);
}
#endif

static int visit_record(const StoreRecord *record, void *userdata)
{
    const Manager *m = userdata;
    const Key *k = key_table_find(manager_keys(m), record->id);
    _cleanup_(freep) char *meta = k ? key_to_meta(k) : NULL;

    if (record->error < 0 || !k || k->generation != record->generation || !meta ||
        strlen(meta) != record->meta_size || memcmp(meta, record->meta, record->meta_size) != 0) {
        printf("# record %s, generation %llu, key %s, generation %llu\n%.*s\n%s\n", record->id,
               (unsigned long long)record->generation, k ? k->id : "(none)",
               k ? (unsigned long long)k->generation : 0, (int)record->meta_size, record->meta,
               meta ? meta : "");
        return -EBADMSG;
    }
    return 0;
}

/* True if memory and store have the same keys, no pair has two active ones, and no transaction is
 * open. A key that was rotated on a host has no record while it is in the ring. */
static bool agrees_with_store(const Fixture *f, bool in_ring)
{
    Store *store = (Store *)(uintptr_t)manager_store(f->m);
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    const Key *k, *other;

    if (store_begin(store, &t) < 0 || store_for_each(store, visit_record, f->m) != 0)
        return false;
    KEY_TABLE_FOREACH(manager_keys(f->m), k)
    {
        if (!store_find(store, k->id) && !(in_ring && k->state == KEY_RETIRING))
            return false;
        KEY_TABLE_FOREACH_OF_PAIR(manager_keys(f->m), k, other)
        {
            if (other != k && other->state == KEY_ACTIVE && k->state == KEY_ACTIVE)
                return false;
        }
    }
    return true;
}

/* True if the ring has the keys that memory wants there, once allocations work again. */
static bool agrees_with_ring(Fixture *f)
{
    size_t n = 0;
    ReconcileResult s;
    const Key *k;

    if (fixture_sync(f, &s) < 0)
        return false;
    KEY_TABLE_FOREACH(manager_keys(f->m), k)
    {
        for (unsigned v = 0; v < KEY_VERSIONS; v++) {
            if (!k->identities[v] || !k->serials[v])
                continue;
            if (!ring_has_key(k, v))
                return false;
            n++;
        }
    }
    return ring_size() == n;
}

static size_t active_keys(const Fixture *f)
{
    size_t n = 0;
    const Key *k;

    KEY_TABLE_FOREACH(manager_keys(f->m), k)
    {
        n += k->state == KEY_ACTIVE;
    }
    return n;
}

static Key *active_key(const Fixture *f, const char *subsysnqn)
{
    Key *k = key_table_pair(manager_keys(f->m), HOST, strlen(HOST), subsysnqn, strlen(subsysnqn));

    while (k && k->state != KEY_ACTIVE)
        k = k->next_of_pair;
    return k;
}

typedef struct Change {
    const char *name;
    KeyRole role;
    int (*run)(Manager *m, const char *id, const Secret *psk);
    bool adds;
} Change;

static int run_add(Manager *m, _unused_ const char *id, const Secret *psk)
{
    const KeyRequest q = {.hostnqn = HOST,
                          .subsysnqn = OTHER,
                          .role = KEY_ROLE_BOTH,
                          .hash = PSK_HASH_SHA256,
                          .configured = psk};
    _cleanup_(freep) char *detail = NULL;
    Key *k;

    return fixture_add_now(m, &q, &k, &detail);
}

/* How many additions have ended well, or too many of them if an answer was wrong. */
typedef struct Tally {
    Manager *manager;
    size_t n, answers;
} Tally;

static void on_added(int error, Key *k, _unused_ const char *detail, void *userdata)
{
    Tally *t = userdata;

    t->answers++;
    t->n += error == 0;
    if (error == 0 && key_table_find(manager_keys(t->manager), k->id) != k)
        t->n = SIZE_MAX / 2;
}

/* Some keys of the batch may be added, but those that are, and no others, were told so. */
static int run_batch(Manager *m, _unused_ const char *id, const Secret *psk)
{
    size_t before = key_table_size(manager_keys(m)), now;
    Tally t = {.manager = m};

    for (size_t n = 0; n < ARRAY_SIZE(added); n++) {
        const KeyRequest q = {.hostnqn = HOST,
                              .subsysnqn = added[n],
                              .role = KEY_ROLE_BOTH,
                              .hash = PSK_HASH_SHA256,
                              .force = true,
                              .configured = psk};

        manager_add(m, &q, on_added, &t);
    }
    manager_commit(m);
    now = key_table_size(manager_keys(m));
    if (t.answers != ARRAY_SIZE(added) || now - before != t.n)
        return -EPROTO;
    return t.n > 0 ? 0 : -ENOMEM;
}

static int run_rotate(Manager *m, const char *id, const Secret *psk)
{
    const Rotation q = {
        .key = {.hash = PSK_HASH_SHA256, .configured = psk}, .has_hash = true, .at_once = true};
    _cleanup_(freep) char *detail = NULL, *warning = NULL;
    Key *k;

    return manager_rotate(m, id, &q, &k, &warning, &detail);
}

static int run_remove(Manager *m, const char *id, _unused_ const Secret *psk)
{
    _cleanup_(freep) char *detail = NULL;

    return manager_remove(m, id, false, &detail);
}

static int run_import(Manager *m, _unused_ const char *id, const Secret *psk)
{
    _cleanup_(secret_freep) Secret *text = NULL;
    _cleanup_(freep) char *detail = NULL;
    ImportKey keys[ARRAY_SIZE(added)];
    const ImportRequest q = {
        .common = {.role = KEY_ROLE_BOTH, .force = true}, .keys = keys, .n = ARRAY_SIZE(keys)};
    _cleanup_(import_result_done) ImportResult result = {.is_unchanged = NULL};
    _cleanup_(import_fault_done) ImportFault fault = {.n = 0};
    int r = psk_interchange_format(PSK_HASH_SHA256, psk, &text);

    for (size_t n = 0; n < q.n && r == 0; n++)
        keys[n] = (ImportKey){.hostnqn = HOST, .subsysnqn = added[n], .psk = (char *)text->data};
    return r < 0 ? r : manager_import(m, &q, &result, &fault, &detail);
}

/* Runs the change with its nth allocation failing. Returns false if it has fewer. */
static bool run_failing(Fixture *f, const Change *c, size_t n, bool *ret_ok)
{
    _cleanup_(secret_freep) Secret *psk = fixture_psk((uint8_t)(n * 3));
    const Key *k = active_key(f, SUBSYSTEM);
    size_t before = active_keys(f);
    char id[KEY_ID_SIZE];
    int r;

    strcpy(id, k->id);
    n_calls = 0;
    fail_at = n;
    r = c->run(f->m, id, psk);
    fail_at = 0;
    *ret_ok = agrees_with_store(f, true) && agrees_with_ring(f) && agrees_with_store(f, false) &&
              (r == 0 || active_keys(f) == before) && r != -EPROTO;
    if (!*ret_ok)
        printf("# %s: allocation %zu of the change, which returned %d\n", c->name, n, r);
    return n_calls >= n;
}

/* Restores the keys from before the change. */
static bool restore(Fixture *f, const Change *c)
{
    const Key *k;

    while (c->adds && active_keys(f) > 1) {
        k = NULL;
        for (size_t n = 0; n < ARRAY_SIZE(added) && !k; n++)
            k = active_key(f, added[n]);
        if (!k || fixture_remove(f, k->id) < 0)
            return false;
    }
    return active_key(f, SUBSYSTEM) || fixture_add(f, SUBSYSTEM, c->role, 1);
}

static bool survives(Fixture *f, const Change *c)
{
    bool more = true, ok = true;

    for (size_t n = 1; more && ok && n < CALLS_MAX; n++) {
        if (!restore(f, c))
            return false;
        more = run_failing(f, c, n, &ok);
        if (!more)
            printf("# %s: %zu allocations\n", c->name, n - 1);
    }
    return ok && restore(f, c);
}

static const Change changes[] = {
    {"add", KEY_ROLE_HOST, run_add, true},
    {"add together", KEY_ROLE_HOST, run_batch, true},
    {"rotate on a host", KEY_ROLE_HOST, run_rotate, false},
    {"remove", KEY_ROLE_HOST, run_remove, false},
    {"import", KEY_ROLE_HOST, run_import, true},
};

TEST(each_allocation_fails)
{
    FIXTURE;

    if (CANNOT_FAIL)
        TEST_SKIP("a sanitizer has the allocator");
    /* With a key in the ring that is not ours, which must not disturb the comparison. */
    ASSERT_TRUE(ring_make());
    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
        ASSERT_TRUE(survives(&f, &changes[i]));
}
