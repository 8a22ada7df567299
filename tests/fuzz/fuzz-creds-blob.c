/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "credstore/seal/creds/blob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

/* A parsed slot can be written with the same credential, and a null key passes only if allowed. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(json_putp) json_object *slot = NULL, *again = json_object_new_object();
    const char *credential, *with_key;
    const CredsKeyType *type, *again_type;
    int r;

    if (json_parse((const char *)data, size, 4, &slot) < 0)
        return 0;
    r = creds_blob_parse(slot, true, &credential, &type, NULL);
    check(r == 0 || r == -EBADMSG);
    if (r < 0) {
        check(creds_blob_parse(slot, false, &credential, &type, NULL) == -EBADMSG);
        return 0;
    }

    check(strlen(credential) <= CREDS_TEXT_MAX);
    check(creds_blob_format(credential, true, again, NULL) == 0);
    check(json_object_equal(json_object_object_get(slot, "credential"),
                            json_object_object_get(again, "credential")));
    check(json_get_string(again, "withKey", &with_key) == 1);
    check(strcmp(with_key, type->name) == 0);
    check(strcmp(with_key, creds_blob_key_name(slot)) == 0);
    check(type->null == (strcmp(with_key, "null") == 0));
    r = creds_blob_parse(slot, false, &credential, &again_type, NULL);
    check(type->null ? r == -EKEYREJECTED : r == 0 && again_type == type);
    return 0;
}
