/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "basic/json.h"
#include "basic/text.h"

int json_parse(const char *text, size_t size, int depth, json_object **ret)
{
    _cleanup_(json_tokener_freep) json_tokener *t = json_tokener_new_ex(depth);
    _cleanup_(json_putp) json_object *o = NULL;
    size_t end;

    if (!t)
        return -ENOMEM;
    /* json-c's own check lets overlong forms and surrogates through. */
    if (size == 0 || size > INT_MAX || !utf8_is_valid(text, size))
        return -EBADMSG;

    json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
    o = json_tokener_parse_ex(t, text, (int)size);
    if (json_tokener_get_error(t) != json_tokener_success ||
        !json_object_is_type(o, json_type_object))
        return -EBADMSG;
    for (end = json_tokener_get_parse_end(t); end < size; end++)
        if (!strchr(" \t\r\n", text[end]) || text[end] == '\0')
            return -EBADMSG;

    *ret = TAKE_PTR(o);
    return 0;
}

static int get(json_object *object, const char *key, json_type type, json_object **ret)
{
    json_object *o;

    if (!object || !json_object_object_get_ex(object, key, &o) || !o)
        return 0;
    if (!json_object_is_type(o, type))
        return -EINVAL;
    *ret = o;
    return 1;
}

int json_get_string(json_object *object, const char *key, const char **ret)
{
    json_object *o;
    int r = get(object, key, json_type_string, &o);

    if (r <= 0)
        return r;
    if (strlen(json_object_get_string(o)) != (size_t)json_object_get_string_len(o))
        return -EINVAL;
    *ret = json_object_get_string(o);
    return 1;
}

bool json_copy_string(json_object *object, const char *key, char *ret, size_t size)
{
    const char *s;

    if (json_get_string(object, key, &s) <= 0 || strlen(s) >= size)
        return false;
    strcpy(ret, s);
    return true;
}

const char *json_string_or(json_object *object, const char *key, const char *otherwise)
{
    (void)json_get_string(object, key, &otherwise);
    return otherwise;
}

int json_get_uint(json_object *object, const char *key, uint64_t max, uint64_t *ret)
{
    json_object *o;
    int r = get(object, key, json_type_int, &o);
    uint64_t v;

    if (r <= 0)
        return r;
    v = json_object_get_uint64(o);
    /* json-c turns a larger number into UINT64_MAX. */
    if (json_object_get_int64(o) < 0 || v > max || v == UINT64_MAX)
        return -EINVAL;
    *ret = v;
    return 1;
}

int json_get_bool(json_object *object, const char *key, bool *ret)
{
    json_object *o;
    int r = get(object, key, json_type_boolean, &o);

    if (r <= 0)
        return r;
    *ret = json_object_get_boolean(o);
    return 1;
}

int json_get_object(json_object *object, const char *key, json_object **ret)
{
    return get(object, key, json_type_object, ret);
}

int json_get_array(json_object *object, const char *key, json_object **ret)
{
    return get(object, key, json_type_array, ret);
}

void json_string_erase(json_object *string)
{
    /* json-c hands out its own buffer; nothing else refers to it here. */
    explicit_bzero((char *)(uintptr_t)json_object_get_string(string),
                   (size_t)json_object_get_string_len(string));
}

int json_format(json_object *object, char **ret)
{
    const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
                                                                  JSON_C_TO_STRING_NOSLASHESCAPE);
    _cleanup_(json_putp) json_object *again = NULL;

    if (!text || json_parse(text, strlen(text), JSON_TOKENER_DEFAULT_DEPTH, &again) < 0 ||
        !json_object_equal(object, again))
        return -ENOMEM;
    *ret = strdup(text);
    return *ret ? 0 : -ENOMEM;
}

/* A string that was not taken may hold a secret. */
static int drop(json_object *value)
{
    if (json_object_is_type(value, json_type_string))
        json_string_erase(value);
    json_object_put(value);
    return -ENOMEM;
}

int json_add_take(json_object *object, const char *key, json_object *value)
{
    if (!value)
        return -ENOMEM;
    return json_object_object_add(object, key, value) < 0 ? drop(value) : 0;
}

int json_append_take(json_object *array, json_object *value)
{
    if (!value)
        return -ENOMEM;
    return json_object_array_add(array, value) < 0 ? drop(value) : 0;
}

int json_add_string(json_object *object, const char *key, const char *value)
{
    return json_add_take(object, key, json_object_new_string(value));
}

int json_add_uint(json_object *object, const char *key, uint64_t value)
{
    return json_add_take(object, key, json_object_new_uint64(value));
}

int json_add_bool(json_object *object, const char *key, bool value)
{
    return json_add_take(object, key, json_object_new_boolean(value));
}
