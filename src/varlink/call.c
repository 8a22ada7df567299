/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/log.h"
#include "varlink/connection.h"
#include "varlink/json-wire.h"
#include "varlink/limits.h"

/* Handles a call: finds its method, checks that the peer may call it, and sends its answers. */

void varlink_connection_send(VarlinkConnection *c)
{
    size_t before = varlink_buffer_size(&c->output);
    int r = c->broken ? 0 : varlink_buffer_send(&c->output, c->fd);

    if (r < 0 && r != -EAGAIN)
        c->broken = true;
    if (varlink_buffer_size(&c->output) < before)
        c->progress_usec = now_monotonic();
}

static int append_answer(VarlinkCall *call, const char *error, json_object *parameters,
                         bool continues)
{
    VarlinkConnection *c = call->connection;
    int r;

    if (call->answered || call->streaming || call->held)
        return -EPROTO;
    if (!c || c->broken)
        return -ECONNRESET;
    if (call->message.oneway)
        r = 0;
    else if (error)
        r = varlink_message_append_error(&c->output, error, parameters);
    else
        r = varlink_message_append_reply(&c->output, parameters, continues);
    /* A missing reply would leave the peer with the wrong answer to its next call. */
    if (r == -ENOBUFS || r == -ENOMEM)
        c->broken = true;
    if (r < 0)
        return r;

    call->answered = !continues;
    if (varlink_buffer_size(&c->output) > VARLINK_OUTPUT_PAUSE)
        varlink_connection_send(c);
    return c->broken ? -ECONNRESET : 0;
}

int varlink_call_reply(VarlinkCall *call, json_object *parameters)
{
    _cleanup_(json_putp) json_object *p = parameters;

    return append_answer(call, NULL, p, false);
}

int varlink_call_reply_sensitive(VarlinkCall *call, json_object *parameters)
{
    _cleanup_(varlink_json_erase_putp) json_object *p = parameters;

    return append_answer(call, NULL, p, false);
}

int varlink_call_notify(VarlinkCall *call, json_object *parameters)
{
    _cleanup_(json_putp) json_object *p = parameters;

    return call->message.more ? append_answer(call, NULL, p, true) : -EPROTO;
}

void varlink_stream_done(VarlinkStream *s)
{
    if (s->next)
        s->destroy(s->state);
    *s = (VarlinkStream){NULL, NULL, NULL};
}

int varlink_call_stream(VarlinkCall *call, VarlinkStreamFn next, void *state,
                        VarlinkDestroyFn destroy)
{
    VarlinkStream stream = {next, state, destroy};

    if (call->answered || call->streaming || call->held || call->connection->stream.next ||
        !call->message.more) {
        varlink_stream_done(&stream);
        return -EPROTO;
    }
    call->connection->stream = stream;
    call->streaming = true;
    return 0;
}

int varlink_call_error(VarlinkCall *call, const char *error, json_object *parameters)
{
    _cleanup_(json_putp) json_object *p = parameters;

    return append_answer(call, error, p, false);
}

static int error_with_string(VarlinkCall *call, const char *error, const char *key,
                             const char *value, size_t length)
{
    _cleanup_(json_putp) json_object *p = json_object_new_object();

    if (!p || json_add_take(p, key, json_object_new_string_len(value, (int)length)) < 0)
        return -ENOMEM;
    return varlink_call_error(call, error, TAKE_PTR(p));
}

int varlink_call_invalid_parameter(VarlinkCall *call, const char *name)
{
    return error_with_string(call, VARLINK_ERROR_INVALID_PARAMETER, "parameter", name,
                             strlen(name));
}

const struct ucred *varlink_call_peer(const VarlinkCall *call)
{
    return &call->peer;
}

static int answer_errno(VarlinkCall *call, int error)
{
    _cleanup_(json_putp) json_object *p = NULL;

    switch (error) {
    case -EINVAL:
        return varlink_call_invalid_parameter(call, "");
    case -EACCES:
    case -EPERM:
        return varlink_call_error(call, VARLINK_ERROR_PERMISSION_DENIED, NULL);
    }

    p = json_object_new_object();
    if (!p || json_add_string(p, "origin", "linux") < 0 ||
        json_add_uint(p, "errno", (uint64_t)-error) < 0)
        return -ENOMEM;
    return varlink_call_error(call, VARLINK_ERROR_SYSTEM, TAKE_PTR(p));
}

static const VarlinkMethod *find_method(const VarlinkInterface *interface, const char *name)
{
    for (const VarlinkMethod *m = interface->methods; m->name; m++)
        if (strcmp(m->name, name) == 0)
            return m;
    return NULL;
}

/* Returns a name that is never text of the peer. */
static const char *name_for_notice(const VarlinkCallMessage *m, const VarlinkServer *s)
{
    const char *last = m->invalid ? NULL : strrchr(m->method, '.');
    const InterfaceEntry *entry =
        last ? varlink_server_find_interface(s, m->method, (size_t)(last - m->method)) : NULL;

    return entry && find_method(entry->interface, last + 1) ? m->method : "(unknown)";
}

static int refuse_call(const VarlinkCall *call)
{
    VarlinkConnection *c = call->connection;

    varlink_server_refused(c->server, &c->peer, name_for_notice(&call->message, c->server));
    return -EACCES;
}

/* Returns 0 if *ret is the method to call, 1 if the call is answered, or an error. */
static int find_call(VarlinkCall *call, const VarlinkMethod **ret, const InterfaceEntry **ret_entry)
{
    const VarlinkCallMessage *m = &call->message;
    const VarlinkMethod *method;
    const InterfaceEntry *entry;
    size_t length;
    int r;

    if (call->connection->refused)
        return refuse_call(call);
    if (m->invalid) {
        r = varlink_call_invalid_parameter(call, m->invalid);
        return r < 0 ? r : 1;
    }

    length = (size_t)(strrchr(m->method, '.') - m->method);
    entry = varlink_server_find_interface(call->connection->server, m->method, length);
    if (!entry) {
        r = error_with_string(call, VARLINK_ERROR_INTERFACE_NOT_FOUND, "interface", m->method,
                              length);
        return r < 0 ? r : 1;
    }
    method = find_method(entry->interface, m->method + length + 1);
    if (!method) {
        r = error_with_string(call, VARLINK_ERROR_METHOD_NOT_FOUND, "method", m->method,
                              strlen(m->method));
        return r < 0 ? r : 1;
    }

    *ret = method;
    *ret_entry = entry;
    return 0;
}

/* Returns the first unknown parameter, or NULL. */
static const char *find_unknown(const VarlinkMethod *method, json_object *parameters)
{
    struct json_object_iterator i = json_object_iter_begin(parameters);
    struct json_object_iterator end = json_object_iter_end(parameters);

    for (; method->parameters && !json_object_iter_equal(&i, &end); json_object_iter_next(&i)) {
        const char *name = json_object_iter_peek_name(&i);
        const char *const *known = method->parameters;

        while (*known && strcmp(*known, name) != 0)
            known++;
        if (!*known)
            return name;
    }
    return NULL;
}

/* Returns 0 if the method may be called, 1 if the call is answered, or an error. */
static int check_call(VarlinkCall *call, const VarlinkMethod *method)
{
    const char *unknown;
    int r;

    if ((method->flags & VARLINK_METHOD_ROOT) && call->connection->peer.uid != 0)
        return refuse_call(call);
    if ((method->flags & VARLINK_METHOD_MORE_REQUIRED) && !call->message.more)
        r = varlink_call_error(call, VARLINK_ERROR_EXPECTED_MORE, NULL);
    else if ((unknown = find_unknown(method, call->message.parameters)))
        r = varlink_call_invalid_parameter(call, unknown);
    else
        return 0;
    return r < 0 ? r : 1;
}

/* Makes room for a call: nothing but a batch method of the same interface may see a batch. */
static void flush_before(VarlinkServer *s, const VarlinkMethod *method, const InterfaceEntry *entry)
{
    if (s->batch != entry || !(method->flags & VARLINK_METHOD_BATCH))
        varlink_flush(s);
}

static int call_method(VarlinkCall *call, const VarlinkMethod *method, const InterfaceEntry *entry)
{
    int r = method->fn(call, call->message.parameters, entry->userdata);

    if ((method->flags & VARLINK_METHOD_BATCH) && call->connection->held)
        call->connection->server->batch = entry;
    return r == 0 && !call->answered && !call->streaming && !call->held ? -EPROTO : r;
}

/* Answers an error of a method or stream, if an answer is still possible. */
static void answer_failure(VarlinkCall *call, int error)
{
    VarlinkConnection *c = call->connection;
    int r = error;

    if (r < 0 && !call->answered && !c->broken)
        r = answer_errno(call, r);
    if (!call->answered)
        c->broken = true;
    if (c->broken)
        log_debug_errno(r, "varlink: connection dropped");
}

void varlink_connection_stream(VarlinkConnection *c)
{
    VarlinkCall call = {.connection = c, .message = {.more = true}, .peer = c->peer};
    int r;

    varlink_flush(c->server);
    r = c->stream.next(&call, c->stream.state);

    if (r < 0)
        answer_failure(&call, r);
    if (call.answered || c->broken)
        varlink_stream_done(&c->stream);
    else
        c->paused = call.paused;
}

void varlink_call_pause(VarlinkCall *call)
{
    call->paused = true;
}

/* Ends a call whose method returned r. */
static void end_call(VarlinkCall *call, int r)
{
    VarlinkConnection *c = call->connection;

    if (r < 0 && call->streaming) {
        call->streaming = false;
        varlink_stream_done(&c->stream);
    }
    if (!call->streaming && !call->held)
        answer_failure(call, r);
}

/* Lets a call wait whose gate is closed, or answers it if there is no room. */
static int wait_at_gate(VarlinkCall *call, const char *data, size_t size, bool sensitive,
                        const InterfaceEntry *entry)
{
    VarlinkConnection *c = call->connection;
    bool first = !c->server->turned_away;

    if (varlink_connection_park(c, data, size, sensitive))
        return 0;
    c->server->turned_away = true;
    return entry->interface->turn_away(call, first);
}

static void handle_call(VarlinkConnection *c, VarlinkCallMessage *m, const char *data, size_t size)
{
    VarlinkCall call = {.connection = c, .message = *m, .peer = c->peer};
    const VarlinkMethod *method = NULL;
    const InterfaceEntry *entry = NULL;
    int r = find_call(&call, &method, &entry);
    /* A message without a method may hold a secret as well. */
    bool sensitive = !method || (method->flags & VARLINK_METHOD_SENSITIVE);

    if (r == 0)
        r = check_call(&call, method);
    if (r == 0) {
        flush_before(c->server, method, entry);
        r = !method->gate || method->gate(&call, m->parameters, entry->userdata)
                ? call_method(&call, method, entry)
                : wait_at_gate(&call, data, size, sensitive, entry);
    }
    if (!c->waiting)
        end_call(&call, r);
    if (sensitive)
        varlink_json_erase(m->root);
    json_object_put(m->root);
}

VarlinkCall *varlink_call_hold(VarlinkCall *call)
{
    VarlinkConnection *c = call->connection;
    VarlinkCall *held;

    if (call->answered || call->streaming || call->held || c->broken)
        return NULL;
    held = malloc(sizeof(*held));
    if (!held)
        return NULL;
    *held = (VarlinkCall){
        .connection = c,
        .message = {.more = call->message.more, .oneway = call->message.oneway},
        .peer = call->peer,
    };
    c->held = held;
    call->held = true;
    return held;
}

bool varlink_held_call_is_lost(const VarlinkCall *held)
{
    return !held->connection || held->connection->broken;
}

VarlinkCall *varlink_held_call_end(VarlinkCall *held, int error)
{
    VarlinkConnection *c = held ? held->connection : NULL;

    if (c) {
        end_call(held, error == 0 && !held->answered ? -EPROTO : error);
        c->held = NULL;
        varlink_connection_send(c);
        varlink_schedule(c);
        varlink_server_notice(c->server);
    }
    free(held);
    return NULL;
}

/* Answers a message that is no object, and ends the connection, because later replies could not be
 * matched to calls. */
static void refuse_message(VarlinkConnection *c)
{
    VarlinkCall call = {.connection = c, .peer = c->peer};

    if (varlink_call_invalid_parameter(&call, "") < 0)
        c->broken = true;
    c->ending = true;
}

void varlink_connection_dispatch(VarlinkConnection *c, const char *data, size_t size)
{
    VarlinkCallMessage m;
    int r = varlink_call_message_parse(data, size, &m);

    if (r == 0) {
        handle_call(c, &m, data, size);
        return;
    }
    log_debug_errno(r, "varlink: message not understood");
    if (r == -EBADMSG)
        refuse_message(c);
    else
        /* Not answered: oneway with more forbids a reply and asks for several. */
        c->ending = true;
}
