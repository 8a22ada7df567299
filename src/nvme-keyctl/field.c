/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "basic/json.h"
#include "basic/limits.h"
#include "nvme-keyctl/field.h"

bool field_time(json_object *key, const char *member, struct tm *ret)
{
    uint64_t usec;
    time_t t;

    if (json_get_uint(key, member, INT64_MAX, &usec) <= 0)
        return false;
    t = (time_t)(usec / USEC_PER_SEC);
    return localtime_r(&t, ret);
}

bool field_step(json_object *key, char *ret, size_t size)
{
    bool follow = false;
    const char *step;
    char time[24];
    struct tm tm;

    if (json_get_bool(key, "follow", &follow) > 0 && follow) {
        (void)snprintf(ret, size, "activate when accepted");
        return true;
    }
    if (json_get_string(key, "step", &step) <= 0 || !field_time(key, "deadline", &tm) ||
        strftime(time, sizeof(time), "%Y-%m-%d %H:%M", &tm) == 0)
        return false;
    (void)snprintf(ret, size, "%s %s", step, time);
    return true;
}

void field_print(const char *label, const char *value)
{
    printf("%14s: %s\n", label, value);
}

void field_print_member(json_object *key, const char *label, const char *member)
{
    const char *s;

    if (json_get_string(key, member, &s) > 0)
        field_print(label, s);
}

void field_print_lines(json_object *o, const char *member)
{
    const char *s;

    if (json_get_string(o, member, &s) <= 0)
        return;
    for (size_t n; *s; s += n + (s[n] == '\n')) {
        n = strcspn(s, "\n");
        printf("%14s: %.*s\n", "", (int)n, s);
    }
}

void field_print_time(json_object *key, const char *label, const char *member)
{
    char text[64];
    struct tm tm;

    if (field_time(key, member, &tm) &&
        strftime(text, sizeof(text), "%a %Y-%m-%d %H:%M:%S %Z", &tm) > 0)
        field_print(label, text);
}
