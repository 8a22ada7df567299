/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Rules of request-key.conf(5), by which request-key(8) finds the program for a request. */

typedef struct RequestKey {
    const char *operation, *type, *description, *callout;
} RequestKey;

/* How well a rule matches: characters that its wildcards skip, of each field. */
typedef struct RuleMatch {
    size_t skipped[4];
    char program[128];
} RuleMatch;

typedef enum RuleResult {
    RULE_NONE, /* a comment, or a rule for other requests */
    RULE_MATCHES,
    RULE_INVALID, /* request-key(8) stops there, whatever it was asked for */
} RuleResult;

/* Reads one line, and compares it with a request. */
RuleResult rule_match(const char *line, size_t length, const RequestKey *request, RuleMatch *ret);

/* True if a is better than b; of equal ones request-key(8) takes the first that it reads. */
bool rule_is_better(const RuleMatch *a, const RuleMatch *b);
