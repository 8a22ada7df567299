/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/json.h"
#include "nvme-keyctl/cli.h"

void cli_print_warnings(json_object *reply)
{
    json_object *lines;

    if (json_get_array(reply, "warnings", &lines) <= 0)
        return;
    for (size_t i = 0; i < json_object_array_length(lines); i++) {
        json_object *line = json_object_array_get_idx(lines, i);

        if (json_object_is_type(line, json_type_string))
            (void)cli_fail(EXIT_OK, "warning: %s", json_object_get_string(line));
    }
}

void cli_print_unpublished(uint64_t n)
{
    if (n > 0)
        (void)cli_fail(EXIT_OK,
                       "warning: %llu keys are stored, but not in the kernel's keyring, see "
                       "nvme-keyctl status",
                       (unsigned long long)n);
}

void cli_print_new_store(json_object *reply)
{
    const char *first = "", *second = NULL;
    json_object *types;

    if (json_get_array(reply, "storeMadeBy", &types) <= 0)
        return;
    first = json_object_get_string(json_object_array_get_idx(types, 0));
    second = json_object_get_string(json_object_array_get_idx(types, 1));
    (void)cli_fail(
        EXIT_OK,
        "the store is new and sealed by %s%s%s: add a recovery key with nvme-keyctl slot add "
        "recovery",
        first ? first : "", second ? " and " : "", second ? second : "");
}
