// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes the NVMe/TCP host ask user space for a TLS PSK that it does not find.
 *
 * The kernel searches the keyring .nvme and gives up on a miss. This livepatch
 * replaces the function that searches by one that on a miss makes a request_key()
 * for "nvme-tls-psk:HOSTNQN SUBNQN", of type "user", and then searches once more.
 * What answers the request publishes the keys into .nvme; the key that results from
 * the request carries nothing that is needed here.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <keys/user-type.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/key-type.h>
#include <linux/key.h>
#include <linux/keyctl.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/nvme-keyring.h>
#include <linux/nvme-tcp.h>
#include <linux/nvme.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

#if !IS_ENABLED(CONFIG_LIVEPATCH)
#error "This kernel was built without CONFIG_LIVEPATCH."
#endif
#if !IS_ENABLED(CONFIG_NVME_TCP_TLS)
#error "This kernel was built without CONFIG_NVME_TCP_TLS, or is older than 6.7."
#endif

/* "NVMe1R02 ", two NQNs with a blank between, NUL. */
#define IDENTITY_SIZE (9 + NVMF_NQN_SIZE + 1 + NVMF_NQN_SIZE + 1)

/*
 * All of these are set before the patch is enabled and live until it is gone. Calling
 * nvme_keyring_id() binds nvme_keyring, so neither .nvme nor the key type can go before.
 */
static struct key *nvme_ring;
static struct key_type *psk_type;
static const struct cred *request_cred;
static bool has_version_1;

/* The order is the kernel's own. */
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

	/* Zeroed to its end: the match function of old kernels may read on behind the text. */
	identity = kzalloc(IDENTITY_SIZE, GFP_KERNEL);
	if (!identity)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(psk_kinds) && !serial; i++) {
		const struct psk_kind *k = &psk_kinds[i];

		if (k->version == 1 && !has_version_1)
			continue;
		snprintf(identity, IDENTITY_SIZE, "NVMe%u%c%02u %s %s", k->version, k->origin,
			 k->cipher, hostnqn, subnqn);
		serial = search_identity(ring, identity);
	}
	kfree(identity);
	return serial;
}

/*
 * We may be in anyone's context: a process in some container that connects, or the worker of
 * a reconnect. The request is the kernel's own and made with credentials of its own; so the
 * answer is in no keyring of theirs, and nothing in their keyrings can pass for one.
 */
static void request_pair(const char *hostnqn, const char *subnqn)
{
	const struct cred *saved;
	struct key *answer;
	char *description;

	description = kasprintf(GFP_KERNEL, "nvme-tls-psk:%s %s", hostnqn, subnqn);
	if (!description)
		return;
	saved = override_creds(request_cred);
	/* Only with a callout, be it empty, does a request go to user space. */
	answer = request_key(&key_type_user, description, "");
	revert_creds(saved);
	if (IS_ERR(answer)) {
		pr_debug("'%s': error %ld\n", description, PTR_ERR(answer));
	} else {
		/* The next miss has to ask again. */
		key_invalidate(answer);
		key_put(answer);
	}
	kfree(description);
}

static typeof(nvme_tls_psk_default) search_or_request;

static key_serial_t search_or_request(struct key *ring, const char *hostnqn, const char *subnqn)
{
	key_serial_t serial = search_pair(ring ?: nvme_ring, hostnqn, subnqn);

	/* Keys are published in .nvme only; who wants another keyring has to fill it. */
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
 * The key type is private to nvme_keyring, but a key leads to it. The same key tells if this
 * kernel knows identities of version 1, which it finds without their last word, the digest.
 */
static int __init find_psk_type(struct key *scratch)
{
	char without_digest[IDENTITY_SIZE] = "NVMe1R01 nqn.probe nqn.probe";
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

/* The thread keyring of these credentials remembers refusals, for as long as they say. */
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
	cred->thread_keyring = ring;
	cred->jit_keyring = KEY_REQKEY_DEFL_THREAD_KEYRING;
	request_cred = cred;
	return 0;
}

static void release(void)
{
	if (request_cred) {
		key_revoke(request_cred->thread_keyring);
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
		err = klp_enable_patch(&patch);
	if (err)
		release();
	else if (!has_version_1)
		pr_info("this kernel knows PSK identities of version 0 only\n");
	return err;
}

/* Only reached once the patch is disabled and no task is in it any more. */
static void __exit nvme_keyd_upcall_exit(void)
{
	release();
}

module_init(nvme_keyd_upcall_init);
module_exit(nvme_keyd_upcall_exit);
MODULE_DESCRIPTION("NVMe/TCP asks user space for missing TLS PSKs");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
