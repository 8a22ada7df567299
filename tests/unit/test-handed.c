/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "credstore/store.h"
#include "keyd-fixture.h"
#include "nvme-keyd/handed/handed.h"
#include "nvme-keyd/handed/limits.h"
#include "nvme-keyd/manager/import.h"
#include "nvme-keyd/upcall/answer.h"
#include "tree.h"

/* Handed-in keys: which of them are published, and which key of a pair takes precedence. */

#define OTHER "nqn.2026-11.org.example:b"
#define PSK_A "NVMeTLSkey-1:01:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:"
#define PSK_B "NVMeTLSkey-1:01:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAl7OaH:"
#define DERIVED                                                                                    \
    "NVMe0R01 " HOST " " OTHER " NVMeTLSkey-1:01:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+"      \
    "KfiaR:"

static char directory[64];

static void remove_directory(void)
{
    tree_remove(directory);
    directory[0] = '\0';
    unsetenv("CREDENTIALS_DIRECTORY");
    unsetenv(NAMES_ENV_CREDENTIALS);
}

static bool put_in(const char *dir, const char *name, const char *text)
{
    _cleanup_(closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0 && io_write_file_at(fd, name, text, strlen(text)) == 0;
}

/* Writes a credential; the first one makes the directory. */
static bool give(const char *name, const char *text)
{
    if (!directory[0]) {
        strcpy(directory, "/tmp/test-handed-XXXXXX");
        if (!mkdtemp(directory) || setenv("CREDENTIALS_DIRECTORY", directory, 1) < 0)
            return false;
    }
    return put_in(directory, name, text);
}

/* Starts the next instance, which reads the credentials, and reconciles. */
static int read_again(Fixture *f, ReconcileResult *ret)
{
    int r = fixture_restart(f) ? manager_read_handed_in(f->m) : -ENOMEM;

    return r < 0 ? r : fixture_sync(f, ret);
}

static const Key *find(const Fixture *f, const char *subsysnqn, bool of_credential)
{
    const Key *k;

    KEY_TABLE_FOREACH(manager_keys(f->m), k)
    {
        if (strcmp(k->subsysnqn, subsysnqn) == 0 && key_is_handed_in(k) == of_credential)
            return k;
    }
    return NULL;
}

/* Opens the store, so that its lock keeps others out. */
static bool lock_store(const Fixture *f, Store **ret)
{
    _cleanup_(freep) char *detail = NULL;

    return store_attach(f->dir, ret, &detail) == 0;
}

static bool no_store(const Fixture *f)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/store", f->dir);
    return !manager_store(f->m) && access(path, F_OK) < 0 && errno == ENOENT;
}

#define GIVEN                                                                                      \
    FIXTURE;                                                                                       \
    remove_directory()

/* Handed-in keys need no store, and cause none to be made. */
TEST(without_store)
{
    char id[STORE_ID_SIZE];
    ReconcileResult s;
    const Key *k;
    int32_t serial;
    GIVEN;

    ASSERT_TRUE(give("nvme-keyd.psk", HOST " " SUBSYSTEM " " PSK_A "\n"));
    ASSERT_TRUE(give("nvme-keyd.psk.more", "# of a target\nrole=target " DERIVED));
    ASSERT_TRUE(give("nvme-keyd.pskx", HOST " nqn.2026-11.org.example:c " PSK_A "\n"));
    ASSERT_OK(read_again(&f, &s));
    ASSERT_EQ(s.added, 2);
    ASSERT_EQ(fixture_keys(&f), 2);
    ASSERT_EQ(manager_handed_in(f.m).keys, 2);
    ASSERT_EQ(manager_handed_in(f.m).problems, 0);
    k = find(&f, OTHER, true);
    ASSERT_TRUE(k && ring_has_key(k, 0));
    ASSERT_STR(k->handed_by, "nvme-keyd.psk.more");
    k = find(&f, SUBSYSTEM, true);
    ASSERT_TRUE(k && ring_has_key(k, 1));
    ASSERT_STR(k->handed_by, "nvme-keyd.psk");
    ASSERT_EQ(k->created_usec, 0);
    strcpy(id, k->id);
    serial = k->serials[1];
    ASSERT_TRUE(no_store(&f));

    /* The next instance recognises the key in the ring. */
    ASSERT_OK(read_again(&f, &s));
    ASSERT_EQ(s.added, 0);
    ASSERT_EQ(s.kept, 2);
    k = key_table_find(manager_keys(f.m), id);
    ASSERT_TRUE(k);
    ASSERT_EQ(k->serials[1], serial);
    ASSERT_TRUE(no_store(&f));
    remove_directory();
}

/* A key that is no longer in a credential is withdrawn, also if the store, and so its wishes, are
 * unknown. */
TEST(gone)
{
    ReconcileResult s;
    GIVEN;

    ASSERT_TRUE(setegid(MARK) == 0);
    ASSERT_TRUE(give("nvme-keyd.psk.a", HOST " " SUBSYSTEM " " PSK_A "\n"));
    ASSERT_TRUE(give("nvme-keyd.psk.b", HOST " " OTHER " " PSK_A "\n"));
    ASSERT_OK(read_again(&f, &s));
    ASSERT_EQ(s.added, 2);
    ASSERT_TRUE(ring_put(MARK, "NVMe0R01 " HOST " nqn.2026-11.org.example:of-a-store", "x") > 0);

    /* An instance without credentials withdraws no handed-in key. */
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.removed, 0);
    ASSERT_EQ(ring_size(), 3);

    /* The line that cannot be parsed may be the one of the published key. */
    ASSERT_TRUE(give("nvme-keyd.psk.a", HOST " " SUBSYSTEM " NVMeTLSkey-1:\n"));
    ASSERT_OK(read_again(&f, &s));
    ASSERT_EQ(s.removed, 0);
    ASSERT_EQ(s.kept, 1);
    ASSERT_EQ(manager_handed_in(f.m).problems, 1);

    ASSERT_TRUE(give("nvme-keyd.psk.a", "\n"));
    ASSERT_OK(read_again(&f, &s));
    ASSERT_EQ(s.removed, 1);
    ASSERT_EQ(s.kept, 1);
    ASSERT_EQ(ring_size(), 2);
    ASSERT_TRUE(give("nvme-keyd.psk.b", "# nothing"));
    ASSERT_OK(read_again(&f, &s));
    ASSERT_EQ(s.removed, 1);
    ASSERT_EQ(ring_size(), 1);
    remove_directory();
}

static bool problem_is(const Fixture *f, size_t n, const char *begin)
{
    const char *text = manager_handed_problem(f->m, n);

    if (text && strncmp(text, begin, strlen(begin)) == 0)
        return true;
    printf("# %s\n", text ? text : "(none)");
    return false;
}

/* Each bad line is reported by its number and without its content; the other lines count. */
TEST(problems)
{
    ReconcileResult s;
    GIVEN;

    ASSERT_TRUE(give("nvme-keyd.psk.1", "x\n\n" HOST " " SUBSYSTEM " " PSK_A "\nrole=x y z"));
    ASSERT_TRUE(
        give("nvme-keyd.psk.2", HOST " " SUBSYSTEM " " PSK_B "\n" HOST " " OTHER " " PSK_B));
    ASSERT_TRUE(give("nvme-keyd.psk.3", HOST " " OTHER "b " PSK_A));
    ASSERT_TRUE(give("nvme-keyd.psk.\n", HOST " " OTHER "c " PSK_A));
    ASSERT_OK(read_again(&f, &s));
    ASSERT_EQ(manager_handed_in(f.m).problems, 5);
    ASSERT_TRUE(problem_is(&f, 0, "credentials: "));
    ASSERT_TRUE(problem_is(&f, 1, "credential nvme-keyd.psk.1, line 1: not a line"));
    ASSERT_TRUE(problem_is(&f, 2, "credential nvme-keyd.psk.1, line 4: options are"));
    ASSERT_TRUE(problem_is(&f, 3,
                           "credential nvme-keyd.psk.2, line 1: a key for this host and "
                           "subsystem NQN is in nvme-keyd.psk.1 already"));
    ASSERT_TRUE(problem_is(&f, 4, "credential nvme-keyd.psk.3, line 1: the kernel may confuse"));
    ASSERT_TRUE(!manager_handed_problem(f.m, 5));
    ASSERT_EQ(manager_handed_in(f.m).keys, 3);
    ASSERT_EQ(s.added, 3);
    remove_directory();
}

TEST(limits)
{
    _cleanup_(freep) char *text = calloc(1, HANDED_SIZE_MAX + 2);
    ReconcileResult s;
    GIVEN;

    ASSERT_TRUE(text);
    memset(text, '\n', HANDED_SIZE_MAX + 1);
    ASSERT_TRUE(give("nvme-keyd.psk.1", text));
    for (size_t i = 0; i < HANDED_SIZE_MAX; i += 2)
        text[i] = 'x';
    text[HANDED_SIZE_MAX] = '\0';
    ASSERT_TRUE(give("nvme-keyd.psk.2", text));
    ASSERT_TRUE(give("nvme-keyd.psk.3", ""));
    ASSERT_OK(read_again(&f, &s));
    ASSERT_TRUE(problem_is(&f, 0, "credential nvme-keyd.psk.1: more than"));
    ASSERT_TRUE(problem_is(&f, 1, "credential nvme-keyd.psk.2, line 1: "));
    ASSERT_TRUE(problem_is(&f, HANDED_PROBLEMS_MAX - 1, "credential nvme-keyd.psk.2"));
    ASSERT_TRUE(!manager_handed_problem(f.m, HANDED_PROBLEMS_MAX));
    ASSERT_EQ(manager_handed_in(f.m).problems, HANDED_SIZE_MAX / 2 + 1);
    remove_directory();
}

static int take_key(Key *k, _unused_ size_t n, void *userdata)
{
    *(Key **)userdata = k;
    return 0;
}

/* LoadCredential= hands in a file of credstore.encrypted without unsealing it. */
TEST(still_sealed)
{
    GIVEN;

    ASSERT_TRUE(give("nvme-keyd.psk", "Whxqht+dQJax1aZeCGLxmiAAAAAB\nAAAADAAAABAAAAA=\n"));
    ASSERT_TRUE(give("nvme-keyd.psk.x", "1AYt+3GtTIaAS0DvEYDx/CAAAAABAAAADAAAABAAAAA=\n"));
    ASSERT_OK(manager_read_handed_in(f.m));
    ASSERT_EQ(manager_handed_in(f.m).problems, 2);
    ASSERT_TRUE(problem_is(&f, 0, "credential nvme-keyd.psk: still sealed (by host): "));
    ASSERT_TRUE(problem_is(&f, 1, "credential nvme-keyd.psk.x: still sealed (by tpm2): "));
    remove_directory();
}

static void take_problem(_unused_ const char *name, _unused_ size_t n, const char *text,
                         void *userdata)
{
    *(const char **)userdata = strstr(text, NAMES_HOSTNQN_FILE);
}

TEST(own_host)
{
    static const char text[] = "role=both " SUBSYSTEM " " PSK_A;
    _cleanup_(key_freep) Key *k = NULL;
    const char *problem = NULL;
    const HandedVisitor named = {take_key, take_problem, HOST, &k},
                        unnamed = {take_key, take_problem, NULL, &problem};

    ASSERT_OK(handed_read_text("x", text, strlen(text), &named));
    ASSERT_TRUE(k);
    ASSERT_STR(k->hostnqn, HOST);
    ASSERT_TRUE(k->identities[0] && k->identities[1]);
    ASSERT_OK(handed_read_text("x", text, strlen(text), &unnamed));
    ASSERT_TRUE(problem);
}

/* The store opens late: until then the handed-in key is published, and then that of the store. */
TEST(store_late)
{
    _cleanup_(store_closep) Store *other = NULL;
    char id[STORE_ID_SIZE];
    const Key *k;
    ReconcileResult s;
    GIVEN;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 7);
    ASSERT_TRUE(k);
    strcpy(id, k->id);
    ASSERT_TRUE(give("nvme-keyd.psk", HOST " " SUBSYSTEM " " PSK_A "\n" HOST " " OTHER " " PSK_A));
    f.m = manager_free(f.m);
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_TRUE(lock_store(&f, &other));
    ASSERT_EQ(read_again(&f, &s), -EBUSY);
    ASSERT_EQ(s.added, 2);
    k = find(&f, SUBSYSTEM, true);
    ASSERT_TRUE(k && ring_has_key(k, 1));
    ASSERT_TRUE(!manager_next_overridden(f.m));
    ASSERT_EQ(fixture_sync(&f, &s), -EBUSY);
    ASSERT_EQ(s.kept, 2);

    other = store_close(other);
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.added, 1);
    ASSERT_EQ(s.kept, 1);
    ASSERT_EQ(s.removed, 1);
    ASSERT_EQ(k->state, KEY_OVERRIDDEN);
    ASSERT_EQ(k->serials[1], 0);
    ASSERT_TRUE(manager_next_overridden(f.m) == k);
    ASSERT_TRUE(!manager_next_overridden(f.m));
    ASSERT_EQ(manager_handed_in(f.m).overridden, 1);
    k = key_table_find(manager_keys(f.m), id);
    ASSERT_TRUE(k && ring_has_key(k, 1));
    ASSERT_EQ(ring_size(), 2);

    /* The override lasts, and is logged once. */
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.kept, 2);
    ASSERT_TRUE(!manager_next_overridden(f.m));
    remove_directory();
}

/* A handed-in key stays out while the store is closed and the ring has its key of the same pair. */
TEST(store_locked_later)
{
    _cleanup_(store_closep) Store *other = NULL;
    ReconcileResult s;
    GIVEN;

    ASSERT_TRUE(setegid(MARK) == 0);
    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 7));
    ASSERT_EQ(ring_size(), 1);
    ASSERT_TRUE(give("nvme-keyd.psk", HOST " " SUBSYSTEM " " PSK_A "\n" HOST " " OTHER " " PSK_A));
    f.m = manager_free(f.m);
    ASSERT_TRUE(lock_store(&f, &other));
    ASSERT_EQ(read_again(&f, &s), -EBUSY);
    ASSERT_EQ(s.added, 1);
    ASSERT_EQ(ring_size(), 2);
    ASSERT_TRUE(find(&f, SUBSYSTEM, true)->serials[1] == 0);
    remove_directory();
}

/* Both have the same PSK: the key in the ring stays, and belongs to the store from then on. */
TEST(same_psk)
{
    _cleanup_(store_closep) Store *other = NULL;
    int32_t serial;
    ReconcileResult s;
    Key *k;
    GIVEN;

    ASSERT_TRUE(setegid(MARK) == 0);
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 0);
    ASSERT_TRUE(k);
    ASSERT_TRUE(give("nvme-keyd.psk", HOST " " SUBSYSTEM " " PSK_A));
    f.m = manager_free(f.m);
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_TRUE(lock_store(&f, &other));
    ASSERT_EQ(read_again(&f, &s), -EBUSY);
    serial = find(&f, SUBSYSTEM, true)->serials[1];
    ASSERT_TRUE(serial > 0);
    other = store_close(other);
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.kept, 1);
    ASSERT_EQ(find(&f, SUBSYSTEM, false)->serials[1], serial);

    /* The key no longer has the mark of a handed-in one, so it stays although the store is
     * closed. */
    remove_directory();
    f.m = manager_free(f.m);
    ASSERT_TRUE(lock_store(&f, &other));
    ASSERT_EQ(read_again(&f, &s), -EBUSY);
    ASSERT_EQ(s.removed, 0);
    ASSERT_EQ(ring_size(), 1);
}

/* The store key overrides the handed-in one for as long as it exists. */
TEST(add_and_remove)
{
    char id[STORE_ID_SIZE];
    const Key *k;
    Key *added;
    ReconcileResult s;
    GIVEN;

    ASSERT_TRUE(give("nvme-keyd.psk", HOST " " SUBSYSTEM " " PSK_A));
    ASSERT_OK(read_again(&f, &s));
    k = find(&f, SUBSYSTEM, true);
    added = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 7);
    ASSERT_TRUE(added && ring_has_key(added, 1));
    ASSERT_EQ(k->state, KEY_OVERRIDDEN);
    ASSERT_EQ(ring_size(), 1);
    ASSERT_TRUE(manager_next_overridden(f.m) == k);
    ASSERT_EQ(fixture_try_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 0, 8, &added), -EEXIST);

    strcpy(id, added->id);
    added = fixture_rotate(&f, id, 9);
    ASSERT_TRUE(added && ring_has_key(added, 1));
    ASSERT_EQ(ring_size(), 1);
    ASSERT_EQ(k->state, KEY_OVERRIDDEN);

    strcpy(id, added->id);
    ASSERT_OK(fixture_remove(&f, id));
    ASSERT_EQ(k->state, KEY_ACTIVE);
    ASSERT_TRUE(ring_has_key(k, 1));
    ASSERT_EQ(ring_size(), 1);

    /* The same PSK: the serial may change, but there is one key. */
    added = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 0);
    ASSERT_TRUE(added && ring_has_key(added, 1));
    ASSERT_EQ(k->serials[1], 0);
    ASSERT_EQ(ring_size(), 1);
    ASSERT_OK(fixture_remove(&f, added->id));
    ASSERT_TRUE(ring_has_key(k, 1));

    /* A store that is closed takes its keys along, and leaves the handed-in ones. */
    fixture_close(&f);
    ASSERT_EQ(fixture_keys(&f), 1);
    remove_directory();
}

/* A store key that could not be published does not replace a handed-in key that is. */
TEST(add_refused_by_ring)
{
    const Key *k;
    ReconcileResult s;
    GIVEN;

    ASSERT_TRUE(ring_make());
    ASSERT_TRUE(give("nvme-keyd.psk", HOST " " SUBSYSTEM " " PSK_A));
    ASSERT_OK(read_again(&f, &s));
    k = find(&f, SUBSYSTEM, true);
    ASSERT_TRUE(ring_set_writable(false));
    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 7));
    ASSERT_TRUE(ring_set_writable(true));
    ASSERT_EQ(ring_size(), 1);
    ASSERT_TRUE(ring_find(k->identities[1]) > 0);
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.added, 1);
    ASSERT_EQ(s.removed, 1);
    ASSERT_TRUE(ring_has_key(find(&f, SUBSYSTEM, false), 1));
    remove_directory();
}

/* An import stores a key although the same one is handed in. */
TEST(import)
{
    ImportKey key = {.hostnqn = HOST, .subsysnqn = SUBSYSTEM, .psk = PSK_A};
    const ImportRequest q = {.common = {.role = KEY_ROLE_HOST}, .keys = &key, .n = 1};
    _cleanup_(freep) char *detail = NULL;
    _cleanup_(import_fault_done) ImportFault fault = {.n = 0};
    _cleanup_(import_result_done) ImportResult result = {.is_unchanged = NULL};
    ReconcileResult s;
    GIVEN;

    ASSERT_TRUE(give("nvme-keyd.psk", HOST " " SUBSYSTEM " " PSK_A));
    ASSERT_OK(read_again(&f, &s));
    while (!manager_await_import(f.m, &q))
        ASSERT_TRUE(sd_event_run(f.event, UINT64_MAX) >= 0);
    ASSERT_OK(manager_import(f.m, &q, &result, &fault, &detail));
    ASSERT_EQ(result.added, 1);
    ASSERT_EQ(find(&f, SUBSYSTEM, true)->state, KEY_OVERRIDDEN);
    ASSERT_EQ(ring_size(), 1);
    remove_directory();
}

TEST(refused)
{
    _cleanup_(freep) char *detail = NULL, *again = NULL, *warning = NULL;
    const Rotation q = {.at_once = true};
    char id[STORE_ID_SIZE];
    Key *k = NULL;
    ReconcileResult s;
    GIVEN;

    ASSERT_TRUE(give("nvme-keyd.psk.x", HOST " " SUBSYSTEM " " PSK_A));
    ASSERT_OK(read_again(&f, &s));
    strcpy(id, find(&f, SUBSYSTEM, true)->id);
    ASSERT_EQ(manager_rotate(f.m, id, &q, &k, &warning, &detail), -EBUSY);
    ASSERT_TRUE(detail && strstr(detail, "nvme-keyd.psk.x"));
    ASSERT_EQ(manager_remove(f.m, id, false, &again), -EBUSY);
    ASSERT_TRUE(again && strstr(again, "nvme-keyd.psk.x"));
    ASSERT_TRUE(no_store(&f));
    ASSERT_EQ(ring_size(), 1);
    remove_directory();
}

/* No PSK stays in memory, so a key whose credential has vanished cannot be published. */
TEST(changed_below)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    const Key *k;
    ReconcileResult s;
    GIVEN;

    ASSERT_TRUE(give("nvme-keyd.psk", "\n" HOST " " SUBSYSTEM " " PSK_A));
    ASSERT_OK(read_again(&f, &s));
    k = find(&f, SUBSYSTEM, true);
    ASSERT_OK(key_unseal(k, &payload));
    payload = secret_free(payload);
    ASSERT_TRUE(give("nvme-keyd.psk", "\n" HOST " " SUBSYSTEM " " PSK_B));
    ASSERT_EQ(key_unseal(k, &payload), -ESTALE);
    ASSERT_TRUE(give("nvme-keyd.psk", "\n" HOST));
    ASSERT_EQ(key_unseal(k, &payload), -ESTALE);
    remove_directory();
    ASSERT_EQ(key_unseal(k, &payload), -ENOENT);
    ASSERT_TRUE(!payload);
}

/* Credentials of the service itself come before those that another unit has fetched. */
TEST(two_places)
{
    char second[64] = "/tmp/test-handed-XXXXXX";
    ReconcileResult s;
    const Key *k;
    bool given;
    GIVEN;

    ASSERT_TRUE(mkdtemp(second));
    ASSERT_TRUE(setenv(NAMES_ENV_CREDENTIALS, second, 1) == 0);
    given = give("nvme-keyd.psk.a", HOST " " SUBSYSTEM " " PSK_A) &&
            put_in(second, "nvme-keyd.psk.a", HOST " " SUBSYSTEM " " PSK_B) &&
            put_in(second, "nvme-keyd.psk.b", HOST " " OTHER " " PSK_B);
    ASSERT_TRUE(given);
    ASSERT_OK(read_again(&f, &s));
    ASSERT_EQ(s.added, 2);
    ASSERT_EQ(manager_handed_in(f.m).problems, 0);
    k = find(&f, OTHER, true);
    ASSERT_TRUE(k && ring_has_key(k, 1));

    /* The second directory may lack a credential until its mark says that it is complete. */
    ASSERT_TRUE(put_in(second, "nvme-keyd.psk.b", "\n"));
    ASSERT_OK(read_again(&f, &s));
    ASSERT_EQ(s.removed, 0);
    ASSERT_EQ(manager_handed_in(f.m).problems, 0);
    ASSERT_TRUE(put_in(second, NAMES_FETCHED_CREDENTIAL, "yes"));
    ASSERT_OK(read_again(&f, &s));
    ASSERT_EQ(s.removed, 1);
    remove_directory();
    tree_remove(second);
}

static bool ask(const Fixture *f, const char *type, const char *text, UpcallReply *ret)
{
    UpcallRequest q = {.magic = UPCALL_MAGIC};

    strcpy(q.type, type);
    strcpy(q.text, text);
    return upcall_answer(f->m, &q, offsetof(UpcallRequest, text) + strlen(text), ret);
}

/* A request for a handed-in key is answered without the store; any other request waits for the
 * store. */
TEST(requests)
{
    _cleanup_(store_closep) Store *other = NULL;
    UpcallReply reply;
    ReconcileResult s;
    const Key *k;
    GIVEN;

    ASSERT_TRUE(fixture_add(&f, OTHER, KEY_ROLE_HOST, 7));
    f.m = manager_free(f.m);
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_TRUE(give("nvme-keyd.psk", HOST " " SUBSYSTEM " " PSK_A));
    ASSERT_TRUE(lock_store(&f, &other));
    ASSERT_EQ(read_again(&f, &s), -EBUSY);
    k = find(&f, SUBSYSTEM, true);

    ASSERT_TRUE(ask(&f, "user", NAMES_PAIR_REQUEST HOST " " SUBSYSTEM, &reply));
    ASSERT_EQ(reply.error, 0);
    ASSERT_TRUE(reply.size > 0);
    ASSERT_TRUE(ask(&f, NAMES_KEY_TYPE_STAND_IN, k->identities[1], &reply));
    ASSERT_EQ(reply.error, 0);
    ASSERT_EQ(reply.size, 32);
    ASSERT_TRUE(ask(&f, NAMES_KEY_TYPE_STAND_IN, "NVMe1R01 " HOST " " SUBSYSTEM, &reply));
    ASSERT_EQ(reply.error, EAGAIN);
    ASSERT_TRUE(ask(&f, "user", NAMES_PAIR_REQUEST HOST " " OTHER, &reply));
    ASSERT_EQ(reply.error, EKEYREJECTED);
    remove_directory();
}
