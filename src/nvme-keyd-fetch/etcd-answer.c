/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/encoding.h"
#include "basic/json.h"
#include "basic/text.h"
#include "nvme-keyd-fetch/etcd-answer.h"

/* A name is the end of it. */
#define KEY_MAX 1024

/* json-c needs far more memory for a value than its text takes, so a text with too many of them is
 * refused before it is parsed. */
static bool has_too_many_values(const char *text, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < size; i++)
        n += text[i] == ',' || text[i] == '{' || text[i] == '[';
    return n > FETCH_JSON_VALUES_MAX;
}

static int parse(const char *text, size_t size, json_object **ret)
{
    if (has_too_many_values(text, size))
        return -EFBIG;
    return json_parse(text, size, FETCH_JSON_DEPTH, ret);
}

/* A number of 64 bits, which is a string; 0 if it is missing. */
static int get_number(json_object *object, const char *key, uint64_t *ret)
{
    const char *s;
    char *end;
    int r = json_get_string(object, key, &s);

    *ret = 0;
    if (r <= 0)
        return r < 0 ? -EBADMSG : 0;
    if (s[0] < '0' || s[0] > '9' || strlen(s) > 20)
        return -EBADMSG;
    errno = 0;
    *ret = strtoull(s, &end, 10);
    return *end || errno != 0 ? -EBADMSG : 0;
}

static int get_bool(json_object *object, const char *key, bool *ret)
{
    *ret = false;
    return json_get_bool(object, key, ret) < 0 ? -EBADMSG : 0;
}

static int get_header(json_object *answer, EtcdHeader *ret)
{
    json_object *header;

    *ret = (EtcdHeader){.revision = 0};
    if (json_get_object(answer, "header", &header) <= 0 ||
        get_number(header, "cluster_id", &ret->cluster) < 0 ||
        get_number(header, "revision", &ret->revision) < 0)
        return -EBADMSG;
    return 0;
}

/* Decodes a member in base64 into memory that is to be freed, with a NUL after it. */
static int get_bytes(json_object *object, const char *key, uint8_t **ret, size_t *ret_size)
{
    const char *s = "";
    size_t length;

    if (json_get_string(object, key, &s) < 0)
        return -EBADMSG;
    length = strlen(s);
    *ret = malloc(length / 4 * 3 + 1);
    if (!*ret)
        return -ENOMEM;
    if (base64_decode(s, length, *ret, length / 4 * 3, ret_size) < 0)
        return -EBADMSG;
    (*ret)[*ret_size] = '\0';
    return 0;
}

/* kv: a key with its value, or, if ended is true, without. */
static int read_item(json_object *kv, bool ended, EtcdItemFn fn, void *userdata)
{
    _cleanup_(freep) uint8_t *key = NULL, *value = NULL;
    EtcdItem item = {.value = NULL};
    size_t size;
    int r = get_bytes(kv, "key", &key, &size);

    if (r < 0)
        return r;
    if (size == 0 || size > KEY_MAX || strlen((char *)key) != size)
        return -EBADMSG;
    item.key = text_is_printable((char *)key) ? (char *)key : "?";
    if (get_number(kv, "mod_revision", &item.revision) < 0 || item.revision == 0)
        return -EBADMSG;
    if (!ended) {
        r = get_bytes(kv, "value", &value, &item.value_size);
        if (r < 0)
            return r;
        item.value = value;
    }
    return fn(&item, userdata);
}

int etcd_answer_range(const char *text, size_t size, EtcdItemFn fn, void *userdata,
                      EtcdHeader *ret_header, bool *ret_more)
{
    _cleanup_(json_putp) json_object *answer = NULL;
    json_object *kvs = NULL;
    int r = parse(text, size, &answer);

    if (r < 0)
        return r;
    if (get_header(answer, ret_header) < 0 || get_bool(answer, "more", ret_more) < 0 ||
        json_get_array(answer, "kvs", &kvs) < 0)
        return -EBADMSG;
    for (size_t i = 0; r == 0 && kvs && i < json_object_array_length(kvs); i++)
        r = read_item(json_object_array_get_idx(kvs, i), false, fn, userdata);
    return r;
}

static int read_event(json_object *event, EtcdItemFn fn, void *userdata)
{
    const char *type = json_string_or(event, "type", "PUT");
    json_object *kv;

    if (json_get_object(event, "kv", &kv) <= 0)
        return -EBADMSG;
    if (strcmp(type, "PUT") != 0 && strcmp(type, "DELETE") != 0)
        return -EBADMSG;
    return read_item(kv, type[0] == 'D', fn, userdata);
}

static void set_why(char why[static ETCD_WHY_MAX + 1], const char *text)
{
    (void)snprintf(why, ETCD_WHY_MAX + 1, "%s", text);
    /* A cut may go through a character. */
    for (char *s = why; *s; s++)
        if (*s < ' ' || *s > '~')
            *s = '?';
}

static int watch_result(json_object *result, EtcdItemFn fn, void *userdata, EtcdWatch *ret)
{
    bool created, canceled;
    uint64_t compacted;
    json_object *events = NULL;
    int r = 0;

    if (get_header(result, &ret->header) < 0 || get_bool(result, "created", &created) < 0 ||
        get_bool(result, "canceled", &canceled) < 0 ||
        get_number(result, "compact_revision", &compacted) < 0 ||
        json_get_array(result, "events", &events) < 0)
        return -EBADMSG;
    if (canceled) {
        ret->kind = compacted > 0 ? ETCD_WATCH_COMPACTED : ETCD_WATCH_CANCELED;
        set_why(ret->why, json_string_or(result, "cancel_reason", "no reason"));
        return 0;
    }
    ret->kind = created ? ETCD_WATCH_CREATED : events ? ETCD_WATCH_EVENTS : ETCD_WATCH_PROGRESS;
    for (size_t i = 0; r == 0 && events && i < json_object_array_length(events); i++)
        r = read_event(json_object_array_get_idx(events, i), fn, userdata);
    return r;
}

int etcd_answer_watch(const char *text, size_t size, EtcdItemFn fn, void *userdata, EtcdWatch *ret)
{
    _cleanup_(json_putp) json_object *answer = NULL;
    json_object *part;
    int r = parse(text, size, &answer);

    *ret = (EtcdWatch){.kind = ETCD_WATCH_CANCELED};
    if (r < 0)
        return r;
    if (json_get_object(answer, "result", &part) > 0)
        return watch_result(part, fn, userdata, ret);
    if (json_get_object(answer, "error", &part) <= 0)
        return -EBADMSG;
    set_why(ret->why, json_string_or(part, "message", "no reason"));
    return 0;
}

int etcd_answer_token(const char *text, size_t size, Secret **ret)
{
    _cleanup_(json_putp) json_object *answer = NULL;
    json_object *token;
    int r = parse(text, size, &answer);

    if (r < 0)
        return r;
    if (!json_object_object_get_ex(answer, "token", &token) ||
        !json_object_is_type(token, json_type_string))
        return -EBADMSG;
    if (text_is_printable(json_object_get_string(token)) && json_object_get_string_len(token) > 0)
        *ret = secret_new_copy(json_object_get_string(token),
                               strlen(json_object_get_string(token)) + 1);
    else
        r = -EBADMSG;
    json_string_erase(token);
    return r < 0 ? r : *ret ? 0 : -ENOMEM;
}

int etcd_answer_lease(const char *text, size_t size, uint64_t *ret_id, uint64_t *ret_ttl)
{
    _cleanup_(json_putp) json_object *answer = NULL;
    json_object *lease;
    int r = parse(text, size, &answer);

    if (r < 0)
        return r;
    /* The answers to keep-alives are a stream, as those to a watch are. */
    r = json_get_object(answer, "result", &lease);
    if (r < 0 || get_number(r > 0 ? lease : answer, "ID", ret_id) < 0 || *ret_id == 0 ||
        get_number(r > 0 ? lease : answer, "TTL", ret_ttl) < 0)
        return -EBADMSG;
    return 0;
}

EtcdFault etcd_fault_of(const char *why)
{
    static const struct {
        const char *part;
        EtcdFault fault;
    } faults[] = {
        {"invalid auth token", ETCD_FAULT_TOKEN},
        {"revision of auth store is old", ETCD_FAULT_TOKEN},
        {"user name is empty", ETCD_FAULT_TOKEN},
        {"permission denied", ETCD_FAULT_DENIED},
        {"PermissionDenied", ETCD_FAULT_DENIED},
        {"authentication failed", ETCD_FAULT_LOGIN},
        {"authentication is not enabled", ETCD_FAULT_OPEN},
        {"requested lease not found", ETCD_FAULT_LEASE},
        {"has been compacted", ETCD_FAULT_COMPACTED},
    };

    for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
        if (strstr(why, faults[i].part))
            return faults[i].fault;
    return ETCD_FAULT_OTHER;
}

EtcdFault etcd_answer_fault(unsigned status, const char *text, size_t size,
                            char ret_why[static ETCD_WHY_MAX + 1])
{
    _cleanup_(json_putp) json_object *answer = NULL;
    const char *why;

    (void)snprintf(ret_why, ETCD_WHY_MAX + 1, "HTTP status %u", status);
    if (parse(text, size, &answer) < 0)
        return status == 401 ? ETCD_FAULT_TOKEN : ETCD_FAULT_OTHER;
    why = json_string_or(answer, "message", json_string_or(answer, "error", ret_why));
    set_why(ret_why, why);
    return etcd_fault_of(ret_why);
}
