/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/encoding.h"
#include "basic/json.h"
#include "basic/scan.h"
#include "basic/text.h"
#include "nvme-keyd-fetch/etcd-request.h"

static char *encode(const void *data, size_t size)
{
    char *text = malloc(BASE64_LENGTH(size) + 1);

    if (text)
        base64_encode(data, size, text);
    return text;
}

static int add_bytes(json_object *object, const char *member, const void *data, size_t size)
{
    _cleanup_(freep) char *text = encode(data, size);

    return text ? json_add_string(object, member, text) : -ENOMEM;
}

static int add_text(json_object *object, const char *member, const char *text)
{
    return add_bytes(object, member, text, strlen(text));
}

static int add_number(json_object *object, const char *member, uint64_t value)
{
    char text[24];

    if (value == 0)
        return 0;
    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    return json_add_string(object, member, text);
}

/* The first key after all that begin with prefix, whose last character is no 0xff. */
static int add_end(json_object *object, const char *prefix)
{
    _cleanup_(freep) char *end = strdup(prefix);

    if (!end)
        return -ENOMEM;
    end[strlen(end) - 1]++;
    return add_text(object, "range_end", end);
}

static char *format(json_object *object)
{
    char *text = NULL;

    return json_format(object, &text) < 0 ? NULL : text;
}

char *etcd_request_range(const char *key, const char *prefix, uint64_t revision, unsigned limit,
                         bool names_only)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (!o || add_text(o, "key", key) < 0 || add_end(o, prefix) < 0 ||
        add_number(o, "revision", revision) < 0 || add_number(o, "limit", limit) < 0 ||
        json_add_bool(o, "keys_only", names_only) < 0)
        return NULL;
    return format(o);
}

char *etcd_request_get(const char *key)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    return o && add_text(o, "key", key) == 0 ? format(o) : NULL;
}

/* fragment: one answer is no longer than one request may be. progress_notify: the revision moves on
 * while nothing happens to these keys, so that it is not compacted so soon. */
char *etcd_request_watch(const char *prefix, uint64_t revision)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    json_object *create;

    if (!o || json_add_take(o, "create_request", json_object_new_object()) < 0 ||
        json_get_object(o, "create_request", &create) <= 0)
        return NULL;
    if (add_text(create, "key", prefix) < 0 || add_end(create, prefix) < 0 ||
        add_number(create, "start_revision", revision) < 0 ||
        json_add_bool(create, "progress_notify", true) < 0 ||
        json_add_bool(create, "fragment", true) < 0)
        return NULL;
    return format(o);
}

char *etcd_request_put(const char *key, const char *value, uint64_t lease)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (!o || add_text(o, "key", key) < 0 || add_text(o, "value", value) < 0 ||
        add_number(o, "lease", lease) < 0)
        return NULL;
    return format(o);
}

char *etcd_request_grant(unsigned ttl_sec)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    return o && add_number(o, "TTL", ttl_sec) == 0 ? format(o) : NULL;
}

char *etcd_request_keep_alive(uint64_t lease)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    return o && add_number(o, "ID", lease) == 0 ? format(o) : NULL;
}

/* Without json-c, which would leave copies of the password behind. */
int etcd_request_login(const char *user, const Secret *password, Secret **ret)
{
    _cleanup_(secret_freep) Secret *text = secret_new(password->size + 1), *body = NULL;
    size_t size =
        64 + SCAN_STRING_LENGTH_MAX(strlen(user)) + SCAN_STRING_LENGTH_MAX(password->size);
    char *p;

    body = secret_new(size);
    if (!text || !body)
        return -ENOMEM;
    memcpy(text->data, password->data, password->size);
    if (strlen((char *)text->data) != password->size || !text_is_printable((char *)text->data))
        return -EINVAL;
    p = stpcpy((char *)body->data, "{\"name\":");
    p = scan_write_string(p, user);
    p = stpcpy(p, ",\"password\":");
    p = scan_write_string(p, (char *)text->data);
    (void)stpcpy(p, "}");
    *ret = TAKE_PTR(body);
    return 0;
}
