/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "basic/macro.h"
#include "nvme-keyd-fetch/limits.h"
#include "nvme-keyd-fetch/name.h"

bool fetch_name_is_valid(const char *name)
{
    static const char allowed[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-";
    static const char *const endings[] = {".tmp", ".reason"};
    size_t length = strlen(name);

    if (length == 0 || length > FETCH_NAME_MAX || name[0] == '.' || name[strspn(name, allowed)])
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
        size_t n = strlen(endings[i]);

        if (length >= n && strcmp(name + length - n, endings[i]) == 0)
            return false;
    }
    return true;
}
