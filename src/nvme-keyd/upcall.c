/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "basic/encoding.h"
#include "basic/io.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/upcall.h"
#include "psk/identity.h"
#include "psk/nqn.h"

/* The kernel is to ask again at once: its keys are in `.nvme` now. */
#define SEARCH_AGAIN_TIMEOUT_SEC 1

typedef struct Connection {
    UpcallServer *server;
    sd_event_source *io;
    sd_event_source *timer;
    UpcallRequest request; /* of size bytes, waiting for the store */
    size_t size;
    struct Connection *next, **link; /* link: what points here */
} Connection;

struct UpcallServer {
    sd_event *event;
    sd_event_source *listen;
    sd_event_source *rest; /* turns listen on again */
    Manager *manager;
    void (*on_activity)(void *userdata);
    void *userdata;
    Connection *connections;
    size_t n_connections;
};

static void reject(UpcallReply *reply, unsigned error, unsigned timeout_sec)
{
    reply->error = error;
    reply->timeout_sec = timeout_sec;
    reply->size = 0;
}

static void miss(const Manager *m, const char *description, UpcallReply *reply)
{
    const LogFields fields = {.message_id = MESSAGE_REQUEST_MISS};
    bool printable = text_is_printable(description);

    (void)log_full(LOG_NOTICE, 0, &fields, "The kernel asked for a PSK that is not here: %s",
                   printable ? description : "(unprintable)");
    reject(reply, ENOKEY, manager_config(m)->negative_timeout_sec);
}

/* The TLS PSK of one identity that should be published now. */
static int find_tls_psk(Manager *m, const PskIdentity *i, const char *text, Secret **ret_payload,
                        const uint8_t **ret, size_t *ret_size)
{
    uint64_t now = now_realtime();
    int r;
    Key *k = key_table_pair(manager_keys(m), i->hostnqn, i->hostnqn_length, i->subsysnqn,
                            i->subsysnqn_length);

    for (; k; k = k->next_of_pair) {
        const char *identity = k->identities[i->version];
        /* While a target accepts two keys, version 0 means the active one. */
        bool current = i->version == 1 || k->state == KEY_ACTIVE;

        if (identity && current && strcmp(identity, text) == 0 && key_is_publishable(k, now))
            break;
    }
    if (!k)
        return -ENOKEY;
    r = manager_unseal(m, k, ret_payload);
    return r < 0 ? r : key_payload_tls_psk(*ret_payload, i->version, ret, ret_size);
}

/* A version 1 identity holds a digest that only who has the PSK can know. Without it a key cannot
 * be instantiated: its description never changes, and would go out as a wrong identity. The real
 * keys go into the ring, for the next search. */
static bool publish_for_search(Manager *m, const PskIdentity *i, UpcallReply *reply)
{
    const Key *first = key_table_pair(manager_keys(m), i->hostnqn, i->hostnqn_length, i->subsysnqn,
                                      i->subsysnqn_length);

    reject(reply, EAGAIN, SEARCH_AGAIN_TIMEOUT_SEC);
    return manager_publish_pair(m, first) > 0;
}

static bool copy_tls_psk(Manager *m, const PskIdentity *i, const char *text, UpcallReply *reply)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    const uint8_t *bytes;
    size_t size;

    if (find_tls_psk(m, i, text, &payload, &bytes, &size) < 0)
        return false;
    memcpy(reply->payload, bytes, size);
    reply->size = (uint32_t)size;
    return true;
}

/* A request for one key of the ring's type. */
static void answer_identity(Manager *m, const char *text, UpcallReply *reply)
{
    bool found = false;
    PskIdentity i;

    if (psk_identity_parse(text, strlen(text), &i) == 0)
        found = i.version == 1 && !i.digest ? publish_for_search(m, &i, reply)
                                            : copy_tls_psk(m, &i, text, reply);
    if (!found)
        miss(m, text, reply);
}

static void put_serials(const Key *k, UpcallReply *reply)
{
    for (unsigned v = 0; v < KEY_VERSIONS; v++) {
        char *p = (char *)reply->payload + reply->size;
        size_t room = sizeof(reply->payload) - reply->size;
        int n;

        if (!k->serials[v])
            continue;
        n = snprintf(p, room, "%s%d", reply->size > 0 ? " " : "", k->serials[v]);
        if (n > 0 && (size_t)n < room)
            reply->size += (uint32_t)n;
    }
}

/* "nvme-tls-psk:HOSTNQN SUBSYSNQN": all keys of the pair are published, the answer is their serials
 * in decimal with a blank between them. */
static void answer_pair(Manager *m, const char *text, UpcallReply *reply)
{
    const char *hostnqn = text + strlen(NAMES_PAIR_REQUEST), *blank = strchr(hostnqn, ' ');
    size_t position, host_length = blank ? (size_t)(blank - hostnqn) : 0;
    const Key *first = NULL;

    if (blank && nqn_check(hostnqn, host_length, &position) == NQN_OK &&
        nqn_check(blank + 1, strlen(blank + 1), &position) == NQN_OK)
        first = key_table_pair(manager_keys(m), hostnqn, host_length, blank + 1, strlen(blank + 1));
    if (manager_publish_pair(m, first) == 0) {
        miss(m, text, reply);
        return;
    }
    for (const Key *k = first; k; k = k->next_of_pair)
        put_serials(k, reply);
}

bool upcall_answer(Manager *manager, const UpcallRequest *request, size_t size, UpcallReply *ret)
{
    const char *key_type =
        manager_config(manager)->stand_in ? NAMES_KEY_TYPE_STAND_IN : NAMES_KEY_TYPE;
    char text[KEY_DESCRIPTION_MAX + 1];
    size_t length;
    int r;

    *ret = (UpcallReply){.magic = UPCALL_MAGIC};
    reject(ret, EINVAL, UPCALL_NEGATIVE_TIMEOUT_SEC);
    if (size <= offsetof(UpcallRequest, description) ||
        size > offsetof(UpcallRequest, description) + KEY_DESCRIPTION_MAX ||
        request->magic != UPCALL_MAGIC || request->type[UPCALL_TYPE_MAX] != '\0')
        return true;
    length = size - offsetof(UpcallRequest, description);
    if (memchr(request->description, '\0', length))
        return true;
    memcpy(text, request->description, length);
    text[length] = '\0';

    /* A store that cannot be opened now is not a store without the key. */
    r = manager_store(manager) ? 0 : manager_open(manager);
    if (r == -EINPROGRESS)
        return false;
    if (r < 0) {
        reject(ret, EAGAIN, SEARCH_AGAIN_TIMEOUT_SEC);
        return true;
    }
    reject(ret, 0, 0);
    if (strcmp(request->type, "user") == 0 &&
        strncmp(text, NAMES_PAIR_REQUEST, strlen(NAMES_PAIR_REQUEST)) == 0)
        answer_pair(manager, text, ret);
    else if (strcmp(request->type, key_type) == 0)
        answer_identity(manager, text, ret);
    else
        miss(manager, text, ret);
    return true;
}

static void connection_close(Connection *c)
{
    UpcallServer *s = c->server;

    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    s->n_connections--;
    sd_event_source_disable_unref(c->timer);
    sd_event_source_disable_unref(c->io); /* closes the socket */
    free(c);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    Connection *c = userdata;
    UpcallServer *s = c->server;

    (void)source;
    (void)usec;
    connection_close(c);
    s->on_activity(s->userdata);
    return 0;
}

/* Answers what was asked, and closes; or leaves it for later. */
static void answer(Connection *c)
{
    int fd = sd_event_source_get_io_fd(c->io);
    UpcallReply reply;
    CLEANUP_ERASE(reply);

    if (!upcall_answer(c->server->manager, &c->request, c->size, &reply))
        return;
    if (send(fd, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_warning_errno(-errno, "Cannot answer a request of the kernel");
    connection_close(c);
}

static int on_packet(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Connection *c = userdata;
    UpcallServer *s = c->server;
    ssize_t n = 0;

    (void)source;
    (void)revents;
    /* A second packet, or its end, is of a shim that does not wait for the first answer. */
    if (c->size == 0)
        n = recv(fd, &c->request, sizeof(c->request), MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n > 0) {
        c->size = (size_t)n;
        answer(c);
    } else
        connection_close(c);
    s->on_activity(s->userdata);
    return 0;
}

void upcall_server_resume(UpcallServer *s)
{
    Connection *next;

    for (Connection *c = s->connections; c; c = next) {
        next = c->next;
        if (c->size > 0)
            answer(c);
    }
}

static int connection_open(UpcallServer *s, int fd)
{
    Connection *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    r = sd_event_add_io(s->event, &c->io, fd, EPOLLIN, on_packet, c);
    if (r >= 0)
        r = sd_event_add_time_relative(s->event, &c->timer, CLOCK_MONOTONIC, UPCALL_DEADLINE_USEC,
                                       0, on_timeout, c);
    if (r < 0) {
        sd_event_source_disable_unref(c->io);
        free(c);
        return r;
    }
    (void)sd_event_source_set_io_fd_own(c->io, true);
    c->server = s;
    c->link = &s->connections;
    c->next = s->connections;
    if (c->next)
        c->next->link = &c->next;
    s->connections = c;
    s->n_connections++;
    return 0;
}

static void admit(UpcallServer *s, int fd)
{
    _cleanup_(closep) int owned = fd;
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != 0) {
        const LogFields fields = {.message_id = MESSAGE_REQUEST_REFUSED};

        (void)log_full(LOG_WARNING, 0, &fields,
                       "A process of uid %u on the request socket, refused",
                       size == sizeof(peer) ? (unsigned)peer.uid : 0);
        return;
    }
    /* Past the limit the shim sees the end of the connection and rejects. */
    if (s->n_connections < UPCALL_CONNECTIONS_MAX && connection_open(s, fd) == 0)
        owned = -EBADF;
}

/* Out of descriptors or memory, the listener would be ready and of no use again and again. */
#define REST_USEC USEC_PER_SEC
/* Connections to accept before others have their turn. */
#define ACCEPT_BATCH 64

static int on_rested(sd_event_source *source, uint64_t usec, void *userdata)
{
    UpcallServer *s = userdata;

    (void)source;
    (void)usec;
    return sd_event_source_set_enabled(s->listen, SD_EVENT_ON);
}

static void rest(UpcallServer *s)
{
    s->rest = sd_event_source_disable_unref(s->rest);
    if (sd_event_add_time_relative(s->event, &s->rest, CLOCK_MONOTONIC, REST_USEC, 0, on_rested,
                                   s) >= 0)
        (void)sd_event_source_set_enabled(s->listen, SD_EVENT_OFF);
}

static int on_connect(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    UpcallServer *s = userdata;
    int peer = -EBADF;

    (void)source;
    (void)revents;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (peer < 0)
            break;
        admit(s, peer);
    }
    if (peer < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        rest(s);
    s->on_activity(s->userdata);
    return 0;
}

int upcall_server_new(sd_event *event, int listen_fd, Manager *manager,
                      void (*on_activity)(void *userdata), void *userdata, UpcallServer **ret)
{
    _cleanup_(upcall_server_freep) UpcallServer *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    s->event = sd_event_ref(event);
    s->manager = manager;
    s->on_activity = on_activity;
    s->userdata = userdata;
    r = sd_event_add_io(event, &s->listen, listen_fd, EPOLLIN, on_connect, s);
    if (r < 0)
        return r;
    (void)sd_event_source_set_io_fd_own(s->listen, true);
    *ret = TAKE_PTR(s);
    return 0;
}

UpcallServer *upcall_server_free(UpcallServer *s)
{
    if (!s)
        return NULL;
    while (s->connections)
        connection_close(s->connections);
    sd_event_source_disable_unref(s->rest);
    sd_event_source_disable_unref(s->listen);
    sd_event_unref(s->event);
    free(s);
    return NULL;
}

size_t upcall_server_connections(const UpcallServer *s)
{
    return s->n_connections;
}
