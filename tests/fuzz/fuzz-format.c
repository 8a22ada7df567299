/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "formats/format.h"
#include "formats/ini.h"
#include "psk/identity.h"
#include "psk/limits.h"
#include "psk/nqn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Seen {
    size_t lines; /* of the text */
    size_t keys;
} Seen;

static void check_name(const char *name)
{
    if (name && !nqn_is_usable(name, strlen(name)))
        abort();
}

/* A PSK can be written again, has usable names, and an identity that goes with its size. */
static void check_psk(const Found *f)
{
    _cleanup_(secret_freep) Secret *again = NULL;
    PskIdentity i;

    if (!f->psk || psk_interchange_format(f->hash, f->psk, &again) != 0)
        abort();
    if (f->identity && (!f->hostnqn || !f->subsysnqn ||
                        psk_identity_parse_key(f->identity, strlen(f->identity), f->psk->size, &i)))
        abort();
}

static int take(const Found *f, void *userdata)
{
    Seen *s = userdata;

    if (f->line > s->lines || f->source_line > s->lines)
        abort();
    switch (f->kind) {
    case FOUND_PSK:
        check_psk(f);
        s->keys++;
        break;
    case FOUND_CREDENTIAL:
        if (f->psk || !*f->credential || strchr(f->credential, '/') || f->credential[0] == '.' ||
            strlen(f->credential) > FORMAT_CREDENTIAL_MAX)
            abort();
        break;
    case FOUND_OTHER:
    case FOUND_FAULT:
        /* A text never has a part of the file. */
        if (f->psk || !f->text || strstr(f->text, "VRLb"))
            abort();
        return 0;
    }
    check_name(f->hostnqn);
    check_name(f->subsysnqn);
    return s->keys == 1000;
}

/* Unlike strchr(3), false for a NUL, which a line may have. */
static bool is_blank(char c)
{
    return c && strchr(" \t\r\n", c);
}

/* The parts of a line are within it, without blanks around them. */
static void check_ini(const char *text, size_t size)
{
    IniLine l;

    ini_parse_line(text, size, &l);
    for (int i = 0; i < 2; i++) {
        const Part *p = i ? &l.value : &l.name;

        if (p->length == 0)
            continue;
        if (p->text < text || p->text + p->length > text + size || is_blank(p->text[0]) ||
            is_blank(p->text[p->length - 1]))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Seen s = {.lines = 1};
    int r;

    for (size_t i = 0; i < size; i++)
        s.lines += data[i] == '\n';
    r = format_read((const char *)data, size, take, &s);
    if (r < 0 || r > 1)
        abort();
    check_ini((const char *)data, size);
    return 0;
}
