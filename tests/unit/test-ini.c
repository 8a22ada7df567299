/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/ini.h"
#include "test.h"

static bool is(const Part *p, const char *text)
{
    return p->length == strlen(text) && memcmp(p->text, text, p->length) == 0;
}

TEST(lines)
{
    static const struct {
        const char *text;
        IniKind kind;
        const char *name, *value;
    } cases[] = {
        {"", INI_NOTHING, "", ""},
        {" \t\r\n", INI_NOTHING, "", ""},
        {"# x = y", INI_NOTHING, "", ""},
        {"  ; x = y", INI_NOTHING, "", ""},
        {"[Host]", INI_SECTION, "Host", ""},
        {"  [ I/O Controller Defaults ] # x\r", INI_SECTION, "I/O Controller Defaults", ""},
        {"key=value", INI_OPTION, "key", "value"},
        {" tls-key \t=  a b \r\n", INI_OPTION, "tls-key", "a b"},
        {"key = a=b;c", INI_OPTION, "key", "a=b;c"},
        {"key =", INI_OPTION, "key", ""},
        {"key = # a comment", INI_OPTION, "key", ""},
        {"key = value # a comment # more", INI_OPTION, "key", "value"},
        {"key = a#b", INI_OPTION, "key", "a#b"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        IniLine l;

        ini_parse_line(cases[i].text, strlen(cases[i].text), &l);
        if (l.kind != cases[i].kind || (l.kind == INI_OPTION && !is(&l.value, cases[i].value)) ||
            (l.kind != INI_NOTHING && !is(&l.name, cases[i].name)))
            TEST_FAIL("%s", cases[i].text);
    }
}

TEST(faults)
{
    static const char *const bad[] = {"[", "[]", "[ ]", "[Host", "[Host] x", "word", "= value"};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        IniLine l;

        ini_parse_line(bad[i], strlen(bad[i]), &l);
        if (l.kind != INI_FAULT)
            TEST_FAIL("%s", bad[i]);
    }
}
