/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "basic/json.h"
#include "basic/limits.h"
#include "basic/names.h"
#include "nvme-keyctl/cli.h"
#include "nvme-keyctl/output.h"

/* monitor prints events as they come. */

static void print_time(json_object *event)
{
    char text[32] = "-";
    uint64_t usec = 0;
    struct tm tm;
    time_t t;

    if (json_get_uint(event, "time", INT64_MAX, &usec) > 0) {
        t = (time_t)(usec / USEC_PER_SEC);
        if (localtime_r(&t, &tm))
            (void)strftime(text, sizeof(text), "%F %T", &tm);
    }
    printf("%s ", text);
}

static void print_word(json_object *event, const char *member, const char *prefix)
{
    const char *s = json_string_or(event, member, "");

    if (s[0])
        printf("%s%s", prefix, s);
}

static void print_event(json_object *event)
{
    uint64_t serial = 0;

    print_time(event);
    printf("%-9s", json_string_or(event, "kind", "-"));
    print_word(event, "id", " ");
    if (json_get_uint(event, "serial", INT32_MAX, &serial) > 0)
        printf(" %08x", (unsigned)serial);
    print_word(event, "subsystemNQN", " ");
    print_word(event, "hostNQN", " host ");
    print_word(event, "detail", ": ");
    printf("\n");
}

static int on_reply(json_object *reply, void *userdata)
{
    const Options *o = userdata;
    json_object *event;
    uint64_t lost = 0;

    /* The first reply has none. Scripts wait for this line before they change anything. */
    if (json_get_object(reply, "event", &event) <= 0) {
        if (o->legend)
            (void)cli_fail(EXIT_OK, "watching; Ctrl-C ends it");
        return 0;
    }
    if (json_get_uint(reply, "lost", INT64_MAX, &lost) > 0)
        (void)cli_fail(EXIT_OK, "warning: %llu events came too fast and were missed",
                       (unsigned long long)lost);
    if (o->json != JSON_OFF)
        cli_print_json(o, event);
    else
        print_event(event);
    /* Its reader waits for each line. */
    return output_flush();
}

int verb_monitor(const Options *o)
{
    return cli_monitor(o, "Monitor", on_reply, (void *)(uintptr_t)o);
}
