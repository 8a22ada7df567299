/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "varlink/connection.h"
#include "varlink/json-wire.h"

/* The interfaces of a server, and the calls of its hooks. Uses neither calls nor connections, so
 * that both can use it. */

const InterfaceEntry *varlink_server_find_interface(const VarlinkServer *s, const char *name,
                                                    size_t length)
{
    for (const InterfaceEntry *i = s->interfaces; i; i = i->next)
        if (strncmp(i->interface->name, name, length) == 0 && i->interface->name[length] == '\0')
            return i;
    return NULL;
}

int varlink_server_add_interface(VarlinkServer *s, const VarlinkInterface *interface,
                                 void *userdata)
{
    InterfaceEntry **end = &s->interfaces, *entry;

    if (!varlink_interface_name_is_valid(interface->name))
        return -EINVAL;
    if (varlink_server_find_interface(s, interface->name, strlen(interface->name)))
        return -EEXIST;
    entry = malloc(sizeof(*entry));
    if (!entry)
        return -ENOMEM;

    *entry = (InterfaceEntry){interface, userdata, NULL};
    while (*end)
        end = &(*end)->next;
    *end = entry;
    return 0;
}

void varlink_interfaces_free(VarlinkServer *s)
{
    while (s->interfaces) {
        InterfaceEntry *i = s->interfaces;

        s->interfaces = i->next;
        free(i);
    }
}

void varlink_server_refused(VarlinkServer *s, const struct ucred *peer, const char *method)
{
    if (s->refused)
        s->refused(peer, method, s->refused_userdata);
}

void varlink_server_notice(VarlinkServer *s)
{
    if (s->idle && !s->batch)
        s->idle(s, s->idle_userdata);
}

void varlink_flush(VarlinkServer *s)
{
    if (!s->batch)
        return;
    s->batch->interface->flush(s->batch->userdata);
    s->batch = NULL;
    varlink_server_notice(s);
}
