/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "basic/text.h"
#include "varlink/json-wire.h"
#include "varlink/limits.h"

/* Makes a JSON string longer than any string in a text of size bytes. */
static char *filler_new(size_t size)
{
    char *s = malloc(size + 2);

    if (s) {
        memset(s, 'x', size + 2);
        s[0] = s[size + 1] = '"';
    }
    return s;
}

/* Parses the filler, which grows the string buffer of json-c to its full length and overwrites all
 * of it. */
static int overwrite_text(json_tokener *t, const char *filler, size_t size)
{
    _cleanup_(json_putp) json_object *o = NULL;

    json_tokener_reset(t);
    o = json_tokener_parse_ex(t, filler, (int)(size + 2));
    return o ? 0 : -ENOMEM;
}

/* After an error the tokener keeps the values that it has read, and would free them as they are.
 * They are members of the unfinished value of each level, or that value itself. json-c has no
 * function for this; its header shows the members. */
static void erase_unfinished(json_tokener *t)
{
    for (int i = 0; i <= t->depth; i++)
        varlink_json_erase(t->stack[i].current);
}

static bool has_too_many_values(const char *data, size_t size)
{
    bool in_string = false;
    size_t n = 0;

    for (size_t i = 0; i < size; i++) {
        in_string ^= data[i] == '"';
        if (in_string)
            i += data[i] == '\\';
        else
            n += data[i] == '{' || data[i] == '[' ? 8 : data[i] == ',';
    }
    return n > VARLINK_JSON_VALUES_MAX;
}

int varlink_json_parse(const char *data, size_t size, json_object **ret)
{
    _cleanup_(json_tokener_freep) json_tokener *t = NULL;
    _cleanup_(varlink_json_erase_putp) json_object *o = NULL;
    _cleanup_(freep) char *filler = NULL;
    enum json_tokener_error error;

    /* The check of json-c accepts overlong forms and surrogates. */
    if (size == 0 || size > INT_MAX - 2 || memchr(data, '\0', size) ||
        has_too_many_values(data, size) || !utf8_is_valid(data, size))
        return -EBADMSG;

    t = json_tokener_new_ex(VARLINK_JSON_DEPTH_MAX);
    filler = filler_new(size);
    if (!t || !filler || overwrite_text(t, filler, size) < 0)
        return -ENOMEM;

    json_tokener_set_flags(t, JSON_TOKENER_STRICT);
    o = json_tokener_parse_ex(t, data, (int)size);
    error = json_tokener_get_error(t);
    if (error != json_tokener_success)
        erase_unfinished(t);
    if (overwrite_text(t, filler, size) < 0)
        return -ENOMEM;
    if (error != json_tokener_success || !json_object_is_type(o, json_type_object))
        return -EBADMSG;

    *ret = TAKE_PTR(o);
    return 0;
}

static void erase_members(json_object *object)
{
    json_object_object_foreach (object, key, value) {
        (void)key;
        varlink_json_erase(value);
    }
}

void varlink_json_erase(json_object *o)
{
    switch (json_object_get_type(o)) {
    case json_type_string:
        json_string_erase(o);
        break;
    case json_type_array:
        for (size_t i = 0; i < json_object_array_length(o); i++)
            varlink_json_erase(json_object_array_get_idx(o, i));
        break;
    case json_type_object:
        erase_members(o);
        break;
    case json_type_null:
    case json_type_boolean:
    case json_type_double:
    case json_type_int:
        break;
    }
}

void varlink_json_erase_put(json_object *o)
{
    varlink_json_erase(o);
    json_object_put(o);
}

static int append_escaped(VarlinkBuffer *b, char c)
{
    static const char digits[] = "0123456789abcdef";
    const char code[] = {
        '\\', 'u', '0', '0', digits[(unsigned char)c >> 4], digits[(unsigned char)c & 15]};
    const char quoted[] = {'\\', c};

    return (unsigned char)c < ' ' ? varlink_buffer_append(b, code, sizeof(code))
                                  : varlink_buffer_append(b, quoted, sizeof(quoted));
}

int varlink_json_append_string(VarlinkBuffer *b, const char *s, size_t length)
{
    size_t plain = 0;
    int r = varlink_buffer_append(b, "\"", 1);

    for (size_t i = 0; i < length && r == 0; i++) {
        if ((unsigned char)s[i] >= ' ' && s[i] != '"' && s[i] != '\\')
            continue;
        r = varlink_buffer_append(b, s + plain, i - plain);
        if (r == 0)
            r = append_escaped(b, s[i]);
        plain = i + 1;
    }
    if (r == 0)
        r = varlink_buffer_append(b, s + plain, length - plain);
    return r < 0 ? r : varlink_buffer_append(b, "\"", 1);
}

/* The depth of a value in a text of many lines, or FLAT for a text of one. */
#define FLAT (-1)

static int append_value(VarlinkBuffer *b, json_object *o, int depth);

/* Begins the line of a member at a depth. */
static int append_line(VarlinkBuffer *b, int depth)
{
    int r = depth >= 0 ? varlink_buffer_append(b, "\n", 1) : 0;

    for (int i = 0; i < depth && r == 0; i++)
        r = varlink_buffer_append(b, "  ", 2);
    return r;
}

static int inner(int depth)
{
    return depth >= 0 ? depth + 1 : FLAT;
}

/* Appends what stands before a member. */
static int append_separator(VarlinkBuffer *b, bool is_first, int depth)
{
    int r = is_first ? 0 : varlink_buffer_append(b, ",", 1);

    return r < 0 ? r : append_line(b, inner(depth));
}

static int append_end(VarlinkBuffer *b, const char *bracket, bool is_empty, int depth)
{
    int r = is_empty ? 0 : append_line(b, depth);

    return r < 0 ? r : varlink_buffer_append(b, bracket, 1);
}

static int append_array(VarlinkBuffer *b, json_object *array, int depth)
{
    size_t n = json_object_array_length(array);
    int r = varlink_buffer_append(b, "[", 1);

    for (size_t i = 0; i < n && r == 0; i++) {
        r = append_separator(b, i == 0, depth);
        if (r == 0)
            r = append_value(b, json_object_array_get_idx(array, i), inner(depth));
    }
    return r < 0 ? r : append_end(b, "]", n == 0, depth);
}

static int append_object(VarlinkBuffer *b, json_object *object, int depth)
{
    int r = varlink_buffer_append(b, "{", 1);
    bool is_empty = true;

    json_object_object_foreach (object, key, value) {
        if (r == 0)
            r = append_separator(b, is_empty, depth);
        if (r == 0)
            r = varlink_json_append_string(b, key, strlen(key));
        if (r == 0)
            r = depth >= 0 ? varlink_buffer_append(b, ": ", 2) : varlink_buffer_append(b, ":", 1);
        if (r == 0)
            r = append_value(b, value, inner(depth));
        is_empty = false;
    }
    return r < 0 ? r : append_end(b, "}", is_empty, depth);
}

static int append_value(VarlinkBuffer *b, json_object *o, int depth)
{
    size_t length;
    const char *s;

    switch (json_object_get_type(o)) {
    case json_type_string:
        return varlink_json_append_string(b, json_object_get_string(o),
                                          (size_t)json_object_get_string_len(o));
    case json_type_array:
        return append_array(b, o, depth);
    case json_type_object:
        return append_object(b, o, depth);
    case json_type_double:
        /* JSON has no form for infinity and NaN. */
        if (!isfinite(json_object_get_double(o)))
            return -EINVAL;
        break;
    case json_type_null:
    case json_type_boolean:
    case json_type_int:
        break;
    }
    /* No secret is a number. */
    s = json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN, &length);
    return s ? varlink_buffer_append(b, s, length) : -ENOMEM;
}

int varlink_json_append(VarlinkBuffer *b, json_object *o)
{
    return append_value(b, o, FLAT);
}

int varlink_json_append_pretty(VarlinkBuffer *b, json_object *o)
{
    return append_value(b, o, 0);
}
