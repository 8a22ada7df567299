/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>

#include "basic/json.h"
#include "test.h"
#include "varlink/limits.h"

#define DEPTH VARLINK_JSON_DEPTH_MAX

/* Parses from a buffer without a terminator or a spare byte, as text from a socket is. */
static int parse(const char *text, size_t size, json_object **ret)
{
    _cleanup_(freep) char *copy = malloc(size);

    if (!copy)
        return -ENOMEM;
    memcpy(copy, text, size);
    return json_parse(copy, size, DEPTH, ret);
}

/* Returns 0 if text is refused with -EBADMSG and the output is untouched. */
static int refused(const char *text, size_t size)
{
    json_object *untouched = json_object_new_object(), *o = untouched;
    int r = parse(text, size, &o);

    if (o != untouched)
        json_object_put(o);
    json_object_put(untouched);
    return r == -EBADMSG && o == untouched ? 0 : -1;
}

#define ASSERT_REFUSED(literal)                                                                    \
    do {                                                                                           \
        if (refused(literal, sizeof(literal) - 1) != 0)                                            \
            TEST_FAIL("parsed: %s", #literal);                                                     \
    } while (0)

#define ASSERT_PARSED(literal, object)                                                             \
    do {                                                                                           \
        if (parse(literal, sizeof(literal) - 1, object) != 0)                                      \
            TEST_FAIL("not parsed: %s", #literal);                                                 \
    } while (0)

TEST(parse_good)
{
    static const char *const good[] = {
        "{}",          " \t\r\n{ } \t\r\n",
        "{\"a\":1}",   "{\"a\":[1,\"\\u00fc\",null,true,false,{}]}",
        "{\"\":\"\"}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        _cleanup_(json_putp) json_object *o = NULL;

        if (parse(good[i], strlen(good[i]), &o) != 0)
            TEST_FAIL("not parsed: %s", good[i]);
        ASSERT_TRUE(json_object_is_type(o, json_type_object));
    }
}

TEST(parse_broken)
{
    static const char whole[] = "{\"a\":{\"b\":[\"c\",1,null]},\"d\":true}";

    for (size_t size = 0; size < sizeof(whole) - 1; size++)
        ASSERT_OK(refused(whole, size));
    ASSERT_REFUSED("{\"a\":1,}");
    ASSERT_REFUSED("{\"a\" 1}");
    ASSERT_REFUSED("{a:1}");
    ASSERT_REFUSED("{\"a\":[1,]}");
    ASSERT_REFUSED("{\"a\":01}");
    ASSERT_REFUSED("{\"a\":+1}");
    ASSERT_REFUSED("{\"a\":True}");
    ASSERT_REFUSED("{\"a\":\"\\x\"}");
    ASSERT_REFUSED("/* */{}");
    ASSERT_REFUSED("\xef\xbb\xbf{}");
}

TEST(parse_other_than_object)
{
    ASSERT_REFUSED("[1]");
    ASSERT_REFUSED("\"text\"");
    ASSERT_REFUSED("1 ");
    ASSERT_REFUSED("null ");
    ASSERT_REFUSED("true ");
    ASSERT_REFUSED(" ");
}

TEST(parse_trailing)
{
    for (int c = 0; c < 256; c++) {
        char text[] = "{\"a\":1}? ";
        bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
        _cleanup_(json_putp) json_object *o = NULL;

        text[7] = (char)c;
        if (parse(text, 9, &o) != (blank ? 0 : -EBADMSG))
            TEST_FAIL("trailing byte 0x%02x", (unsigned)c);
    }
    ASSERT_REFUSED("{}{}");
    ASSERT_REFUSED("{} {");
    ASSERT_REFUSED("{} // comment");
}

/* The innermost value counts as a level, also if it is no object. */
TEST(parse_depth)
{
    for (int depth = 1; depth < 40; depth++)
        for (int list = 0; list < 2; list++) {
            _cleanup_(json_putp) json_object *o = NULL;
            char text[400] = "{\"a\":";
            int n = 1;

            for (; n < depth; n++)
                strcat(text, list ? "[" : "{\"a\":");
            strcat(text, "1");
            while (n-- > 1)
                strcat(text, list ? "]" : "}");
            strcat(text, "}");
            if (parse(text, strlen(text), &o) != (depth < DEPTH ? 0 : -EBADMSG))
                TEST_FAIL("depth %d", depth);
        }
}

TEST(parse_utf8)
{
    _cleanup_(json_putp) json_object *o = NULL;
    const char *s;

    ASSERT_PARSED("{\"a\":\"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\"}", &o);
    ASSERT_EQ(json_get_string(o, "a", &s), 1);
    ASSERT_STR(s, "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80");

    ASSERT_REFUSED("{\"a\":\"\xff\"}");
    ASSERT_REFUSED("{\"a\":\"\xc3\"}");
    ASSERT_REFUSED("{\"a\":\"\x80\"}");
    ASSERT_REFUSED("{\"a\":\"\xe2(\xa1\"}");
    ASSERT_REFUSED("{\"\xff\":1}");
    ASSERT_REFUSED("{}\xff");
}

TEST(parse_utf8_overlong_and_surrogates)
{
    ASSERT_REFUSED("{\"a\":\"\xc0\x80\"}");
    ASSERT_REFUSED("{\"a\":\"\xc1\xbf\"}");
    ASSERT_REFUSED("{\"a\":\"\xe0\x80\xaf\"}");
    ASSERT_REFUSED("{\"a\":\"\xf0\x80\x80\xaf\"}");
    ASSERT_REFUSED("{\"a\":\"\xed\xa0\x80\"}");
    ASSERT_REFUSED("{\"a\":\"\xf4\x90\x80\x80\"}");
    ASSERT_REFUSED("{\"\xc0\x80\":1}");
}

TEST(embedded_nul)
{
    _cleanup_(json_putp) json_object *o = NULL;
    const char *s = "untouched";

    ASSERT_REFUSED("{\"a\":\"x\0y\"}");
    ASSERT_REFUSED("{\"a\0\":1}");
    ASSERT_REFUSED("{\"a\":1\0}");
    ASSERT_REFUSED("{}\0");
    ASSERT_REFUSED("\0{}");

    ASSERT_PARSED("{\"a\":\"x\\u0000y\",\"b\":\"\\u0000\"}", &o);
    ASSERT_EQ(json_get_string(o, "a", &s), -EINVAL);
    ASSERT_EQ(json_get_string(o, "b", &s), -EINVAL);
    ASSERT_STR(s, "untouched");
}

TEST(get_types)
{
    static const char *const keys[] = {"string", "uint", "bool", "object", "array", "double"};
    _cleanup_(json_putp) json_object *o = NULL;

    ASSERT_PARSED("{\"string\":\"\",\"uint\":0,\"bool\":false,\"object\":{},\"array\":[],"
                  "\"double\":1.0}",
                  &o);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        json_object *array = NULL, *object = NULL;
        const char *string = NULL;
        uint64_t uint = 99;
        bool boolean = true;

        ASSERT_EQ(json_get_string(o, keys[i], &string), i == 0 ? 1 : -EINVAL);
        ASSERT_EQ(json_get_uint(o, keys[i], 9, &uint), i == 1 ? 1 : -EINVAL);
        ASSERT_EQ(json_get_bool(o, keys[i], &boolean), i == 2 ? 1 : -EINVAL);
        ASSERT_EQ(json_get_object(o, keys[i], &object), i == 3 ? 1 : -EINVAL);
        ASSERT_EQ(json_get_array(o, keys[i], &array), i == 4 ? 1 : -EINVAL);
        ASSERT_EQ(string != NULL, i == 0);
        ASSERT_EQ(uint, i == 1 ? 0 : 99);
        ASSERT_EQ(boolean, i != 2);
        ASSERT_EQ(object != NULL, i == 3);
        ASSERT_EQ(array != NULL, i == 4);
    }
}

TEST(get_absent)
{
    _cleanup_(json_putp) json_object *o = NULL;
    json_object *absent[] = {NULL, NULL};

    ASSERT_PARSED("{\"null\":null}", &o);
    absent[1] = o;
    for (size_t i = 0; i < 4; i++) {
        const char *key = i < 2 ? "null" : "missing", *string;
        json_object *object;
        uint64_t uint;
        bool boolean;

        ASSERT_OK(json_get_string(absent[i % 2], key, &string));
        ASSERT_OK(json_get_uint(absent[i % 2], key, 9, &uint));
        ASSERT_OK(json_get_bool(absent[i % 2], key, &boolean));
        ASSERT_OK(json_get_object(absent[i % 2], key, &object));
        ASSERT_OK(json_get_array(absent[i % 2], key, &object));
    }
}

/* Member "a" of text as a number of at most max, or an error. */
static long long get_number(const char *text, uint64_t max)
{
    _cleanup_(json_putp) json_object *o = NULL;
    uint64_t v = 0;
    int r = parse(text, strlen(text), &o);

    if (r == 0)
        r = json_get_uint(o, "a", max, &v);
    return r == 1 ? (long long)v : r;
}

TEST(get_number_ranges)
{
    ASSERT_EQ(get_number("{\"a\":9}", 9), 9);
    ASSERT_EQ(get_number("{\"a\":10}", 9), -EINVAL);
    ASSERT_EQ(get_number("{\"a\":0}", 0), 0);
    ASSERT_EQ(get_number("{\"a\":-0}", 0), 0);
    ASSERT_EQ(get_number("{\"a\":-1}", UINT64_MAX), -EINVAL);
    ASSERT_EQ(get_number("{\"a\":-9223372036854775808}", UINT64_MAX), -EINVAL);
    ASSERT_TRUE(get_number("{\"a\":-9223372036854775809}", UINT64_MAX) < 0);
    ASSERT_EQ(get_number("{\"a\":9223372036854775807}", INT64_MAX), INT64_MAX);
    ASSERT_EQ(get_number("{\"a\":9223372036854775808}", INT64_MAX), -EINVAL);
    ASSERT_TRUE(get_number("{\"a\":18446744073709551616}", INT64_MAX) < 0);
    ASSERT_TRUE(get_number("{\"a\":99999999999999999999999}", UINT64_MAX - 1) < 0);
    ASSERT_TRUE(get_number("{\"a\":1e3}", UINT64_MAX) < 0);
    ASSERT_TRUE(get_number("{\"a\":1.5}", UINT64_MAX) < 0);
    ASSERT_TRUE(get_number("{\"a\":\"1\"}", UINT64_MAX) < 0);
}

/* json-c replaces a number that is too large by the largest one. */
TEST(get_number_past_the_largest)
{
    static const char text[] = "{\"a\":18446744073709551616}";
    _cleanup_(json_putp) json_object *o = NULL;
    uint64_t v = 99;

    ASSERT_TRUE(parse(text, strlen(text), &o) != 0 ||
                json_get_uint(o, "a", UINT64_MAX, &v) == -EINVAL);
    ASSERT_EQ(v, 99);
}

TEST(add_and_get_back)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    json_object *array = json_object_new_array();
    uint64_t v;

    ASSERT_OK(json_add_string(o, "s", "x\"\n"));
    ASSERT_OK(json_add_uint(o, "u", UINT64_MAX - 1));
    ASSERT_OK(json_add_bool(o, "b", true));
    ASSERT_OK(json_append_take(array, json_object_new_int(7)));
    ASSERT_OK(json_add_take(o, "l", array));
    ASSERT_STR(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
               "{\"s\":\"x\\\"\\n\",\"u\":18446744073709551614,\"b\":true,\"l\":[7]}");
    ASSERT_EQ(json_get_uint(o, "u", UINT64_MAX, &v), 1);
    ASSERT_TRUE(v == UINT64_MAX - 1);
    ASSERT_EQ(json_add_take(o, "n", NULL), -ENOMEM);
    ASSERT_EQ(json_append_take(array, NULL), -ENOMEM);
    ASSERT_TRUE(!json_object_object_get_ex(o, "n", NULL));
}

TEST(string_erase)
{
    /* json-c keeps short texts inside the object and long ones outside. */
    for (size_t length = 0; length < 200; length++) {
        _cleanup_(json_putp) json_object *o = NULL;
        char text[200];

        memset(text, 'k', length);
        o = json_object_new_string_len(text, (int)length);
        ASSERT_TRUE(o);
        json_string_erase(o);
        ASSERT_EQ(json_object_get_string_len(o), length);
        for (size_t i = 0; i <= length; i++)
            ASSERT_EQ(json_object_get_string(o)[i], 0);
    }
}

#if defined(__SANITIZE_ADDRESS__)
#define CANNOT_FAIL true
static size_t fail_at, n_calls;
static bool strdup_fails;
#else
#define CANNOT_FAIL false
static bool strdup_fails;
/* The call of realloc() that fails, counted from 1; 0 for none. */
static size_t fail_at, n_calls;

void *__libc_realloc(void *p, size_t size);

void *realloc(void *p, size_t size)
{
    return fail_at > 0 && ++n_calls == fail_at ? NULL : __libc_realloc(p, size);
}

char *strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *copy = strdup_fails ? NULL : malloc(size);

    return copy ? memcpy(copy, s, size) : NULL;
}
#endif

/* A string that cannot be added, and to which something else still refers. */
static json_object *new_secret(void)
{
    return json_object_get(json_object_new_string("NVMeTLSkey-1:01:VRLbtnN9:"));
}

static bool is_erased(json_object *string)
{
    const char *text = json_object_get_string(string);

    for (int i = 0; i < json_object_get_string_len(string); i++)
        if (text[i])
            return false;
    return true;
}

/* json-c copies the name of a member, and an array grows. */
TEST(add_without_memory)
{
    if (CANNOT_FAIL)
        TEST_SKIP("needs allocations of its own");

    _cleanup_(json_putp) json_object *o = json_object_new_object(), *first = new_secret(),
                                     *second = new_secret(), *array = json_object_new_array_ext(1);
    int r;

    ASSERT_TRUE(o && array && first && second && !is_erased(first));
    strdup_fails = true;
    r = json_add_take(o, "psk", first);
    strdup_fails = false;
    ASSERT_EQ(r, -ENOMEM);
    ASSERT_TRUE(is_erased(first));
    ASSERT_OK(json_append_take(array, json_object_new_string("fills it")));
    n_calls = 0;
    fail_at = 1;
    r = json_append_take(array, second);
    fail_at = 0;
    ASSERT_EQ(r, -ENOMEM);
    ASSERT_TRUE(is_erased(second));
}

/* Without memory json-c's printer omits parts of the text and returns no error. */
TEST(format_without_memory)
{
    static const char text[] =
        "{\"type\":\"tpm2\",\"pcrs\":[7,11],\"public\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
        "\"a/b\":{\"c\":1.5,\"d\":null,\"e\":true,\"f\":\"\xc3\xbc\\n\\u0000\"}}";
    _cleanup_(json_putp) json_object *o = json_tokener_parse(text);
    _cleanup_(freep) char *whole = NULL;
    size_t n_failed = 0;

    ASSERT_OK(json_format(o, &whole));
    ASSERT_STR(whole, text);
    if (CANNOT_FAIL)
        TEST_SKIP("needs a realloc() of its own");
    for (fail_at = 1; n_calls >= fail_at - 1; fail_at++) {
        _cleanup_(freep) char *part = NULL;
        int r;

        n_calls = 0;
        r = json_format(o, &part);
        if (r == 0)
            ASSERT_STR(part, text);
        else
            ASSERT_EQ(r, -ENOMEM);
        n_failed += r < 0;
    }
    fail_at = 0;
    ASSERT_TRUE(n_failed > 0);
}

TEST(copies_of_strings)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    char copy[4] = "-";

    ASSERT_TRUE(json_add_string(o, "short", "abc") == 0 && json_add_string(o, "long", "abcd") == 0);
    ASSERT_OK(json_add_uint(o, "number", 1));
    ASSERT_TRUE(!json_copy_string(o, "long", copy, sizeof(copy)));
    ASSERT_TRUE(!json_copy_string(o, "number", copy, sizeof(copy)));
    ASSERT_TRUE(!json_copy_string(o, "missing", copy, sizeof(copy)));
    ASSERT_STR(copy, "-");
    ASSERT_TRUE(json_copy_string(o, "short", copy, sizeof(copy)));
    ASSERT_STR(copy, "abc");
}
