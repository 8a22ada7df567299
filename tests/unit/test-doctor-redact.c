/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "basic/macro.h"
#include "nvme-keyctl/doctor/redact.h"
#include "test.h"

#define SECRET "VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:"

static const struct {
    const char *text, *result;
    unsigned n;
} cases[] = {
    {"a NVMeTLSkey-1:01:" SECRET " b",
     "a NVMeTLSkey-****************************************************** b", 1},
    {"DHHC-1:00:c2Vj:,x", "DHHC-1:********,x", 0},
    {"the format is NVMeTLSkey-1:HH:base64:.", "the format is NVMeTLSkey-************.", 0},
    {"NVMeTNVMeTLSkey-1:01:" SECRET,
     "NVMeTNVMeTLSkey-******************************************************", 1},
    {"NVMeTLSke", "NVMeTLSke", 0},
    {"{\"k\":\"NVMeTLSkey-1:01:a\\/b\"}", "{\"k\":\"NVMeTLSkey-*********\"}", 0},
    {"", "", 0},
};

/* The result does not depend on where the pieces end. */
TEST(pieces)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (size_t piece = 1; piece < 80; piece++) {
            Redact r = {.length = 0};
            size_t size = strlen(cases[i].text);
            char text[128];

            strcpy(text, cases[i].text);
            for (size_t at = 0; at < size; at += piece)
                redact(&r, text + at, CONST_MIN(piece, size - at));
            redact_end(&r);
            ASSERT_STR(text, cases[i].result);
            ASSERT_EQ(r.n_psks, cases[i].n);
        }
}
