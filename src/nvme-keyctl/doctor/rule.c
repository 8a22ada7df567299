/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "basic/macro.h"
#include "nvme-keyctl/doctor/parse.h"
#include "nvme-keyctl/doctor/rule.h"

/* One "*" stands for any characters. Returns false if the text is another one. */
static bool match(const char *pattern, size_t n, const char *text, size_t *ret_skipped)
{
    const char *star = memchr(pattern, '*', n);
    size_t head = star ? (size_t)(star - pattern) : n, tail = star ? n - head - 1 : 0,
           length = strlen(text);

    if (length < head + tail || (!star && length != n) || memcmp(pattern, text, head) != 0 ||
        memcmp(pattern + n - tail, text + length - tail, tail) != 0)
        return false;
    *ret_skipped = length - head - tail;
    return true;
}

RuleResult rule_match(const char *line, size_t length, const RequestKey *request, RuleMatch *ret)
{
    const char *const wanted[] = {request->operation, request->type, request->description,
                                  request->callout};
    const char *end = line + length, *word;
    RuleMatch m = {.program = ""};
    bool matches = true;
    size_t n;

    if (length == 0 || *line == '#' || *line == ' ' || *line == '\t')
        return RULE_NONE;
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        if (!word_next(&line, end, &word, &n))
            return RULE_INVALID;
        matches = matches && match(word, n, wanted[i], &m.skipped[i]);
    }
    if (!word_next(&line, end, &word, &n))
        return RULE_INVALID;
    if (!matches)
        return RULE_NONE;
    memcpy(m.program, word, CONST_MIN(n, sizeof(m.program) - 1));
    *ret = m;
    return RULE_MATCHES;
}

bool rule_is_better(const RuleMatch *a, const RuleMatch *b)
{
    for (size_t i = 0; i < ARRAY_SIZE(a->skipped); i++)
        if (a->skipped[i] != b->skipped[i])
            return a->skipped[i] < b->skipped[i];
    return false;
}
