/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <string.h>

#include "nvme-keyctl/doctor/redact.h"

/* Neither has its first character twice, so a mismatch starts again with that character only. */
static const char psk_beginning[] = "NVMeTLSkey-", other_beginning[] = "DHHC-1:";

/* ":HH:" and the Base64 of 32 bytes and a checksum, less some: cut ones are secrets as well. A page
 * that only names the format has less. */
#define LENGTH_MIN 32

/* Base64, its separators, and the backslash that JSON may have before a slash. */
static bool is_part(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("+/=:\\", c));
}

/* Returns true at the end of the beginning. */
static bool match(const char *beginning, size_t *matched, char c)
{
    if (c != beginning[*matched])
        *matched = 0;
    if (c == beginning[*matched])
        (*matched)++;
    if (beginning[*matched] != '\0')
        return false;
    *matched = 0;
    return true;
}

void redact_end(Redact *r)
{
    if (r->is_psk && r->length > LENGTH_MIN)
        r->n_psks++;
    r->length = 0;
    r->is_psk = 0;
}

void redact(Redact *r, char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (r->length > 0 && is_part(data[i])) {
            data[i] = '*';
            r->length++;
            continue;
        }
        if (r->length > 0)
            redact_end(r);
        if (match(psk_beginning, &r->psk, data[i])) {
            r->length = 1;
            r->is_psk = 1;
        } else if (match(other_beginning, &r->other, data[i])) {
            r->length = 1;
        }
    }
}
