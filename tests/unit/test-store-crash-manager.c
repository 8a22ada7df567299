/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "life-fixture.h"
#include "stepper.h"
#include "tree.h"

#include "credstore/seal/seal-type.h"

/*
 * A child has the manager change the life of a key, and is killed at each of its system calls,
 * for the disk and for the keyring. The next manager must find the key from before or after the
 * change, and reconcile the ring with it.
 */

#define OTHER "nqn.2026-11.org.example:other"
#define ANOTHER "nqn.2026-11.org.example:third"
#define SEED_OLD 1
#define SEED_NEW 2

typedef struct Crash {
    Fixture f;
    char credentials[64]; /* has the KEK, so opening the store needs no systemd-creds */
    char work[64];
    char id[STORE_ID_SIZE];              /* the key that is changed */
    char successor[STORE_ID_SIZE];       /* the one that replaces it, where that was made before */
    char digests[2][PSK_DIGEST_MAX + 1]; /* of its PSK, and of the PSK that replaces it */
    int (*act)(struct Crash *x);
} Crash;

static void crash_done(Crash *x)
{
    unsetenv("CREDENTIALS_DIRECTORY");
    tree_remove(x->credentials);
    tree_remove(x->work);
    fixture_done(&x->f);
}

/* Writes the KEK of the first slot where LoadCredentialEncrypted= would put it. */
static int load_credential(Crash *x)
{
    static const SlotOptions options = {.pcrs_given = false};
    json_object *slot = store_opened_by(manager_store(x->f.m));
    _cleanup_(secret_freep) Secret *kek = NULL;
    _cleanup_(closep) int fd = -EBADF;
    char path[96];
    int r;

    if (strcmp(store_slot_type(manager_store(x->f.m)), slot_systemd_creds.name) != 0)
        return -EOPNOTSUPP;
    r = slot_systemd_creds.unseal(slot, &options, &kek, NULL);
    if (r < 0)
        return r;
    strcpy(x->credentials, "/tmp/test-keyd-XXXXXX");
    if (!mkdtemp(x->credentials))
        return -errno;
    snprintf(path, sizeof(path), "%s/" NAMES_KEK_CREDENTIAL, x->credentials);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || setenv("CREDENTIALS_DIRECTORY", x->credentials, 1) < 0)
        return -errno;
    return io_write_all(fd, kek->data, kek->size);
}

/* Starts a manager on x->work. */
static bool start(Crash *x)
{
    x->f.m = manager_free(x->f.m);
    return fixture_new_manager(&x->f, x->work, &x->f.m) == 0 && fixture_open(&x->f, x->f.m) == 0;
}

/* Restores store and ring from before the change. */
static int begin(Crash *x)
{
    ReconcileResult s;
    int r;

    x->f.m = manager_free(x->f.m);
    tree_remove(x->work);
    if (tree_copy(x->f.dir, x->work) < 0)
        return -EIO;
    if (fixture_ring() >= 0 && keyctl_clear(fixture_ring()) < 0)
        return -errno;
    r = start(x) ? fixture_sync(&x->f, &s) : -EIO;
    x->f.m = manager_free(x->f.m);
    return r;
}

static int deed(void *userdata)
{
    Crash *x = userdata;

    if (!start(x))
        return -EIO;
    stepper_begin();
    return x->act(x);
}

static int act_add(Crash *x)
{
    return fixture_add(&x->f, OTHER, KEY_ROLE_TARGET, SEED_NEW) ? 0 : -EIO;
}

static void on_added(int error, _unused_ Key *k, _unused_ const char *detail, void *userdata)
{
    int *failed = userdata;

    *failed += error < 0;
}

/* Two keys in one batch. */
static int act_add_two(Crash *x)
{
    static const char *const names[] = {OTHER, ANOTHER};
    int failed = 0;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_(secret_freep) Secret *psk = fixture_psk(SEED_NEW);
        const KeyRequest q = {.hostnqn = HOST,
                              .subsysnqn = names[i],
                              .role = KEY_ROLE_TARGET,
                              .hash = PSK_HASH_SHA256,
                              .configured = psk};

        manager_add(x->f.m, &q, on_added, &failed);
    }
    manager_commit(x->f.m);
    return failed > 0 ? -EIO : 0;
}

static int act_rotate(Crash *x)
{
    return fixture_rotate(&x->f, x->id, SEED_NEW) ? 0 : -EIO;
}

static int act_remove(Crash *x)
{
    return fixture_remove(&x->f, x->id);
}

static int act_stage(Crash *x)
{
    char new[KEY_ID_SIZE];

    return life_stage(&x->f, x->id, SEED_NEW, new);
}

static int act_activate(Crash *x)
{
    return life_activate(&x->f, x->successor);
}

static int act_revert(Crash *x)
{
    char id[KEY_ID_SIZE];

    return life_revert(&x->f, x->successor, id);
}

static int act_retire(Crash *x)
{
    return life_retire(&x->f, x->id, true);
}

static int act_revoke(Crash *x)
{
    return life_revoke(&x->f, x->id, true);
}

static int act_plan(Crash *x)
{
    return life_plan(&x->f, x->id, KEY_STEP_RETIRE, now_realtime() + DAY_USEC);
}

static int act_schedule(Crash *x)
{
    _cleanup_(freep) char *detail = NULL;

    return manager_schedule(x->f.m, x->id, DAY_USEC, &detail);
}

static int act_follow(Crash *x)
{
    return manager_set_following(x->f.m, life_find(&x->f, x->successor), true);
}

static int act_confirm(Crash *x)
{
    return manager_confirm(x->f.m, life_find(&x->f, x->id));
}

/* All steps that are due. */
static int act_steps(Crash *x)
{
    life_set_clocks(2 * DAY_USEC, 2 * DAY_USEC, true);
    return life_sync(&x->f) ? 0 : -EIO;
}

/* The keys that exist, a bit for each: the old one, the one that replaces it, the added ones; and
 * the state of the old one, or that of the new one, unless it is active. -1 for anything else. */
enum {
    OLD = 1,
    NEW = 2,
    ADDED = 4,
    RETIRING = 8,
    REVOKED = 16,
    NEW_PENDING = 32,
    NEW_RETIRING = 64,
    ADDED_TOO = 128,
    OLD_PLANNED = 256,
    OLD_SCHEDULED = 512,
    OLD_CONFIRMED = 1024,
    NEW_FOLLOWS = 2048,
};

static int state_bit(const Key *k, bool old)
{
    switch (k->state) {
    case KEY_PENDING:
        return old ? -1 : NEW_PENDING;
    case KEY_RETIRING:
        return old ? RETIRING : NEW_RETIRING;
    case KEY_REVOKED:
        return old ? REVOKED : -1;
    default:
        return k->state == KEY_ACTIVE ? 0 : -1;
    }
}

/* The bits of the settings of a key. */
static int mark_bits(const Key *k, bool old)
{
    if (!old)
        return k->follow ? NEW_FOLLOWS : 0;
    return (k->state == KEY_ACTIVE && k->step != KEY_STEP_NONE ? OLD_PLANNED : 0) |
           (k->rotate_usec > 0 ? OLD_SCHEDULED : 0) | (k->confirmed_usec > 0 ? OLD_CONFIRMED : 0);
}

static int look(const Crash *x)
{
    int found = 0;
    Key *k;

    KEY_TABLE_FOREACH(manager_keys(x->f.m), k)
    {
        bool other = k->state != KEY_BROKEN && strcmp(k->subsysnqn, SUBSYSTEM) != 0;
        bool old = k->state != KEY_BROKEN && strcmp(k->digest, x->digests[0]) == 0;
        int bit = !other ? (old ? OLD : NEW) : strcmp(k->subsysnqn, OTHER) == 0 ? ADDED : ADDED_TOO;

        if (k->state == KEY_BROKEN || (found & bit) || (old && strcmp(k->id, x->id) != 0) ||
            (!other && !old && strcmp(k->digest, x->digests[1]) != 0) || state_bit(k, old) < 0) {
            printf("# a key %s in state %s\n", k->id, key_state_to_string(k->state));
            return -1;
        }
        found |= bit | state_bit(k, old) | (other ? 0 : mark_bits(k, old));
    }
    return found;
}

/* True if the ring has exactly the keys that should be published. */
static bool ring_is_right(const Crash *x)
{
    size_t n = 0;
    Key *k;

    KEY_TABLE_FOREACH(manager_keys(x->f.m), k)
    {
        for (unsigned v = 0; v < KEY_VERSIONS; v++) {
            /* Both PSKs have the same identity of version 0, which belongs to the active one. */
            if (!k->identities[v] || !key_is_publishable(k, now_realtime()) ||
                (v == 0 && k->state != KEY_ACTIVE))
                continue;
            if (!ring_has_key(k, v))
                return false;
            n++;
        }
    }
    return ring_size() == n;
}

/* Starts the next manager and reconciles. Returns the keys, or -1 if anything is wrong. */
static int recover(Crash *x)
{
    ReconcileResult s;
    int found;

    if (!start(x) || fixture_sync(&x->f, &s) < 0)
        return -1;
    found = look(x);
    if (found < 0 || !ring_is_right(x) || s.failed > 0)
        return -1;
    /* The manager must be able to go on. */
    return fixture_add(&x->f, "nqn.2026-11.org.example:more", KEY_ROLE_HOST, 9) ? found : -1;
}

/* Kills at each stop; the result must be before or after. */
static void kill_at_each(Crash *x, const char *what, int before, int after)
{
    int seen[2] = {0, 0};

    for (int n = 1;; n++) {
        int r, found;

        ASSERT_OK(begin(x));
        r = stepper_kill(deed, x, n);
        if (r == -EPERM)
            TEST_SKIP("may not trace");
        ASSERT_TRUE(r >= 0);
        found = recover(x);
        if ((found != before && found != after) || (r == 0 && found != after))
            TEST_FAIL("%s, killed at stop %d: %d is left, not %d or %d", what, n, found, before,
                      after);
        if (r == 0)
            break;
        seen[found == after]++;
    }
    printf("# %s: %d kills, %d times the old state, %d times the new one\n", what,
           seen[0] + seen[1], seen[0], seen[1]);
    /* After a commit that leaves the ring as it is there is less to do. */
    ASSERT_TRUE(seen[0] > 8 && seen[1] > ((before ^ after) < OLD_PLANNED ? 10 : 4));
}

/* Returns NULL, or why the test cannot run. */
static const char *crash_new(Crash *x, KeyRole role)
{
    const char *cannot = fixture_new(&x->f);
    Key *k;

    if (cannot)
        return cannot;
    /* The next manager recognises by the group which keys in the ring are ours. */
    if (setegid(MARK) < 0)
        return "needs CAP_SETGID";
    k = fixture_add(&x->f, SUBSYSTEM, role, SEED_NEW);
    if (!k)
        return "needs systemd-creds";
    strcpy(x->digests[1], k->digest);
    if (fixture_remove(&x->f, k->id) < 0 || load_credential(x) < 0)
        return "needs a slot of type systemd-creds";
    k = fixture_add(&x->f, SUBSYSTEM, role, SEED_OLD);
    if (!k)
        return "needs systemd-creds";
    strcpy(x->digests[0], k->digest);
    strcpy(x->id, k->id);
    /* A file system where a sync is cheap. */
    snprintf(x->work, sizeof(x->work), "%s/%.30s-work",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", strrchr(x->f.dir, '/') + 1);
    return NULL;
}

#define CRASH(role)                                                                                \
    _cleanup_(crash_done) Crash x = {.f.dir = ""};                                                 \
    const char *cannot = crash_new(&x, role);                                                      \
                                                                                                   \
    if (cannot)                                                                                    \
    TEST_SKIP(cannot)

TEST(killed_while_it_adds)
{
    CRASH(KEY_ROLE_TARGET);

    x.act = act_add;
    kill_at_each(&x, "add", OLD, OLD | ADDED);
}

TEST(killed_while_it_adds_two)
{
    CRASH(KEY_ROLE_TARGET);

    x.act = act_add_two;
    kill_at_each(&x, "add two together", OLD, OLD | ADDED | ADDED_TOO);
}

TEST(killed_while_it_rotates_on_a_target)
{
    CRASH(KEY_ROLE_TARGET);

    x.act = act_rotate;
    kill_at_each(&x, "rotate on a target", OLD, OLD | RETIRING | NEW);
}

/* The next reconciling withdraws the old key. */
TEST(killed_while_it_rotates_on_a_host)
{
    CRASH(KEY_ROLE_HOST);

    x.act = act_rotate;
    kill_at_each(&x, "rotate on a host", OLD, OLD | RETIRING | NEW);
}

/* With a successor that was made before. */
static bool add_successor(Crash *x, uint64_t at_usec)
{
    Rotation q = {.at_usec = at_usec};

    return life_rotate(&x->f, x->id, &q, SEED_NEW, x->successor) == 0;
}

TEST(killed_while_it_stages)
{
    CRASH(KEY_ROLE_HOST);

    x.act = act_stage;
    kill_at_each(&x, "stage on a host", OLD, OLD | NEW | NEW_PENDING);
}

TEST(killed_while_it_activates)
{
    CRASH(KEY_ROLE_HOST);

    ASSERT_TRUE(add_successor(&x, 0));
    x.act = act_activate;
    kill_at_each(&x, "activate on a host", OLD | NEW | NEW_PENDING, OLD | RETIRING | NEW);
}

TEST(killed_while_it_reverts)
{
    CRASH(KEY_ROLE_TARGET);

    ASSERT_TRUE(add_successor(&x, 0));
    x.act = act_revert;
    kill_at_each(&x, "revert on a target", OLD | RETIRING | NEW, OLD | NEW | NEW_RETIRING);
}

TEST(killed_while_it_retires)
{
    CRASH(KEY_ROLE_HOST);

    x.act = act_retire;
    kill_at_each(&x, "retire on a host", OLD, OLD | RETIRING);
}

TEST(killed_while_it_revokes)
{
    CRASH(KEY_ROLE_TARGET);

    x.act = act_revoke;
    kill_at_each(&x, "revoke on a target", OLD, OLD | REVOKED);
}

TEST(killed_while_it_plans)
{
    CRASH(KEY_ROLE_TARGET);

    x.act = act_plan;
    kill_at_each(&x, "plan", OLD, OLD | OLD_PLANNED);
}

TEST(killed_while_it_schedules)
{
    CRASH(KEY_ROLE_TARGET);

    x.act = act_schedule;
    kill_at_each(&x, "schedule", OLD, OLD | OLD_SCHEDULED);
}

TEST(killed_while_it_confirms)
{
    CRASH(KEY_ROLE_HOST);

    x.act = act_confirm;
    kill_at_each(&x, "confirm", OLD, OLD | OLD_CONFIRMED);
}

TEST(killed_while_it_begins_to_follow)
{
    CRASH(KEY_ROLE_HOST);

    ASSERT_TRUE(add_successor(&x, 0));
    x.act = act_follow;
    kill_at_each(&x, "follow", OLD | NEW | NEW_PENDING, OLD | NEW | NEW_PENDING | NEW_FOLLOWS);
}

/* The next manager has the right time as well, and takes the steps that were not taken. */
TEST(killed_while_it_takes_steps)
{
    CRASH(KEY_ROLE_TARGET);

    ASSERT_TRUE(add_successor(&x, now_realtime() + DAY_USEC));
    ASSERT_OK(life_plan(&x.f, x.id, KEY_STEP_REVOKE, now_realtime() + DAY_USEC));
    x.act = act_steps;
    for (int n = 1, r = 1; r > 0; n++) {
        life_set_clocks(0, 0, true);
        ASSERT_OK(begin(&x));
        r = stepper_kill(deed, &x, n);
        if (r == -EPERM)
            TEST_SKIP("may not trace");
        ASSERT_TRUE(r >= 0);
        life_set_clocks(2 * DAY_USEC, 2 * DAY_USEC, true);
        ASSERT_EQ(recover(&x), OLD | REVOKED | NEW);
    }
    life_set_clocks(0, 0, true);
}

TEST(killed_while_it_removes)
{
    CRASH(KEY_ROLE_TARGET);

    x.act = act_remove;
    kill_at_each(&x, "remove", OLD, 0);
}
