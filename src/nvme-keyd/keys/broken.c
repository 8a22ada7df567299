/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nvme-keyd/keys/broken.h"

size_t broken_count(const KeyTable *keys)
{
    size_t n = 0;
    const Key *k;

    KEY_TABLE_FOREACH(keys, k)
    {
        n += k->state == KEY_BROKEN;
    }
    return n;
}

static const char *record_error_text(int error)
{
    return error == -EBADMSG ? "authentication failed" : strerror(-error);
}

char *broken_explain(const Key *k, int error)
{
    char *line = NULL;
    int r =
        key_is_handed_in(k)
            ? asprintf(
                  &line,
                  "cannot read the handed-in PSK for %s from credential %s any more (%s): hand it "
                  "in again, or drop the key by systemctl reload nvme-keyd.service",
                  k->subsysnqn, k->handed_by, strerror(-error))
            : asprintf(&line, "the secret of key %s cannot be read (%s)", k->id,
                       record_error_text(error));

    return r < 0 ? NULL : line;
}
