/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <json-c/json.h>

#include "basic/json.h"
#include "credstore/seal/tpm2/counter.h"
#include "test.h"

static Tpm2Counter sample(void)
{
    return (Tpm2Counter){.index = TPM2_COUNTER_FIRST + 7,
                         .name = {.size = 34, .data = {0x00, 0x0b, 1}},
                         .srk_name = {.size = 34, .data = {0x00, 0x0b, 2}}};
}

static int parse_with(const char *key, const char *json)
{
    _cleanup_(json_putp) json_object *object = json_object_new_object();
    Tpm2Counter counter = sample();

    if (tpm2_counter_format(&counter, object) < 0)
        return -ENOMEM;
    json_object_object_del(object, key);
    if (json && json_object_object_add(object, key, json_tokener_parse(json)) < 0)
        return -ENOMEM;
    return tpm2_counter_parse(object, &counter);
}

TEST(parse)
{
    _cleanup_(json_putp) json_object *object = json_object_new_object();
    Tpm2Counter counter = sample(), again = {};

    ASSERT_OK(tpm2_counter_format(&counter, object));
    ASSERT_EQ(json_object_object_length(object), 3);
    ASSERT_OK(tpm2_counter_parse(object, &again));
    ASSERT_MEM(&counter, &again, sizeof(counter));
    ASSERT_OK(parse_with("nvIndex", "27262976"));
    ASSERT_OK(parse_with("nvIndex", "27328511"));
    ASSERT_OK(parse_with("srkName", "\"AAwB\""));
    ASSERT_OK(parse_with("other", "1"));
}

TEST(parse_refuses)
{
    static const char *const keys[] = {"nvIndex", "nvName", "srkName"};
    static const char *const values[] = {"null", "{}", "\"\"", "-1", "\"A\"", "[1]"};
    static const char *const indices[] = {"0",          "25165824",     "27262975",  "27328512",
                                          "27262976.0", "\"27262976\"", "4322230272"};
    /* Short, another algorithm, long. */
    static const char *const names[] = {"\"AAsBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"",
                                        "\"AAwBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\"",
                                        "\"AAsBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""};
    Tpm2Counter counter = sample();

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        ASSERT_EQ(parse_with(keys[i], NULL), -EBADMSG);
        for (size_t j = 0; j < ARRAY_SIZE(values); j++)
            ASSERT_EQ(parse_with(keys[i], values[j]), -EBADMSG);
    }
    for (size_t i = 0; i < ARRAY_SIZE(indices); i++)
        ASSERT_EQ(parse_with("nvIndex", indices[i]), -EBADMSG);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        ASSERT_EQ(parse_with("nvName", names[i]), -EBADMSG);

    _cleanup_(json_putp) json_object *object = json_object_new_object();
    counter.srk_name.size = 0;
    ASSERT_EQ(tpm2_counter_format(&counter, object), -EINVAL);
    counter = sample();
    counter.index = 0x01c00000;
    ASSERT_EQ(tpm2_counter_format(&counter, object), -EINVAL);
}
