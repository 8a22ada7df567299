/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basic/macro.h"
#include "nvme-keyctl/doctor/parse.h"
#include "nvme-keyctl/doctor/rule.h"
#include "nvme-keyctl/doctor/trouble.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A version is read again from its text. */
static void check_version(const char *text)
{
    char again[VERSION_TEXT_SIZE];
    unsigned version = version_parse(text);

    if (version_parse(version_format(version, again)) != version)
        abort();
}

/* Words lie in their lines, without blanks, and there is an end. */
static void check_lines(const char *text)
{
    static const RequestKey request = {"create", "psk", "NVMe0R01 a b", ""};
    const char *p = text, *line, *word;
    size_t length, n;

    while (line_next(&p, &line, &length)) {
        const char *q = line, *end = line + length;
        RuleMatch m = {.program = ""};

        if (memchr(line, '\n', length))
            abort();
        if (rule_match(line, length, &request, &m) == RULE_MATCHES && rule_is_better(&m, &m))
            abort();
        while (word_next(&q, end, &word, &n))
            if (word < line || word + n > end || memchr(word, ' ', n) || memchr(word, '\t', n))
                abort();
    }
}

static void check_conf(const char *text)
{
    ConfLine line = {.n_section = 0};

    while (conf_next(&text, &line))
        if (strchr(line.key, '=') || strchr(line.value, '\n'))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Exactly as long, so that reading past the end is seen. */
    _cleanup_(freep) char *text = malloc(size + 1);
    KeyQuota quota = {7, 7, 7, 7};
    uint64_t n = 7;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    check_version(text);
    check_lines(text);
    check_conf(text);
    (void)version_find(text, size, "ktls-utils ");
    (void)kconfig_get(text, "NVME_TCP_TLS");
    (void)module_is_listed(text, "nvme_tcp");
    (void)keys_have_ring(text, ".nvme");
    (void)trouble_find(text);
    if (!key_quota_parse(text, &quota) && (quota.keys != 7 || quota.bytes_max != 7))
        abort();
    (void)netstat_get(text, "TcpExt:", "ListenOverflows", &n);
    return 0;
}
