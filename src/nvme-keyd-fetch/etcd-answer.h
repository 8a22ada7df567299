/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "basic/secret.h"
#include "nvme-keyd-fetch/limits.h"

/*
 * The answers of etcd's JSON gateway (etcd 3.4 and 3.5, api/etcdserverpb/rpc.proto): 64-bit numbers
 * are strings, keys and values are base64, and members that are zero are left out. Each function
 * takes the bytes as they came, and returns -EBADMSG for anything that etcd would not say.
 */

typedef struct EtcdHeader {
    uint64_t cluster;
    uint64_t revision;
} EtcdHeader;

/* A key and its value, or the end of a key: value is NULL then. */
typedef struct EtcdItem {
    const char *key;   /* printable, without NUL */
    uint64_t revision; /* in which it was changed last */
    const uint8_t *value;
    size_t value_size;
} EtcdItem;

/* A negative result ends the reading and is returned. item is borrowed. */
typedef int (*EtcdItemFn)(const EtcdItem *item, void *userdata);

/* Reads the answer to a range: calls fn for each key. *ret_more: there are more keys. The value of
 * an item is empty, not NULL, if the request asked for names only. */
int etcd_answer_range(const char *text, size_t size, EtcdItemFn fn, void *userdata,
                      EtcdHeader *ret_header, bool *ret_more) _must_check_;

typedef enum EtcdWatchKind {
    ETCD_WATCH_CREATED,
    ETCD_WATCH_EVENTS,
    ETCD_WATCH_PROGRESS,  /* nothing has happened until header.revision */
    ETCD_WATCH_COMPACTED, /* the revision that was asked for is gone */
    ETCD_WATCH_CANCELED,
} EtcdWatchKind;

#define ETCD_WHY_MAX 256

typedef struct EtcdWatch {
    EtcdWatchKind kind;
    EtcdHeader header;
    char why[ETCD_WHY_MAX + 1]; /* of CANCELED */
} EtcdWatch;

/* Reads one line of a watch: calls fn for each event of ETCD_WATCH_EVENTS. */
int etcd_answer_watch(const char *text, size_t size, EtcdItemFn fn, void *userdata, EtcdWatch *ret)
    _must_check_;

/* Reads the answer to an authentication: the token, which has no line end and no NUL but that at
 * its end. Returns -ENOMEM as well. */
int etcd_answer_token(const char *text, size_t size, Secret **ret) _must_check_;

/* Reads the answer to a grant, or one to a keep-alive. *ret_ttl is 0 if the lease has ended. */
int etcd_answer_lease(const char *text, size_t size, uint64_t *ret_id, uint64_t *ret_ttl)
    _must_check_;

/* The meaning of an error, whether it came with an HTTP status or in a canceled watch. */
typedef enum EtcdFault {
    ETCD_FAULT_OTHER,
    ETCD_FAULT_TOKEN,  /* authenticate again */
    ETCD_FAULT_DENIED, /* this user may not do it */
    ETCD_FAULT_LOGIN,  /* the user or its password is wrong */
    ETCD_FAULT_OPEN,   /* authentication is not enabled: go on without */
    ETCD_FAULT_LEASE,  /* there is no such lease */
    ETCD_FAULT_COMPACTED,
} EtcdFault;

/* Reads the body of an answer with an HTTP status other than 200. ret_why gets a line for people:
 * what etcd says, or the status alone. */
EtcdFault etcd_answer_fault(unsigned status, const char *text, size_t size,
                            char ret_why[static ETCD_WHY_MAX + 1]);
EtcdFault etcd_fault_of(const char *why);
