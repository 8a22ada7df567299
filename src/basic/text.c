/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <string.h>

#include "basic/text.h"

/* Length of the UTF-8 sequence at s, of which size > 0 bytes may be read, or 0 when it is none
 * (RFC 3629: no overlong form, no surrogate, nothing past U+10FFFF). */
static size_t utf8_sequence(const unsigned char *s, size_t size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7fu >> n);

    if (n > size)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        c = c << 6 | (s[i] & 0x3fu);
    }
    if (n == 0 || c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    return n;
}

bool utf8_is_valid(const char *text, size_t size)
{
    const unsigned char *p = (const unsigned char *)text;

    for (size_t n; size > 0; p += n, size -= n) {
        n = utf8_sequence(p, size);
        if (n == 0)
            return false;
    }
    return true;
}

bool text_is_printable(const char *s)
{
    for (const unsigned char *p = (const unsigned char *)s; *p;) {
        /* The terminator ends a sequence that is cut off. */
        size_t n = utf8_sequence(p, 4);

        /* C0, DEL and the C1 controls U+0080..U+009F, which start with 0xc2. */
        if (n == 0 || *p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0))
            return false;
        p += n;
    }
    return true;
}

const char *text_after(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);

    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool text_is_hex(const char *s, size_t length)
{
    return strspn(s, "0123456789abcdef") == length && s[length] == '\0';
}
