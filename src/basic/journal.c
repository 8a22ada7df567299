/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "basic/journal.h"

/* A field is "FIELD=value\n"; with a newline in the value it is "FIELD\n", its size, the value. */
#define NAME_MAX_SIZE 32
#define FIELD_MAX (NAME_MAX_SIZE + 1 + sizeof(uint64_t) + JOURNAL_VALUE_MAX + 1)

/* Cuts at JOURNAL_VALUE_MAX bytes, between two characters. */
static size_t value_size(const char *value)
{
    size_t n = strnlen(value, JOURNAL_VALUE_MAX + 1);

    if (n <= JOURNAL_VALUE_MAX)
        return n;
    for (n = JOURNAL_VALUE_MAX; n > 0 && ((unsigned char)value[n] & 0xc0) == 0x80;)
        n--;
    return n;
}

static char *append_field(char *p, const JournalField *f)
{
    size_t size = value_size(f->value);
    uint64_t wire = htole64(size);

    p = mempcpy(p, f->name, strnlen(f->name, NAME_MAX_SIZE));
    if (memchr(f->value, '\n', size)) {
        *p++ = '\n';
        p = mempcpy(p, &wire, sizeof(wire));
    } else {
        *p++ = '=';
    }
    p = mempcpy(p, f->value, size);
    *p++ = '\n';
    return p;
}

int journal_send(const JournalField *fields, size_t n)
{
    static const struct sockaddr_un address = {AF_UNIX, JOURNAL_SOCKET};
    /* Opened for each entry: a child process closes all descriptors, and a file that it opens could
     * get the number of a socket that was kept. */
    _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char entry[JOURNAL_FIELDS_MAX * FIELD_MAX], *p = entry;

    if (fd < 0)
        return -errno;
    for (size_t i = 0; i < n && i < JOURNAL_FIELDS_MAX; i++)
        if (fields[i].value)
            p = append_field(p, &fields[i]);
    if (sendto(fd, entry, (size_t)(p - entry), MSG_DONTWAIT | MSG_NOSIGNAL,
               (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return 0;
}
