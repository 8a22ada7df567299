/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "found-fixture.h"

int found_append(const Found *f, void *userdata)
{
    static const char *const kinds[] = {"psk", "credential", "other", "fault"};
    char *text = userdata, *p = text + strlen(text);
    size_t room = FOUND_SIZE - strlen(text);

#define ADD(...) ((void)snprintf(p + strlen(p), room - strlen(p), __VA_ARGS__))
    ADD("%s %zu", kinds[f->kind], f->line);
    if (f->source_line > 0)
        ADD("+%zu", f->source_line);
    if (f->hostnqn)
        ADD(" host=%s", f->hostnqn);
    if (f->subsysnqn)
        ADD(" subsys=%s", f->subsysnqn);
    if (f->identity)
        ADD(" identity=%s", f->identity);
    if (f->psk)
        ADD(" %s %zu %02x", psk_hash_to_string(f->hash), f->psk->size, f->psk->data[0]);
    if (f->credential)
        ADD(" credential=%s", f->credential);
    if (f->text)
        ADD(" %.24s", f->text);
    ADD("\n");
#undef ADD
    return 0;
}

int found_collect(FoundReader read, const char *text, char ret[static FOUND_SIZE])
{
    ret[0] = '\0';
    return read(text, strlen(text), found_append, ret);
}
