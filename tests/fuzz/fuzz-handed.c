/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "nvme-keyd/handed/handed-line.h"
#include "nvme-keyd/handed/handed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OWN "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"

typedef struct Text {
    const char *text;
    size_t size;
    size_t line; /* of the last key or problem */
} Text;

/* The line of a key lies within the text and between newlines, and gives the same key by itself. */
static int on_key(Key *k, size_t line, void *userdata)
{
    _cleanup_(handed_line_done) HandedLine l = {.role = KEY_ROLE_HOST};
    _cleanup_(key_freep) _unused_ Key *owned = k;
    Text *t = userdata;
    size_t begin = k->handed_offset, end = begin + k->handed_length;

    if (line <= t->line || end < begin || end > t->size ||
        (begin > 0 && t->text[begin - 1] != '\n') || (end < t->size && t->text[end] != '\n') ||
        memchr(t->text + begin, '\n', end - begin))
        abort();
    t->line = line;
    if (handed_line_parse(t->text + begin, end - begin, &l) != 0 || !l.key.psk ||
        l.role != k->role || strcmp(k->hostnqn, *l.key.hostnqn ? l.key.hostnqn : OWN) != 0 ||
        strcmp(k->subsysnqn, l.key.subsysnqn) != 0)
        abort();
    if (k->state != KEY_ACTIVE || k->generation != 0 || strlen(k->id) != KEY_ID_SIZE - 1 ||
        (!k->identities[0] && !k->identities[1]) || strcmp(k->handed_by, "fuzz") != 0)
        abort();
    return 0;
}

static void on_problem(const char *credential, size_t line, const char *text, void *userdata)
{
    Text *t = userdata;

    /* After a problem of line 0, which is the whole credential, none of its lines is reported. */
    if (strcmp(credential, "fuzz") != 0 || (line > 0 ? line <= t->line : t->line > 0) || !text ||
        strchr(text, '\n'))
        abort();
    t->line = line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Text t = {(const char *)data, size, 0};
    const HandedVisitor v = {on_key, on_problem, OWN, &t};
    int r = handed_read_text("fuzz", t.text, size, &v);

    if (r != 0)
        abort();
    return 0;
}
