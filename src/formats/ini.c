/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "formats/ini.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static Part trim(const char *text, size_t length)
{
    while (length > 0 && is_space(text[0])) {
        text++;
        length--;
    }
    while (length > 0 && is_space(text[length - 1]))
        length--;
    return (Part){text, length};
}

/* Cuts a comment off. */
static Part trim_value(const char *text, size_t length)
{
    for (size_t i = 1; i < length; i++)
        if (text[i] == '#' && is_space(text[i - 1]))
            length = i;
    return trim(text, length);
}

void ini_parse_line(const char *text, size_t length, IniLine *ret)
{
    const Part line = trim(text, length);
    const char *end = line.text + line.length, *mark;

    *ret = (IniLine){.kind = INI_NOTHING};
    if (line.length == 0 || line.text[0] == '#' || line.text[0] == ';')
        return;
    ret->kind = INI_FAULT;
    if (line.text[0] == '[') {
        mark = memchr(line.text, ']', line.length);
        ret->name = mark ? trim(line.text + 1, (size_t)(mark - line.text - 1)) : line;
        if (mark && ret->name.length > 0 && trim_value(mark, (size_t)(end - mark)).length == 1)
            ret->kind = INI_SECTION;
        return;
    }
    mark = memchr(line.text, '=', line.length);
    if (!mark || mark == line.text)
        return;
    ret->kind = INI_OPTION;
    ret->name = trim(line.text, (size_t)(mark - line.text));
    ret->value = trim_value(mark + 1, (size_t)(end - mark - 1));
}
