/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "varlink/json-wire.h"
#include "varlink/limits.h"
#include "varlink/message.h"

/* Not <ctype.h>, because names do not depend on the locale. */
static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_alpha(char c)
{
    return is_upper(c) || (c >= 'a' && c <= 'z');
}

static bool is_alphanumeric(char c)
{
    return is_alpha(c) || (c >= '0' && c <= '9');
}

/* At least two labels of letters, digits and inner dashes; the first begins with a letter. */
static bool interface_is_valid(const char *name, size_t length)
{
    size_t dots = 0;

    if (length == 0 || !is_alpha(name[0]) || !is_alphanumeric(name[length - 1]))
        return false;
    for (size_t i = 1; i < length; i++) {
        if (is_alphanumeric(name[i]))
            continue;
        /* A label neither begins nor ends with a dash. */
        if (name[i] == '.' && is_alphanumeric(name[i - 1]) && is_alphanumeric(name[i + 1]))
            dots++;
        else if (name[i] != '-' || name[i - 1] == '.')
            return false;
    }
    return dots > 0;
}

bool varlink_interface_name_is_valid(const char *name)
{
    return interface_is_valid(name, strlen(name));
}

/* True for INTERFACE.Name, the form of methods and errors. */
static bool qualified_name_is_valid(const char *name)
{
    const char *last = strrchr(name, '.');

    if (!last || !is_upper(last[1]) || !interface_is_valid(name, (size_t)(last - name)))
        return false;
    for (const char *p = last + 1; *p; p++)
        if (!is_alphanumeric(*p))
            return false;
    return true;
}

/* Replaces missing parameters by an empty object. */
static int get_parameters(json_object *root, json_object **ret)
{
    int r = json_get_object(root, "parameters", ret);

    if (r != 0)
        return r;
    r = json_add_take(root, "parameters", json_object_new_object());
    if (r < 0)
        return r;
    return json_get_object(root, "parameters", ret);
}

/* Returns 0 or -ENOMEM; any other mistake is noted in m. */
static int get_call(VarlinkCallMessage *m)
{
    bool upgrade = false;
    int r;

    if (json_get_bool(m->root, "oneway", &m->oneway) < 0)
        m->invalid = "oneway";
    else if (json_get_bool(m->root, "more", &m->more) < 0)
        m->invalid = "more";
    else if (json_get_bool(m->root, "upgrade", &upgrade) < 0 || upgrade)
        /* An upgrade would switch to another protocol, which the server does not have. */
        m->invalid = "upgrade";
    else if (json_get_string(m->root, "method", &m->method) <= 0 ||
             !qualified_name_is_valid(m->method))
        m->invalid = "method";
    if (m->invalid)
        return 0;

    r = get_parameters(m->root, &m->parameters);
    if (r == -EINVAL)
        m->invalid = "parameters";
    return r == -ENOMEM ? r : 0;
}

int varlink_call_message_parse(const char *data, size_t size, VarlinkCallMessage *ret)
{
    _cleanup_(varlink_json_erase_putp) json_object *root = NULL;
    VarlinkCallMessage m = {0};
    int r = varlink_json_parse(data, size, &root);

    if (r < 0)
        return r;
    m.root = root;
    r = get_call(&m);
    if (r < 0)
        return r;
    if (m.oneway && m.more)
        return -EPROTO;

    TAKE_PTR(root);
    *ret = m;
    return 0;
}

int varlink_reply_message_parse(const char *data, size_t size, VarlinkReplyMessage *ret)
{
    _cleanup_(varlink_json_erase_putp) json_object *root = NULL;
    VarlinkReplyMessage m = {0};
    int r = varlink_json_parse(data, size, &root);

    if (r < 0)
        return r;
    m.root = root;
    r = get_parameters(root, &m.parameters);
    if (r == -ENOMEM)
        return r;
    if (r < 0 || json_get_bool(root, "continues", &m.continues) < 0 ||
        json_get_string(root, "error", &m.error) < 0)
        return -EBADMSG;
    if (m.error && (m.continues || !qualified_name_is_valid(m.error)))
        return -EBADMSG;

    TAKE_PTR(root);
    *ret = m;
    return 0;
}

static int append_text(VarlinkBuffer *b, const char *text)
{
    return varlink_buffer_append(b, text, strlen(text));
}

/* Appends {"KEY":"NAME","parameters":PARAMETERS SUFFIX}; with key NULL only the parameters. */
static int append_members(VarlinkBuffer *b, const char *key, const char *name,
                          json_object *parameters, const char *suffix)
{
    int r = append_text(b, "{");

    if (r == 0 && key) {
        r = varlink_json_append_string(b, key, strlen(key));
        if (r == 0)
            r = append_text(b, ":");
        if (r == 0)
            r = varlink_json_append_string(b, name, strlen(name));
        if (r == 0)
            r = append_text(b, ",");
    }
    if (r == 0)
        r = append_text(b, "\"parameters\":");
    if (r == 0)
        r = parameters ? varlink_json_append(b, parameters) : append_text(b, "{}");
    if (r == 0)
        r = append_text(b, suffix);
    /* With its NUL. */
    return r < 0 ? r : varlink_buffer_append(b, "}", 2);
}

static int append_message(VarlinkBuffer *b, const char *key, const char *name,
                          json_object *parameters, const char *suffix)
{
    size_t before = varlink_buffer_size(b);
    int r;

    if (parameters && !json_object_is_type(parameters, json_type_object))
        return -EINVAL;
    r = append_members(b, key, name, parameters, suffix);
    if (r == 0 && varlink_buffer_size(b) - before > VARLINK_MESSAGE_MAX + 1)
        r = -EMSGSIZE;
    if (r < 0)
        varlink_buffer_truncate(b, before);
    return r;
}

int varlink_message_append_call(VarlinkBuffer *b, const char *method, json_object *parameters,
                                bool more)
{
    return append_message(b, "method", method, parameters, more ? ",\"more\":true" : "");
}

int varlink_message_append_reply(VarlinkBuffer *b, json_object *parameters, bool continues)
{
    return append_message(b, NULL, NULL, parameters, continues ? ",\"continues\":true" : "");
}

int varlink_message_append_error(VarlinkBuffer *b, const char *error, json_object *parameters)
{
    return append_message(b, "error", error, parameters, "");
}
