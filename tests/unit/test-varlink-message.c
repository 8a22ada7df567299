/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "test.h"
#include "varlink/json-wire.h"
#include "varlink/limits.h"
#include "varlink/message.h"

/* True if the block has nothing but the queued bytes. */
static bool rest_is_zero(const VarlinkBuffer *b)
{
    for (size_t i = 0; i < b->capacity; i++)
        if ((i < b->start || i >= b->end) && b->data[i] != 0)
            return false;
    return true;
}

TEST(buffer)
{
    VarlinkBuffer b = VARLINK_BUFFER(20000);
    char block[20001];
    const char *data;
    size_t size;

    memset(block, 'x', sizeof(block));
    ASSERT_EQ(varlink_buffer_append(&b, block, 20001), -ENOBUFS);
    ASSERT_OK(varlink_buffer_append(&b, "abc\0de", 6));
    ASSERT_EQ(varlink_buffer_next(&b, &data, &size), 1);
    ASSERT_STR(data, "abc");
    ASSERT_EQ(size, 3);
    varlink_buffer_consume(&b, 4);
    ASSERT_TRUE(rest_is_zero(&b));
    ASSERT_EQ(varlink_buffer_next(&b, &data, &size), 0);
    ASSERT_OK(varlink_buffer_append(&b, block, 19998));
    ASSERT_EQ(varlink_buffer_append(&b, "yz", 1), -ENOBUFS);
    varlink_buffer_truncate(&b, 2);
    ASSERT_TRUE(rest_is_zero(&b));
    ASSERT_OK(varlink_buffer_append(&b, "f", 2));
    ASSERT_EQ(varlink_buffer_next(&b, &data, &size), 1);
    ASSERT_STR(data, "def");
    varlink_buffer_done(&b);
    ASSERT_EQ(varlink_buffer_size(&b), 0);
}

/* Bytes that move to the beginning of their block leave no copy. */
TEST(buffer_moves)
{
    VarlinkBuffer b = VARLINK_BUFFER(20000);
    char block[4096];
    size_t capacity;

    memset(block, 'x', sizeof(block));
    ASSERT_OK(varlink_buffer_append(&b, block, 4096));
    capacity = b.capacity;
    varlink_buffer_consume(&b, 4000);
    ASSERT_OK(varlink_buffer_append(&b, "abcd", 4));
    ASSERT_EQ(b.capacity, capacity);
    ASSERT_EQ(b.start, 0);
    ASSERT_MEM(b.data + 95, "xabcd", 5);
    ASSERT_TRUE(rest_is_zero(&b));
    varlink_buffer_done(&b);
}

/* A megabyte of small messages through a buffer that never runs empty. */
TEST(buffer_is_linear)
{
    VarlinkBuffer b = VARLINK_BUFFER((size_t)1 << 20);
    const char *data;
    size_t size;

    ASSERT_OK(varlink_buffer_append(&b, "first", 6));
    for (int i = 0; i < 300000; i++) {
        ASSERT_OK(varlink_buffer_append(&b, "1234567", 8));
        ASSERT_EQ(varlink_buffer_next(&b, &data, &size), 1);
        ASSERT_EQ(size, i == 0 ? 5 : 7);
        varlink_buffer_consume(&b, size + 1);
    }
    ASSERT_TRUE(b.capacity <= 8192);
    varlink_buffer_done(&b);
}

TEST(json)
{
    static const char text[] =
        "{\"a\":[1,-2,true,null,{\"b\":\"\\u0001\\\"\\\\\\u00e4/\"}],\"e\":{},\"d\":0.5}";
    static const char *const bad[] = {"",
                                      "x",
                                      "[]",
                                      "\"a\"",
                                      "{",
                                      "{}x",

                                      "{\"a\":\"\xff\"}",
                                      "{\"a\":\"\xc0\xaf\"}",
                                      "{\"a\":\"\xed\xa0\x80\"}",
                                      "{\"a\":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}",
                                      "{\"a\":}",
                                      "{} {}"};
    VarlinkBuffer b = VARLINK_BUFFER(1000);
    json_object *o;

    ASSERT_OK(varlink_json_parse(text, strlen(text), &o));
    ASSERT_OK(varlink_json_append(&b, o));
    ASSERT_OK(varlink_buffer_append(&b, "", 1));
    ASSERT_STR(b.data,
               "{\"a\":[1,-2,true,null,{\"b\":\"\\u0001\\\"\\\\\u00e4/\"}],\"e\":{},\"d\":0.5}");
    varlink_json_erase_put(o);
    varlink_buffer_done(&b);

    ASSERT_OK(varlink_json_parse(" {} \n", 5, &o));
    json_object_put(o);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (varlink_json_parse(bad[i], strlen(bad[i]), &o) != -EBADMSG)
            TEST_FAIL("\"%s\" was accepted", bad[i]);
    ASSERT_EQ(varlink_json_parse("{}\0", 3, &o), -EBADMSG);

    o = json_object_new_double(1e308 * 10);
    ASSERT_EQ(varlink_json_append(&b, o), -EINVAL);
    json_object_put(o);
}

TEST(names)
{
    static const char *const good[] = {"a.b", "org.varlink.service", "xn--a.b-c.0d", "a.0"};
    static const char *const bad[] = {"",     "a",    ".a",   "a.",  "a..b", "-a.b",
                                      "a.-b", "a-.b", "a.b-", "0.a", "a.b c"};

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        ASSERT_TRUE(varlink_interface_name_is_valid(good[i]));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (varlink_interface_name_is_valid(bad[i]))
            TEST_FAIL("\"%s\" is valid", bad[i]);
}

TEST(calls)
{
    static const char text[] = "{\"more\":true,\"method\":\"org.example.ftl.Jump\",\"x\":{}}";
    VarlinkCallMessage m;

    ASSERT_OK(varlink_call_message_parse(text, strlen(text), &m));
    ASSERT_TRUE(!m.invalid);
    ASSERT_STR(m.method, "org.example.ftl.Jump");
    ASSERT_TRUE(m.more && !m.oneway);
    ASSERT_TRUE(json_object_is_type(m.parameters, json_type_object));
    json_object_put(m.root);
    ASSERT_EQ(varlink_call_message_parse("[]", 2, &m), -EBADMSG);
    ASSERT_EQ(varlink_call_message_parse("{\"oneway\":true,\"more\":true}", 27, &m), -EPROTO);
}

TEST(replies)
{
    static const char *const good[] = {"{}", "{\"parameters\":null,\"continues\":true}",
                                       "{\"error\":\"a.b.C\",\"continues\":false}"};
    static const char *const bad[] = {"{\"error\":\"\"}",
                                      "{\"error\":1}",
                                      "{\"error\":\"a.B\"}",
                                      "{\"error\":\"a.b.C\",\"continues\":true}",
                                      "{\"parameters\":1}",
                                      "{\"continues\":\"yes\"}",
                                      "1"};
    VarlinkReplyMessage m;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        ASSERT_OK(varlink_reply_message_parse(good[i], strlen(good[i]), &m));
        ASSERT_TRUE(json_object_is_type(m.parameters, json_type_object));
        json_object_put(m.root);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (varlink_reply_message_parse(bad[i], strlen(bad[i]), &m) != -EBADMSG)
            TEST_FAIL("\"%s\" was accepted", bad[i]);
}

/* A message that does not fit is not queued in part either. */
TEST(append)
{
    VarlinkBuffer b = VARLINK_BUFFER(2 * VARLINK_MESSAGE_MAX);
    json_object *o = json_object_new_object(), *text, *number = json_object_new_int(1);
    /* A reply with such a text is as long as a message may be, and a call is longer. */
    size_t length = VARLINK_MESSAGE_MAX - strlen("{\"parameters\":{\"a\":\"\"}}");
    char *long_text = malloc(length);

    ASSERT_OK(varlink_message_append_call(&b, "a.b.C", NULL, true));
    ASSERT_STR(b.data, "{\"method\":\"a.b.C\",\"parameters\":{},\"more\":true}");
    ASSERT_EQ(varlink_message_append_reply(&b, number, false), -EINVAL);

    memset(long_text, 'x', length);
    text = json_object_new_string_len(long_text, (int)length);
    ASSERT_OK(json_object_object_add(o, "a", text));
    ASSERT_EQ(varlink_message_append_call(&b, "a.b.C", o, false), -EMSGSIZE);
    ASSERT_EQ(varlink_buffer_size(&b), 47);
    ASSERT_OK(varlink_message_append_reply(&b, o, false));
    ASSERT_EQ(varlink_message_append_reply(&b, o, false), -ENOBUFS);
    varlink_buffer_consume(&b, 47);
    ASSERT_EQ(varlink_buffer_size(&b), VARLINK_MESSAGE_MAX + 1);

    varlink_buffer_done(&b);
    json_object_put(o);
    json_object_put(number);
    free(long_text);
}
