/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Strings that other programs see: paths, interface, environment, journal fields and ids. */

#define NAMES_MANAGER_INTERFACE "org.nvmekeyd.Manager"
#define NAMES_MANAGER_SOCKET "/run/nvme-keyd/org.nvmekeyd.Manager"
/* Drop directory of envelopes. */
#define NAMES_INBOX "/run/nvme-keyd/inbox"
#define NAMES_REQUEST_SOCKET "/run/nvme-keyd/request"
/* Each connection starts an nvme-keyd-probe. */
#define NAMES_PROBE_SOCKET "/run/nvme-keyd/probe"
/* Its mtime is the time of the last refusal that the shim logged. */
#define NAMES_REFUSED_FILE "/run/nvme-keyd/refused"
/* FileDescriptorName= of the two socket units. */
#define NAMES_FD_VARLINK "varlink"
#define NAMES_FD_REQUEST "request"

/* The configuration and, with ".d", its drop-ins are in each of these; the first one wins. */
#define NAMES_CONFIG_NAME "nvme-keyd.conf"
#define NAMES_CONFIG_DIRECTORIES                                                                   \
    "/etc/nvme-keyd", "/run/nvme-keyd", "/usr/local/lib/nvme-keyd", "/usr/lib/nvme-keyd"
/* Exists once systemd-timesyncd has set the clock. */
#define NAMES_CLOCK_SYNCHRONIZED "/run/systemd/timesync/synchronized"
#define NAMES_STATE_DIRECTORY "/var/lib/nvme-keyd"
#define NAMES_HOSTNQN_FILE "/etc/nvme/hostnqn"
/* Credentials of systemd that nvme-keysd of nvme-cli reads. */
#define NAMES_NVME_CREDENTIALS "/etc/nvme/creds"

/* systemd's own socket, and its links to the invocation of each running unit. */
#define NAMES_SERVICE_MANAGER "unix:path=/run/systemd/private"
#define NAMES_RUNNING_UNITS "/run/systemd/units"
/* The host's NVMe controllers, as the kernel shows them. */
#define NAMES_CONTROLLERS "/sys/class/nvme"
/* The hosts of its NVMe target, the subsystems of that, and its counters of TLS. */
#define NAMES_TARGET_HOSTS "/sys/kernel/debug/nvmet"
#define NAMES_TARGET_SUBSYSTEMS "/sys/kernel/config/nvmet/subsystems"
#define NAMES_TLS_STAT "/proc/net/tls_stat"
/* The ports of its NVMe target. */
#define NAMES_TARGET_PORTS "/sys/kernel/config/nvmet/ports"
/* tlshd of ktls-utils, as a program and as a unit, and the unit of ours that runs from memory. */
#define NAMES_TLSHD_PROGRAM "/usr/sbin/tlshd"
#define NAMES_TLSHD_UNIT "tlshd.service"
#define NAMES_TLSHD_UNIT_MEMORY "nvme-keyd-tlshd.service"

/* The keyring and the key type of the kernel's NVMe code (drivers/nvme/common/keyring.c). */
#define NAMES_RING ".nvme"
#define NAMES_KEY_TYPE "psk"
/* Replacements for a kernel that has neither ([Keyring] StandIn=yes). */
#define NAMES_RING_STAND_IN "nvme-keyd-stand-in"
#define NAMES_KEY_TYPE_STAND_IN "user"

/* Description of a request for all PSKs of a pair: "nvme-tls-psk:HOSTNQN SUBNQN". */
#define NAMES_PAIR_REQUEST "nvme-tls-psk:"

/* Reads 1 where kernel/ makes the kernel ask. */
#define NAMES_LIVEPATCH_ENABLED "/sys/kernel/livepatch/nvme_keyd_upcall/enabled"
/* Exists if kernel/ makes the kernel compare whole NQNs; for nvme_keyring as a module or built in.
 */
#define NAMES_LIVEPATCH_MATCH                                                                      \
    "/sys/kernel/livepatch/nvme_keyd_upcall/nvme_keyring/nvme_tls_psk_match,1"
#define NAMES_LIVEPATCH_MATCH_BUILT_IN                                                             \
    "/sys/kernel/livepatch/nvme_keyd_upcall/vmlinux/nvme_tls_psk_match,1"

/* The systemd credential that holds the key-encryption key. */
#define NAMES_KEK_CREDENTIAL "nvme-keyd.kek"

/* Credentials with PSKs have this name, or it and a dot and more. */
#define NAMES_PSK_CREDENTIAL "nvme-keyd.psk"
/* Credentials with the certificates of issuers, in the same way. */
#define NAMES_ISSUER_CREDENTIAL "nvme-keyd.issuer"
/* A second directory with them, and the file in it that says that all have been fetched. */
#define NAMES_ENV_CREDENTIALS "NVME_KEYD_CREDENTIALS_DIRECTORY"
#define NAMES_FETCHED_CREDENTIAL "nvme-keyd.fetched"

#define NAMES_ENV_LOG_LEVEL "NVME_KEYD_LOG_LEVEL"
/* Tests replace paths above by these. */
#define NAMES_ENV_ISSUERS "NVME_KEYD_ISSUERS"
#define NAMES_ENV_SERVICE_MANAGER "NVME_KEYD_SERVICE_MANAGER"
#define NAMES_ENV_RUNNING_UNITS "NVME_KEYD_RUNNING_UNITS"
#define NAMES_ENV_CONTROLLERS "NVME_KEYD_CONTROLLERS"
#define NAMES_ENV_PROBE "NVME_KEYD_PROBE"
#define NAMES_ENV_TARGET_HOSTS "NVME_KEYD_TARGET_HOSTS"
#define NAMES_ENV_TARGET_SUBSYSTEMS "NVME_KEYD_TARGET_SUBSYSTEMS"
#define NAMES_ENV_TLS_STAT "NVME_KEYD_TLS_STAT"
#define NAMES_ENV_TARGET_PORTS "NVME_KEYD_TARGET_PORTS"
#define NAMES_ENV_TLSHD_PROGRAM "NVME_KEYD_TLSHD_PROGRAM"
#define NAMES_ENV_NVME_CREDENTIALS "NVME_KEYD_NVME_CREDENTIALS"
#define NAMES_ENV_FLEET_PROGRAM "NVME_KEYD_FLEET_PROGRAM"

/* Journal fields besides systemd's own. */
#define NAMES_FIELD_HOSTNQN "NVME_HOSTNQN"
#define NAMES_FIELD_SUBSYSNQN "NVME_SUBSYSNQN"
#define NAMES_FIELD_KEY_ID "NVME_KEY_ID"
#define NAMES_FIELD_CAUSE "NVME_CAUSE"

/* MESSAGE_IDs; catalog/nvme-keyd.catalog explains each. */
#define MESSAGE_STORE_CREATED "78bcb2e5e61d47b6975c8a66e883b04f"
#define MESSAGE_STORE_OPENED "5f4d1c4e6d7a4a0f9b1a1f3c9b0e2d41"
#define MESSAGE_STORE_BACKED_UP "ada7b902e25a4e9de78960dea1f855bc"
#define MESSAGE_STORE_RESTORED "ae6ac37b7540b847b2976422007eeae5"
#define MESSAGE_STORE_UNAVAILABLE "d7dabd904759410d8fa505d064780d7e"
#define MESSAGE_COUNTERS_UNSEEN "7d1f0c52b9e84a6fa3c86f0b4e2d9175"
#define MESSAGE_STORE_REFUSED "191a6e43ecad4522bdd3bba7dfaf7118"
#define MESSAGE_STORE_SLOW "56a87091815244e1b435b0818ec91c1e"
#define MESSAGE_SLOTS_FAILED "4e81252d83a04adca971786d97a1c908"
#define MESSAGE_HOST_KEY_FOREIGN "a087adff162e4d48a9c5cb485b5d3237"
#define MESSAGE_HOST_KEY_TRANSIENT "26b25b263b99452bb7f3c82295c1d9a4"
#define MESSAGE_RECORD_BROKEN "be1900cbecb344ca9e45853a067a383e"
#define MESSAGE_RING_ABSENT "82f6f98b947c42adae1138baf9aeb245"
#define MESSAGE_TLSHD_STALE "704bbc6a08e641559b9b1945177a869d"
#define MESSAGE_TLSHD_UNCONFIGURED "491625b7de6042f598797de6e47cb91d"
#define MESSAGE_SLOT_CHANGED "c2d1a7b85e3f4c6d9a0b8e7f6d5c4b3a"
#define MESSAGE_SLOT_WARNING "2e7cbbf914b14b4f80feb67b37226a04"
#define MESSAGE_NEW_TPM "0a076f06cd424543b6026a40b6596230"
#define MESSAGE_KEY_ADDED "1f30f5df326a467a8b88fd1fad5c239c"
#define MESSAGE_KEY_EXPORTED "0105aa09b944407db0abf20d736a1531"
#define MESSAGE_KEY_ROTATED "639a5b3c7900413a85d00f7f0be44508"
#define MESSAGE_KEY_ACTIVATED "3a1f6c0d95e24c7fb0a76d1c8f2e4b95"
#define MESSAGE_KEY_RETIRED "b86f0d4e27c94a15a3d9e01f7c5b62d8"
#define MESSAGE_KEY_REVOKED "e4c9a1b7d3f84e56920bf6ad1857c30e"
#define MESSAGE_KEY_PLANNED "0d7be52f1c6a49839e14ac8f50b7d26a"
#define MESSAGE_KEY_REMOVED "827535579fa84f90bf731d28279be9b3"
#define MESSAGE_KEY_HELD "5b0c1ad6f3b34b0e9d0b5c0c4f6a7e21"
#define MESSAGE_KEY_RIVAL "c8f2f7a94f2b4d1bb1d5a4f1f6e0d963"
#define MESSAGE_CONTROLLER_STALLED "b646518862f04cf5887e3cafb121fcf5"
#define MESSAGE_KEY_DISPLACED "75af814be6ab4816b2d989bf40e386c8"
#define MESSAGE_KEY_PUT_BACK "7cb607bb76b8435bb6e9c262ec81a748"
#define MESSAGE_KEY_EXPIRED "5018c342847a4132916ce3c7962dbd7f"
#define MESSAGE_GUARD_FIGHTS "e918b920df954a7a902ca5190007fe94"
#define MESSAGE_REQUEST_MISS "3458a615853b4a6c9f9deb1043472ae3"
#define MESSAGE_ON_DEMAND_REFUSED "1f6d0e93206d4e03bc2d02f4c7407ed2"
#define MESSAGE_CONFIG_INVALID "59a0007ae6254a33a03defe8515ddd2c"
#define MESSAGE_HANDED_IN_UNUSABLE "4c3bd2f6a0e74a1f8f65b0d1c1f7a9e2"
#define MESSAGE_HANDED_IN_OVERRIDDEN "9e7f1c60b5d94a7ca3c2f08e6d41b753"
#define MESSAGE_REQUEST_REFUSED "27e917b425e84c49a4936e673069d372"
#define MESSAGE_LOG_DROPPED "21c7b7e23f224dcebc68c773704d613b"
#define MESSAGE_CALL_REFUSED "75b17cfcd4aa4eebba5de46126310489"
#define MESSAGE_ISSUER_CHANGED "5c6c996ffb87434d9d991f2370f3c4d0"
#define MESSAGE_ENVELOPE_TAKEN "35cb76353de74cb2926c7076408ed76c"
#define MESSAGE_ENVELOPE_REFUSED "a476e6187ab94f6496131ab9d9e28ef9"
#define MESSAGE_PROBED "2e90b37ec28443469ed3ae01af239ffa"
