/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "formats/config-json.h"
#include "formats/fabrics.h"
#include "formats/format.h"
#include "psk/keyfile.h"

#define UTF8_MARK "\xef\xbb\xbf"
#define PSK_PREFIX "NVMeTLSkey-"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool begins_with(const char *text, size_t size, const char *prefix)
{
    return size >= strlen(prefix) && memcmp(text, prefix, strlen(prefix)) == 0;
}

static Part skip_blanks(Part p)
{
    while (p.length > 0 && is_space(p.text[0])) {
        p.text++;
        p.length--;
    }
    return p;
}

/* Skips blanks and comments. */
static Part find_first(Part p)
{
    for (;;) {
        const char *newline;

        p = skip_blanks(p);
        if (p.length == 0 || (p.text[0] != '#' && p.text[0] != ';'))
            return p;
        newline = memchr(p.text, '\n', p.length);
        if (!newline)
            return (Part){p.text, 0};
        p.length -= (size_t)(newline - p.text);
        p.text = newline;
    }
}

Format format_detect(const char *text, size_t size)
{
    Part first = find_first((Part){text, size}), next;

    if (first.length == 0)
        return FORMAT_KEYFILE;
    if (begins_with(first.text, first.length, PSK_PREFIX) ||
        begins_with(first.text, first.length, "\"" PSK_PREFIX) ||
        begins_with(first.text, first.length, "'" PSK_PREFIX))
        return FORMAT_PSK;
    if (first.text[0] == '{')
        return FORMAT_CONFIG_JSON;
    if (first.text[0] != '[')
        return FORMAT_KEYFILE;
    next = skip_blanks((Part){first.text + 1, first.length - 1});
    return next.length > 0 && (next.text[0] == '{' || next.text[0] == ']') ? FORMAT_CONFIG_JSON
                                                                           : FORMAT_FABRICS;
}

static int report_line(const KeyfileLine *l, size_t line, FoundFn fn, void *userdata)
{
    const Found f = {.kind = FOUND_PSK,
                     .line = line,
                     .hostnqn = l->hostnqn,
                     .subsysnqn = l->subsysnqn,
                     .identity = *l->identity ? l->identity : NULL,
                     .hash = l->hash,
                     .psk = l->psk};

    if (l->kind == KEYFILE_DHCHAP)
        return found_note(FOUND_OTHER, line, "it is a secret of DH-HMAC-CHAP", fn, userdata);
    if (l->kind == KEYFILE_GENERATED)
        return found_note(FOUND_OTHER, line, "the kernel has generated it for one connection", fn,
                          userdata);
    return l->psk ? fn(&f, userdata) : 0;
}

static int read_keyfile_line(const char *text, size_t length, size_t line, FoundFn fn,
                             void *userdata)
{
    _cleanup_(keyfile_line_done) KeyfileLine l = {.kind = KEYFILE_NOTHING};
    int r;

    if (length > FORMAT_LINE_MAX)
        return found_note(FOUND_FAULT, line, "longer than any line of a key file", fn, userdata);
    r = keyfile_line_parse(text, length, &l);
    if (r < 0)
        return r;
    return r > 0 ? found_note(FOUND_FAULT, line, psk_error_text(r), fn, userdata)
                 : report_line(&l, line, fn, userdata);
}

static int read_keyfile(const char *text, size_t size, FoundFn fn, void *userdata)
{
    const char *end = text + size, *next;
    int r = 0;

    for (size_t line = 1; r == 0 && text < end; line++, text = next) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));

        next = newline ? newline + 1 : end;
        r = read_keyfile_line(text, (size_t)((newline ? newline : end) - text), line, fn, userdata);
    }
    return r;
}

/* One PSK, with blanks and comments before it and blanks after it. */
static int read_psk(const char *text, size_t size, FoundFn fn, void *userdata)
{
    const Part first = find_first((Part){text, size});
    FoundKey k = {.line = 1, .key = first};

    for (const char *p = text; p < first.text; p++)
        k.line += *p == '\n';
    while (k.key.length > 0 && is_space(k.key.text[k.key.length - 1]))
        k.key.length--;
    return found_report(&k, fn, userdata);
}

static size_t line_of(const char *text, const char *place)
{
    size_t line = 1;

    for (; text < place; text++)
        line += *text == '\n';
    return line;
}

int format_read(const char *text, size_t size, FoundFn fn, void *userdata)
{
    const char *nul;

    if (begins_with(text, size, UTF8_MARK)) {
        text += strlen(UTF8_MARK);
        size -= strlen(UTF8_MARK);
    }
    if (psk_has_byte_order_mark(text, size))
        return found_note(FOUND_FAULT, 1, psk_error_text(PSK_E_MARK), fn, userdata);
    nul = memchr(text, '\0', size);
    if (nul)
        return found_note(FOUND_FAULT, line_of(text, nul), "a byte 0: this is no text file", fn,
                          userdata);
    switch (format_detect(text, size)) {
    case FORMAT_PSK:
        return read_psk(text, size, fn, userdata);
    case FORMAT_CONFIG_JSON:
        return config_json_read(text, size, fn, userdata);
    case FORMAT_FABRICS:
        return fabrics_read(text, size, fn, userdata);
    case FORMAT_KEYFILE:
        break;
    }
    return read_keyfile(text, size, fn, userdata);
}
