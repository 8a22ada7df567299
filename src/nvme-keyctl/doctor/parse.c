/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "basic/macro.h"
#include "basic/scan.h"
#include "formats/ini.h"
#include "nvme-keyctl/doctor/parse.h"

/* Of a part of a version: ten bits. */
#define PART_MAX 1023

static const char *read_part(const char *p, const char *end, unsigned *ret)
{
    *ret = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        *ret = CONST_MIN(*ret * 10 + (unsigned)(*p - '0'), PART_MAX);
    return p;
}

static unsigned parse_within(const char *p, const char *end)
{
    unsigned parts[3] = {0, 0, 0};

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        p = read_part(p, end, &parts[i]);
        if (end - p < 2 || p[0] != '.' || p[1] < '0' || p[1] > '9')
            break;
        p++;
    }
    return VERSION(parts[0], parts[1], parts[2]);
}

unsigned version_parse(const char *text)
{
    return parse_within(text, text + strlen(text));
}

const char *version_format(unsigned version, char ret[static VERSION_TEXT_SIZE])
{
    unsigned patch = version & PART_MAX;
    int n = snprintf(ret, VERSION_TEXT_SIZE, "%u.%u", version >> 20, version >> 10 & PART_MAX);

    if (patch > 0)
        (void)snprintf(ret + n, VERSION_TEXT_SIZE - (size_t)n, ".%u", patch);
    return ret;
}

unsigned version_find(const char *data, size_t size, const char *prefix)
{
    const char *p = data, *end = data + size;
    size_t n = strlen(prefix);

    while ((p = memmem(p, (size_t)(end - p), prefix, n))) {
        p += n;
        if (p < end && *p >= '0' && *p <= '9')
            return parse_within(p, end);
    }
    return 0;
}

bool line_next(const char **p, const char **ret, size_t *ret_length)
{
    if (!**p)
        return false;
    *ret = *p;
    *ret_length = strcspn(*p, "\n");
    *p += *ret_length + ((*p)[*ret_length] == '\n');
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

bool word_next(const char **p, const char *end, const char **ret, size_t *ret_length)
{
    const char *q = *p;

    while (q < end && is_blank(*q))
        q++;
    *ret = q;
    while (q < end && !is_blank(*q))
        q++;
    *ret_length = (size_t)(q - *ret);
    *p = q;
    return *ret_length > 0;
}

bool word_is(const char *word, size_t length, const char *text)
{
    return strlen(text) == length && memcmp(word, text, length) == 0;
}

/* Cut if it is too long. */
static void copy(const Part *part, char *ret, size_t size)
{
    size_t n = CONST_MIN(part->length, size - 1);

    memcpy(ret, part->text, n);
    ret[n] = '\0';
}

bool conf_next(const char **p, ConfLine *line)
{
    const char *text;
    size_t length;

    while (line_next(p, &text, &length)) {
        IniLine ini;

        ini_parse_line(text, length, &ini);
        if (ini.kind == INI_SECTION) {
            copy(&ini.name, line->section, sizeof(line->section));
            line->n_section++;
        } else if (ini.kind == INI_OPTION) {
            copy(&ini.name, line->key, sizeof(line->key));
            copy(&ini.value, line->value, sizeof(line->value));
            return true;
        }
    }
    return false;
}

char kconfig_get(const char *text, const char *option)
{
    size_t n = strlen(option), length;
    const char *line;

    while (line_next(&text, &line, &length))
        if (length == strlen("CONFIG_") + n + 2 && memcmp(line, "CONFIG_", 7) == 0 &&
            memcmp(line + 7, option, n) == 0 && line[7 + n] == '=')
            return line[8 + n] == 'y' || line[8 + n] == 'm' ? line[8 + n] : 'n';
    return 'n';
}

/* "kernel/drivers/nvme/host/nvme-tcp.ko.xz: ..." */
static bool is_module(const char *line, size_t length, const char *name)
{
    const char *colon = memchr(line, ':', length), *end = colon ? colon : line + length,
               *slash = memrchr(line, '/', (size_t)(end - line)), *p = slash ? slash + 1 : line;

    for (; *name; name++, p++)
        if (p == end || (*p == '-' ? '_' : *p) != *name)
            return false;
    return end - p >= 3 && memcmp(p, ".ko", 3) == 0;
}

bool module_is_listed(const char *text, const char *name)
{
    const char *line;
    size_t length;

    while (line_next(&text, &line, &length))
        if (is_module(line, length, name))
            return true;
    return false;
}

/* "0b1f0a5c I------     1 perm 1f1f0000     0     0 keyring   .nvme: empty" */
bool keys_have_ring(const char *text, const char *name)
{
    const char *line, *word, *end;
    size_t length, n, number;

    while (line_next(&text, &line, &length)) {
        for (end = line + length, number = 0; number < 8 && word_next(&line, end, &word, &n);)
            number++;
        if (number == 8 && word_is(word, n, "keyring") && word_next(&line, end, &word, &n) &&
            n == strlen(name) + 1 && memcmp(word, name, n - 1) == 0 && word[n - 1] == ':')
            return true;
    }
    return false;
}

static bool read_pair(const char *word, size_t n, uint64_t *ret_a, uint64_t *ret_b)
{
    Scan s = {word, word + n};

    return scan_number(&s, INT64_MAX, ret_a) && scan_literal(&s, "/") &&
           scan_number(&s, INT64_MAX, ret_b) && s.p == s.end;
}

/* "    0:    56 55/55 41/1000000 1234/25000000" */
bool key_quota_parse(const char *text, KeyQuota *ret)
{
    const char *line, *word, *end;
    size_t length, n;

    while (line_next(&text, &line, &length)) {
        KeyQuota q = {0, 0, 0, 0};

        end = line + length;
        if (!word_next(&line, end, &word, &n) || !word_is(word, n, "0:") ||
            !word_next(&line, end, &word, &n) || !word_next(&line, end, &word, &n))
            continue;
        if (!word_next(&line, end, &word, &n) || !read_pair(word, n, &q.keys, &q.keys_max) ||
            !word_next(&line, end, &word, &n) || !read_pair(word, n, &q.bytes, &q.bytes_max))
            return false;
        *ret = q;
        return true;
    }
    return false;
}

/* Two lines of each group: names, and values in the same order. */
bool netstat_get(const char *text, const char *group, const char *name, uint64_t *ret)
{
    const char *names = NULL, *line, *a, *b, *end, *names_end = NULL;
    size_t length, n, m;

    while (line_next(&text, &line, &length)) {
        end = line + length;
        if (!word_next(&line, end, &a, &n) || !word_is(a, n, group))
            continue;
        if (!names) {
            names = line;
            names_end = end;
            continue;
        }
        while (word_next(&names, names_end, &a, &n) && word_next(&line, end, &b, &m)) {
            Scan s = {b, b + m};

            if (word_is(a, n, name))
                return scan_number(&s, INT64_MAX, ret) && s.p == s.end;
        }
        return false;
    }
    return false;
}
