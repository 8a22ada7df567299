/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "basic/text.h"
#include "fleet/json-read.h"
#include "psk/nqn.h"

/* An object, an array, and objects in it. */
#define DEPTH_MAX 4

int fleet_json_open(const char *text, size_t size, const char *format, json_object **ret)
{
    _cleanup_(json_putp) json_object *o = NULL;
    uint64_t version;
    int r = json_parse(text, size, DEPTH_MAX, &o);

    if (r < 0)
        return r;
    if (strcmp(json_string_or(o, "format", ""), format) != 0 ||
        json_get_uint(o, "version", UINT32_MAX, &version) <= 0 || version != FLEET_FORMAT_VERSION)
        return -EBADMSG;
    *ret = TAKE_PTR(o);
    return 0;
}

bool fleet_json_text(json_object *o, const char *member, char *ret, size_t size)
{
    return json_copy_string(o, member, ret, size) && text_is_printable(ret);
}

bool fleet_json_hex(json_object *o, const char *member, char *ret, size_t size)
{
    return fleet_json_text(o, member, ret, size) && text_is_hex(ret, size - 1);
}

bool fleet_json_nqn(json_object *o, const char *member, char ret[static NQN_LENGTH_MAX + 1])
{
    size_t position;

    return fleet_json_text(o, member, ret, NQN_LENGTH_MAX + 1) &&
           nqn_check(ret, strlen(ret), &position) == NQN_OK;
}
