/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "basic/limits.h"
#include "basic/text.h"
#include "nvme-keyd/config/config.h"
#include "nvme-keyd/config/time-text.h"

#define YEAR_MAX 9999

/* Reads a number of exactly so many digits. */
static bool take_digits(const char **s, size_t n, int *ret)
{
    int value = 0;

    for (size_t i = 0; i < n; i++) {
        if ((*s)[i] < '0' || (*s)[i] > '9')
            return false;
        value = 10 * value + ((*s)[i] - '0');
    }
    *s += n;
    *ret = value;
    return true;
}

static bool take(const char **s, const char *text)
{
    const char *after = text_after(*s, text);

    if (!after)
        return false;
    *s = after;
    return true;
}

/* "Tue " or "Tuesday ". Returns the day from 0, or -1 if there is none. */
static int take_weekday(const char **s)
{
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    size_t n = strcspn(*s, " ");

    for (int i = 0; i < 7 && (*s)[n] == ' '; i++)
        if ((n == 3 || n == strlen(days[i])) && strncasecmp(*s, days[i], n) == 0) {
            *s += n + 1;
            return i;
        }
    return -1;
}

static bool take_date(const char **s, struct tm *tm)
{
    const char *p = *s;
    int year, month, day;

    if (!take_digits(&p, 4, &year) || !take(&p, "-") || !take_digits(&p, 2, &month) ||
        !take(&p, "-") || !take_digits(&p, 2, &day) || month < 1 || month > 12 || day < 1 ||
        day > 31)
        return false;
    tm->tm_year = year - 1900;
    tm->tm_mon = month - 1;
    tm->tm_mday = day;
    *s = p;
    return true;
}

static bool take_clock(const char **s, struct tm *tm)
{
    const char *p = *s;
    int hour, minute, second = 0;

    if (!take_digits(&p, 2, &hour) || !take(&p, ":") || !take_digits(&p, 2, &minute) ||
        (take(&p, ":") && !take_digits(&p, 2, &second)) || hour > 23 || minute > 59 || second > 59)
        return false;
    tm->tm_hour = hour;
    tm->tm_min = minute;
    tm->tm_sec = second;
    *s = p;
    return true;
}

/* Sets the day; the time is midnight. */
static bool set_today(uint64_t now_usec, bool utc, struct tm *ret)
{
    time_t now = (time_t)(now_usec / USEC_PER_SEC);
    struct tm tm;

    if (!(utc ? gmtime_r(&now, &tm) : localtime_r(&now, &tm)))
        return false;
    ret->tm_year = tm.tm_year;
    ret->tm_mon = tm.tm_mon;
    ret->tm_mday = tm.tm_mday;
    return true;
}

static int to_usec(const struct tm *given, bool utc, int weekday, bool has_date, uint64_t *ret)
{
    struct tm tm = *given;
    time_t t;

    tm.tm_isdst = -1;
    t = utc ? timegm(&tm) : mktime(&tm);
    /* The 30th of February, or before 1970. */
    if (t < 0 || tm.tm_year > YEAR_MAX - 1900 || (has_date && tm.tm_mday != given->tm_mday) ||
        (weekday >= 0 && tm.tm_wday != weekday))
        return -EINVAL;
    *ret = (uint64_t)t * USEC_PER_SEC;
    return 0;
}

/* A zone at the end, which is cut off. */
static bool cut_zone(const char *s, size_t *length)
{
    static const char *const zones[] = {" UTC", "Z"};

    for (size_t i = 0; i < ARRAY_SIZE(zones); i++) {
        size_t n = strlen(zones[i]);

        if (*length > n && strcmp(s + *length - n, zones[i]) == 0) {
            *length -= n;
            return true;
        }
    }
    return false;
}

static int parse_calendar(const char *s, uint64_t now_usec, uint64_t *ret)
{
    struct tm tm = {.tm_mday = 1};
    size_t length = strlen(s);
    bool utc = cut_zone(s, &length), has_date, has_day, tomorrow;
    const char *p = s, *end = s + length;
    int weekday = take_weekday(&p);

    has_date = take_date(&p, &tm);
    tomorrow = !has_date && take(&p, "tomorrow");
    has_day = has_date || tomorrow || take(&p, "today");
    if ((weekday >= 0 && !has_date) || (!has_date && !set_today(now_usec, utc, &tm)))
        return -EINVAL;
    if ((!has_day || (p < end && (take(&p, " ") || (has_date && take(&p, "T"))))) &&
        !take_clock(&p, &tm))
        return -EINVAL;
    tm.tm_mday += tomorrow;
    return p == end ? to_usec(&tm, utc, weekday, has_date, ret) : -EINVAL;
}

int time_parse(const char *s, uint64_t now_usec, uint64_t *ret_usec)
{
    uint64_t n;

    if (strcmp(s, "never") == 0)
        n = TIME_NEVER;
    else if (strcmp(s, "now") == 0)
        n = now_usec;
    else if (*s == '+' || *s == '@') {
        /* Seconds without a unit, as in a span. */
        if (config_parse_span(s + 1, &n) < 0 || n == UINT64_MAX ||
            (*s == '+' && __builtin_add_overflow(n, now_usec, &n)) || n > INT64_MAX)
            return -EINVAL;
    } else
        return parse_calendar(s, now_usec, ret_usec);
    *ret_usec = n;
    return 0;
}
