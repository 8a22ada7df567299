/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "varlink/connection.h"

/* org.varlink.service, which every service has; its text comes from the Varlink project. */

static const char description[] =
    "# The Varlink Service Interface is provided by every varlink service. It\n"
    "# describes the service and the interfaces it implements.\n"
    "interface org.varlink.service\n"
    "\n"
    "# Get a list of all the interfaces a service provides and information\n"
    "# about the implementation.\n"
    "method GetInfo() -> (\n"
    "  vendor: string,\n"
    "  product: string,\n"
    "  version: string,\n"
    "  url: string,\n"
    "  interfaces: []string\n"
    ")\n"
    "\n"
    "# Get the description of an interface that is implemented by this service.\n"
    "method GetInterfaceDescription(interface: string) -> (description: string)\n"
    "\n"
    "# The requested interface was not found.\n"
    "error InterfaceNotFound (interface: string)\n"
    "\n"
    "# The requested method was not found\n"
    "error MethodNotFound (method: string)\n"
    "\n"
    "# The interface defines the requested method, but the service does not\n"
    "# implement it.\n"
    "error MethodNotImplemented (method: string)\n"
    "\n"
    "# One of the passed parameters is invalid.\n"
    "error InvalidParameter (parameter: string)\n"
    "\n"
    "# Client is denied access\n"
    "error PermissionDenied ()\n"
    "\n"
    "# Method is expected to be called with 'more' set to true, but wasn't\n"
    "error ExpectedMore ()\n";

static json_object *interface_names(const VarlinkServer *s)
{
    _cleanup_(json_putp) json_object *names = json_object_new_array();

    if (!names)
        return NULL;
    for (const InterfaceEntry *i = s->interfaces; i; i = i->next)
        if (json_append_take(names, json_object_new_string(i->interface->name)) < 0)
            return NULL;
    return TAKE_PTR(names);
}

static int get_info(VarlinkCall *call, json_object *parameters, void *userdata)
{
    _cleanup_(json_putp) json_object *reply = json_object_new_object();
    const VarlinkServer *s = userdata;

    (void)parameters;
    if (!reply || json_add_string(reply, "vendor", s->info.vendor) < 0 ||
        json_add_string(reply, "product", s->info.product) < 0 ||
        json_add_string(reply, "version", s->info.version) < 0 ||
        json_add_string(reply, "url", s->info.url) < 0 ||
        json_add_take(reply, "interfaces", interface_names(s)) < 0)
        return -ENOMEM;
    return varlink_call_reply(call, TAKE_PTR(reply));
}

static int get_interface_description(VarlinkCall *call, json_object *parameters, void *userdata)
{
    _cleanup_(json_putp) json_object *reply = json_object_new_object();
    const VarlinkServer *s = userdata;
    const InterfaceEntry *entry;
    const char *name;

    if (!reply)
        return -ENOMEM;
    if (json_get_string(parameters, "interface", &name) <= 0)
        return varlink_call_invalid_parameter(call, "interface");
    entry = varlink_server_find_interface(s, name, strlen(name));
    if (!entry)
        return json_add_string(reply, "interface", name) < 0
                   ? -ENOMEM
                   : varlink_call_error(call, VARLINK_ERROR_INTERFACE_NOT_FOUND, TAKE_PTR(reply));

    if (json_add_string(reply, "description", entry->interface->description) < 0)
        return -ENOMEM;
    return varlink_call_reply(call, TAKE_PTR(reply));
}

static const VarlinkMethod methods[] = {
    {"GetInfo", 0, get_info, NULL, NULL},
    {"GetInterfaceDescription", 0, get_interface_description, NULL, NULL},
    {NULL, 0, NULL, NULL, NULL},
};

const VarlinkInterface varlink_service_interface = {"org.varlink.service", description, methods,
                                                    NULL, NULL};
