/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "psk/limits.h"
#include "psk/nqn.h"

static bool is_allowed(unsigned char c)
{
    return c > ' ' && c < 0x7f && c != ';';
}

bool nqn_is_usable(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!is_allowed((unsigned char)name[i]))
            return false;
    return length > 0 && length <= NQN_LENGTH_MAX;
}

NqnFault nqn_check(const char *name, size_t length, size_t *ret_position)
{
    for (size_t i = 0; i < length; i++) {
        *ret_position = i;
        if (i >= NQN_LENGTH_MAX)
            return NQN_TOO_LONG;
        if (!is_allowed((unsigned char)name[i]))
            return NQN_CHARACTER;
        if (i < 4 && name[i] != "nqn."[i])
            return NQN_PREFIX;
    }
    *ret_position = length;
    return length < NQN_LENGTH_MIN ? NQN_TOO_SHORT : NQN_OK;
}

int nqn_check_text(const char *name, const char *what, char **reterr_text)
{
    size_t position, length = strlen(name);
    unsigned char c;
    int n;

    switch (nqn_check(name, length, &position)) {
    case NQN_OK:
        return 0;
    case NQN_TOO_SHORT:
        n = asprintf(reterr_text, "%s \"%s\" is too short: \"nqn.\" and a name after it", what,
                     name);
        break;
    case NQN_TOO_LONG:
        n = asprintf(reterr_text, "%s has %zu characters, at most %d are allowed", what, length,
                     NQN_LENGTH_MAX);
        break;
    case NQN_PREFIX:
        n = asprintf(reterr_text, "%s does not begin with \"nqn.\" (character %zu)", what,
                     position + 1);
        break;
    case NQN_CHARACTER:
    default:
        c = (unsigned char)name[position];
        if (c > ' ' && c < 0x7f)
            n = asprintf(reterr_text, "%s has '%c' at character %zu, which is not allowed", what, c,
                         position + 1);
        else
            n = asprintf(reterr_text, "%s has %s (0x%02x) at character %zu, which is not allowed",
                         what, c == ' ' ? "a blank" : "a byte", c, position + 1);
        break;
    }
    return n < 0 ? -ENOMEM : -EINVAL;
}
