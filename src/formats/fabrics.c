/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "formats/fabrics.h"
#include "formats/ini.h"
#include "psk/nqn.h"

typedef enum SectionKind {
    SECTION_OTHER,
    SECTION_HOST,
    SECTION_DISCOVERY_DEFAULTS,
    SECTION_IO_DEFAULTS,
    SECTION_DISCOVERY,
    SECTION_SUBSYSTEM,
    SECTION_KINDS,
} SectionKind;

static const char *const section_names[SECTION_KINDS] = {
    [SECTION_HOST] = "Host",
    [SECTION_DISCOVERY_DEFAULTS] = "Discovery Controller Defaults",
    [SECTION_IO_DEFAULTS] = "I/O Controller Defaults",
    [SECTION_DISCOVERY] = "Discovery Controller",
    [SECTION_SUBSYSTEM] = "Subsystem",
};

/* The options of one section. */
typedef struct Section {
    SectionKind kind;
    size_t line;
    Part hostnqn, nqn, key, identity, source;
    size_t key_line, source_line;
} Section;

typedef struct Reader {
    Section now;
    /* The sections that others inherit from, by kind. */
    Section shared[SECTION_KINDS];
    bool endpoints; /* reports endpoints, or only reads what they inherit */
    FoundFn fn;
    void *userdata;
} Reader;

static bool is_named(const Part *p, const char *name)
{
    return p->length == strlen(name) && memcmp(p->text, name, p->length) == 0;
}

static SectionKind find_kind(const Part *name)
{
    for (SectionKind k = SECTION_HOST; k < SECTION_KINDS; k++)
        if (is_named(name, section_names[k]))
            return k;
    return SECTION_OTHER;
}

/* A nearer section wins. An empty value is one, too: it means that there is no key. */
static void inherit(Section *s, const Section *from)
{
    if (!s->key.text) {
        s->key = from->key;
        s->key_line = from->key_line;
    }
    if (!s->identity.text)
        s->identity = from->identity;
    if (!s->source.text) {
        s->source = from->source;
        s->source_line = from->source_line;
    }
}

static Part none_if_empty(Part p)
{
    return p.length > 0 ? p : (Part){NULL, 0};
}

static int report_endpoint(const Reader *r)
{
    bool discovery = r->now.kind == SECTION_DISCOVERY;
    Section s = r->now;
    FoundKey k;

    inherit(&s, &r->shared[SECTION_HOST]);
    inherit(&s, &r->shared[discovery ? SECTION_DISCOVERY_DEFAULTS : SECTION_IO_DEFAULTS]);
    if (s.key.length == 0)
        return 0;
    if (discovery && s.nqn.length == 0)
        s.nqn = (Part){NQN_DISCOVERY, strlen(NQN_DISCOVERY)};
    if (s.nqn.length == 0)
        return found_note(FOUND_FAULT, s.line, "this [Subsystem] has a tls-key= and no nqn=", r->fn,
                          r->userdata);
    k = (FoundKey){.line = s.key_line,
                   .source_line = s.source_line,
                   .hostnqn = none_if_empty(r->shared[SECTION_HOST].hostnqn),
                   .subsysnqn = s.nqn,
                   .key = s.key,
                   .identity = none_if_empty(s.identity),
                   .source = none_if_empty(s.source)};
    return found_report(&k, r->fn, r->userdata);
}

static int end_section(Reader *r)
{
    bool endpoint = r->now.kind == SECTION_DISCOVERY || r->now.kind == SECTION_SUBSYSTEM;

    if (endpoint)
        return r->endpoints ? report_endpoint(r) : 0;
    r->shared[r->now.kind] = r->now;
    return 0;
}

static void set_option(Section *s, const IniLine *l, size_t line)
{
    if (is_named(&l->name, "nqn"))
        s->nqn = l->value;
    else if (is_named(&l->name, "hostnqn"))
        s->hostnqn = l->value;
    else if (is_named(&l->name, "tls-key-identity"))
        s->identity = l->value;
    else if (is_named(&l->name, "tls-key")) {
        s->key = l->value;
        s->key_line = line;
    } else if (is_named(&l->name, "key-source")) {
        s->source = l->value;
        s->source_line = line;
    }
}

static int read_line(Reader *r, const IniLine *l, size_t line)
{
    int result = 0;

    switch (l->kind) {
    case INI_SECTION:
        result = end_section(r);
        r->now = (Section){.kind = find_kind(&l->name), .line = line};
        break;
    case INI_OPTION:
        set_option(&r->now, l, line);
        break;
    case INI_FAULT:
        if (r->endpoints)
            result = found_note(FOUND_FAULT, line, "neither [SECTION] nor OPTION = VALUE", r->fn,
                                r->userdata);
        break;
    case INI_NOTHING:
        break;
    }
    return result;
}

static int read_all(Reader *r, const char *text, size_t size)
{
    const char *end = text + size, *next;
    int result = 0;

    r->now = (Section){.kind = SECTION_OTHER};
    for (size_t line = 1; result == 0 && text < end; line++, text = next) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        IniLine l;

        next = newline ? newline + 1 : end;
        ini_parse_line(text, (size_t)(next - text), &l);
        result = read_line(r, &l, line);
    }
    return result == 0 ? end_section(r) : result;
}

int fabrics_read(const char *text, size_t size, FoundFn fn, void *userdata)
{
    Reader r = {.fn = fn, .userdata = userdata};
    /* [Host] may stand after the sections that inherit from it. */
    int result = read_all(&r, text, size);

    if (result != 0)
        return result;
    r.endpoints = true;
    return read_all(&r, text, size);
}
