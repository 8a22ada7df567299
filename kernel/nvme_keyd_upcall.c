// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes the NVMe/TCP host ask user space for a missing TLS PSK, and compare NQNs to their ends.
 *
 * The kernel searches the keyring .nvme and gives up on a miss. This livepatch replaces the search
 * function: the new one calls request_key() on a miss, for "nvme-tls-psk:HOSTNQN SUBNQN" of type
 * "user", and then searches once more. The helper that answers publishes the keys in .nvme; the
 * payload of the requested key is not used here.
 *
 * The match function of the key type compares only as far as the wanted text goes, so it takes the
 * key of subsystem disk10 for disk1, and their hashes decide which of both it finds. The new match
 * function requires the word to end there.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <keys/user-type.h>
#include <linux/completion.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/key-type.h>
#include <linux/key.h>
#include <linux/keyctl.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/nvme-keyring.h>
#include <linux/nvme-tcp.h>
#include <linux/nvme.h>
#include <linux/refcount.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#if !IS_ENABLED(CONFIG_LIVEPATCH)
#error "This kernel was built without CONFIG_LIVEPATCH."
#endif
#if !IS_ENABLED(CONFIG_NVME_TCP_TLS)
#error "This kernel was built without CONFIG_NVME_TCP_TLS, or is older than 6.7."
#endif

/* "NVMe1R02 ", two NQNs each followed by a blank, NUL. */
#define IDENTITY_SIZE (9 + NVMF_NQN_SIZE + 1 + NVMF_NQN_SIZE + 1 + 1)

#define REQUEST_PREFIX "nvme-tls-psk:"
#define REQUEST_SIZE (sizeof(REQUEST_PREFIX) + NVMF_NQN_SIZE + 1 + NVMF_NQN_SIZE)

/*
 * The helper has a shorter deadline of its own. This one is for a helper that cannot even start,
 * because the root file system is on the very disk that reconnects.
 */
#define WAIT_SECONDS 15

/*
 * These are set before the patch is enabled and live until it is gone. Calling nvme_keyring_id()
 * makes this module depend on nvme_keyring, so .nvme and the key type outlive it.
 */
static struct key *nvme_ring;
static struct key_type *psk_type;
static const struct cred *request_cred;
static struct workqueue_struct *request_queue;
static bool has_version_1;

struct request {
	struct work_struct work;
	struct completion done;
	refcount_t holders;
	char description[REQUEST_SIZE];
};

/* In the order in which the kernel searches. */
/* clang-format off */
static const struct psk_kind {
	unsigned int version;
	char origin;
	unsigned int cipher;
} psk_kinds[] = {
	{ 1, 'R', NVME_TCP_TLS_CIPHER_SHA384 },
	{ 1, 'R', NVME_TCP_TLS_CIPHER_SHA256 },
	{ 0, 'R', NVME_TCP_TLS_CIPHER_SHA384 },
	{ 0, 'R', NVME_TCP_TLS_CIPHER_SHA256 },
	{ 1, 'G', NVME_TCP_TLS_CIPHER_SHA384 },
	{ 1, 'G', NVME_TCP_TLS_CIPHER_SHA256 },
	{ 0, 'G', NVME_TCP_TLS_CIPHER_SHA384 },
	{ 0, 'G', NVME_TCP_TLS_CIPHER_SHA256 },
};

/* clang-format on */

/*
 * Replaces nvme_tls_psk_match(): the description begins with the wanted words, and the last of them
 * ends there.
 */
static bool match_words(const struct key *key, const struct key_match_data *match_data)
{
	const char *wanted = match_data->raw_data, *have = key->description;
	size_t length;

	if (!wanted || !have)
		return false;
	length = strlen(wanted);
	if (strncmp(have, wanted, length))
		return false;
	return !length || wanted[length - 1] == ' ' || have[length] == ' ' || !have[length];
}

/* A revoked or expired key is a miss. */
static key_serial_t search_identity(struct key *ring, const char *identity)
{
	key_ref_t found = keyring_search(make_key_ref(ring, true), psk_type, identity, false);
	key_serial_t serial;

	if (IS_ERR(found))
		return 0;
	serial = key_serial(key_ref_to_ptr(found));
	key_ref_put(found);
	return serial;
}

static key_serial_t search_pair(struct key *ring, const char *hostnqn, const char *subnqn)
{
	key_serial_t serial = 0;
	char *identity;

	/* Zeroed to its end: the match function of old kernels may read past the text. */
	identity = kzalloc(IDENTITY_SIZE, GFP_KERNEL);
	if (!identity)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(psk_kinds) && !serial; i++) {
		const struct psk_kind *k = &psk_kinds[i];

		if (k->version == 1 && !has_version_1)
			continue;
		/* The last word of version 1, the digest, is unknown here. */
		snprintf(identity, IDENTITY_SIZE, "NVMe%u%c%02u %s %s%s", k->version, k->origin,
			 k->cipher, hostnqn, subnqn, k->version == 1 ? " " : "");
		serial = search_identity(ring, identity);
	}
	kfree(identity);
	return serial;
}

static void request_put(struct request *request)
{
	if (refcount_dec_and_test(&request->holders))
		kfree(request);
}

/* No /sbin/request-key yet, no new processes during suspend, no memory. */
static bool reached_no_helper(long err)
{
	return err == -ENOENT || err == -EBUSY || err == -ENOMEM;
}

/*
 * A negative key can be neither found nor unlinked by its name. Adding a key of that name makes it
 * positive, and then it can be unlinked. Keys of other pairs stay.
 */
static void forget_refusal(struct key *ring, const char *description)
{
	key_ref_t key = key_create_or_update(make_key_ref(ring, true), "user", description, "", 1,
					     KEY_POS_ALL, KEY_ALLOC_NOT_IN_QUOTA);

	if (IS_ERR(key)) {
		pr_debug("'%s': stays refused, error %ld\n", description, PTR_ERR(key));
		return;
	}
	key_unlink(ring, key_ref_to_ptr(key));
	key_ref_put(key);
}

/*
 * A refusal stays in the keyring, for as long as the helper said, and keeps the next miss from
 * asking. An answer must not do that, nor a request that reached no helper.
 */
static void forget(const char *description, struct key *answer)
{
	struct key *ring = request_cred->session_keyring;

	if (!IS_ERR(answer)) {
		/* An invalidated key would block requests until it is collected. */
		key_unlink(ring, answer);
		key_put(answer);
		return;
	}
	pr_debug("'%s': error %ld\n", description, PTR_ERR(answer));
	if (reached_no_helper(PTR_ERR(answer)))
		forget_refusal(ring, description);
}

static void request_work(struct work_struct *work)
{
	struct request *request = container_of(work, struct request, work);
	const struct cred *saved = override_creds(request_cred);
	struct key *answer;

	/* The callout, although empty, makes the request go to user space. */
	answer = request_key(&key_type_user, request->description, "");
	forget(request->description, answer);
	revert_creds(saved);
	/* The module stays: its exit waits for this work. */
	module_put(THIS_MODULE);
	complete(&request->done);
	request_put(request);
}

/*
 * A worker makes the request, because we may not wait for ever: we run in a process of some
 * container, or in the worker of a reconnect, and block all other connects. A request that timed
 * out holds the module.
 */
static void request_pair(const char *hostnqn, const char *subnqn)
{
	struct request *request = kzalloc(sizeof(*request), GFP_KERNEL);

	if (!request)
		return;
	INIT_WORK(&request->work, request_work);
	init_completion(&request->done);
	refcount_set(&request->holders, 2);
	snprintf(request->description, sizeof(request->description), REQUEST_PREFIX "%s %s",
		 hostnqn, subnqn);
	__module_get(THIS_MODULE);
	queue_work(request_queue, &request->work);
	if (!wait_for_completion_killable_timeout(&request->done, WAIT_SECONDS * HZ))
		pr_warn_ratelimited("'%s': no answer in %d s\n", request->description,
				    WAIT_SECONDS);
	request_put(request);
}

static typeof(nvme_tls_psk_default) search_or_request;

static key_serial_t search_or_request(struct key *ring, const char *hostnqn, const char *subnqn)
{
	key_serial_t serial = search_pair(ring ?: nvme_ring, hostnqn, subnqn);

	/* Keys are published in .nvme only; another program fills other keyrings. */
	if (serial || (ring && ring != nvme_ring))
		return serial;
	request_pair(hostnqn, subnqn);
	return search_pair(nvme_ring, hostnqn, subnqn);
}

static struct klp_func functions[] = {
	{
		.old_name = "nvme_tls_psk_default",
		.new_func = search_or_request,
	},
	{
		.old_name = "nvme_tls_psk_match",
		.new_func = match_words,
	},
	{},
};

static struct klp_object objects[] = {
	{
		.name = IS_BUILTIN(CONFIG_NVME_KEYRING) ? NULL : "nvme_keyring",
		.funcs = functions,
	},
	{},
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objects,
};

static int __init find_ring(void)
{
	struct key *ring = key_lookup(nvme_keyring_id());

	if (IS_ERR(ring)) {
		pr_err("there is no keyring .nvme, error %ld\n", PTR_ERR(ring));
		return PTR_ERR(ring);
	}
	nvme_ring = ring;
	return 0;
}

/*
 * The key type is private to nvme_keyring, but a key leads to it. The same key shows whether this
 * kernel knows identities of version 1: it then finds them without their last word, the digest.
 */
static int __init find_psk_type(struct key *scratch)
{
	char without_digest[IDENTITY_SIZE] = "NVMe1R01 nqn.probe nqn.probe ";
	key_ref_t probe;

	probe = key_create_or_update(make_key_ref(scratch, true), "psk",
				     "NVMe1R01 nqn.probe nqn.probe digest", "", 1, KEY_POS_ALL,
				     KEY_ALLOC_NOT_IN_QUOTA);
	if (IS_ERR(probe)) {
		pr_err("there is no key type psk, error %ld\n", PTR_ERR(probe));
		return PTR_ERR(probe);
	}
	psk_type = key_ref_to_ptr(probe)->type;
	has_version_1 = search_identity(scratch, without_digest) != 0;
	key_ref_put(probe);
	return 0;
}

static struct key *__init make_ring(const char *name, const struct cred *cred)
{
	return keyring_alloc(name, GLOBAL_ROOT_UID, GLOBAL_ROOT_GID, cred,
			     (KEY_POS_ALL & ~KEY_POS_SETATTR) | KEY_USR_VIEW | KEY_USR_READ,
			     KEY_ALLOC_NOT_IN_QUOTA, NULL, NULL);
}

static int __init probe_psk_type(void)
{
	struct key *scratch = make_ring(".nvme_keyd_probe", current_cred());
	int err;

	if (IS_ERR(scratch))
		return PTR_ERR(scratch);
	err = find_psk_type(scratch);
	key_put(scratch);
	return err;
}

/*
 * The request is the kernel's own, whichever process connects. Answers go into this one keyring, so
 * no other keyring gets one, and no key of another keyring can pass for one. It is the session
 * keyring, because without one the keys of root's user session would count as well.
 */
static int __init make_request_cred(void)
{
	struct cred *cred = prepare_kernel_cred(&init_task);
	struct key *ring;

	if (!cred)
		return -ENOMEM;
	ring = make_ring(".nvme_keyd_upcall", cred);
	if (IS_ERR(ring)) {
		put_cred(cred);
		return PTR_ERR(ring);
	}
	set_bit(KEY_FLAG_ROOT_CAN_CLEAR, &ring->flags);
	cred->session_keyring = ring;
	cred->jit_keyring = KEY_REQKEY_DEFL_SESSION_KEYRING;
	request_cred = cred;
	return 0;
}

static int __init make_request_queue(void)
{
	request_queue = alloc_workqueue(KBUILD_MODNAME, WQ_UNBOUND, 0);
	return request_queue ? 0 : -ENOMEM;
}

static void release(void)
{
	if (request_queue)
		destroy_workqueue(request_queue);
	if (request_cred) {
		key_revoke(request_cred->session_keyring);
		put_cred(request_cred);
	}
	key_put(nvme_ring);
}

static int __init nvme_keyd_upcall_init(void)
{
	int err;

	err = find_ring();
	if (!err)
		err = probe_psk_type();
	if (!err)
		err = make_request_cred();
	if (!err)
		err = make_request_queue();
	if (!err)
		err = klp_enable_patch(&patch);
	if (err)
		release();
	else if (!has_version_1)
		pr_info("this kernel knows PSK identities of version 0 only\n");
	return err;
}

/* Runs only after the patch is disabled, no task is in it any more, and no request is left. */
static void __exit nvme_keyd_upcall_exit(void)
{
	release();
}

module_init(nvme_keyd_upcall_init);
module_exit(nvme_keyd_upcall_exit);
MODULE_DESCRIPTION("NVMe/TCP asks user space for missing TLS PSKs");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
