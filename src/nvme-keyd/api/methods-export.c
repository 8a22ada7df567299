/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "basic/names.h"
#include "nvme-keyd/api/methods-private.h"
#include "varlink/json-wire.h"

/* Export: hands the PSKs of one key out, in the clear. */

/* Returns -EBADMSG for a size that no PSK has. */
static int add_text(json_object *o, PskHash hash, const uint8_t *bytes, size_t size)
{
    _cleanup_(secret_freep) Secret *psk = secret_new_copy(bytes, size), *text = NULL;
    int r = psk ? psk_interchange_format(hash, psk, &text) : -ENOMEM;

    if (r != 0)
        return r < 0 ? r : -EBADMSG;
    return json_add_string(o, "psk", (const char *)text->data);
}

static int add_tls_psks(json_object *o, const Key *k, const Secret *payload)
{
    json_object *list = json_object_new_array();
    int r = json_add_take(o, "tlsPSKs", list);

    for (unsigned v = 0; v < KEY_VERSIONS && r == 0; v++) {
        json_object *entry;
        const uint8_t *bytes;
        size_t size;

        if (!k->identities[v])
            continue;
        r = key_payload_tls_psk(payload, v, &bytes, &size);
        if (r < 0)
            return r;
        entry = json_object_new_object();
        r = json_append_take(list, entry);
        if (r == 0)
            r = json_add_string(entry, "identity", k->identities[v]);
        if (r == 0)
            r = add_text(entry, psk_cipher_hash(PSK_HASH_NONE, size), bytes, size);
    }
    return r;
}

static int reply_psks(VarlinkCall *call, Manager *m, const Key *k)
{
    _cleanup_(varlink_json_erase_putp) json_object *o = json_object_new_object();
    _cleanup_(json_putp) json_object *key = NULL;
    _cleanup_(secret_freep) Secret *payload = NULL;
    const LogFields fields = methods_fields_of(MESSAGE_KEY_EXPORTED, k);
    const uint8_t *bytes;
    size_t size;
    int r;

    if (!o)
        return -ENOMEM;
    r = key_unseal(k, &payload);
    if (r < 0)
        return r == -ENOMEM ? r : methods_reply_failure(call, -EIO, strerror(-r), NULL);
    if ((r = methods_describe_key(m, k, publisher_on_demand_sec(manager_publisher(m)), &key)) < 0 ||
        (r = json_add_take(o, "key", TAKE_PTR(key))) < 0)
        return r;
    r = key_payload_configured(payload, &bytes, &size);
    if (r == 0)
        r = add_text(o, k->hash, bytes, size);
    else if (r == -ENOENT)
        r = 0;
    if (r == 0)
        r = add_tls_psks(o, k, payload);
    if (r < 0)
        return r;
    /* Before the reply, so that no secret leaves without a line. */
    methods_log_change(call, &fields, "exported in the clear");
    return varlink_call_reply_sensitive(call, TAKE_PTR(o));
}

int method_export(VarlinkCall *call, json_object *p, void *userdata)
{
    const Key *k;
    const char *id;

    if (methods_read_id(p, &id) < 0)
        return varlink_call_invalid_parameter(call, "id");
    if (!manager_config(userdata)->export_keys)
        return methods_reply_error(call, NAMES_MANAGER_INTERFACE ".ExportDisabled",
                                   "Export=no in nvme-keyd.conf forbids to hand keys out", NULL);
    k = key_table_find(manager_keys(userdata), id);
    if (!k && vault_error(manager_vault(userdata)) < 0)
        return methods_reply_failure(call, -EIO, vault_detail(manager_vault(userdata)), NULL);
    if (!k)
        return methods_reply_failure(call, -ENOENT, "no key has this ID", NULL);
    if (k->state == KEY_BROKEN || k->state == KEY_REVOKED)
        return methods_reply_failure(call, -EBUSY,
                                     k->state == KEY_BROKEN
                                         ? "the record of the key is broken"
                                         : "the key is revoked: someone else may know its PSK",
                                     NULL);
    return reply_psks(call, userdata, k);
}
