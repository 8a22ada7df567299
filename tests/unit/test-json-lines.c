/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "nvme-keyd-fetch/json-lines.h"
#include "test.h"

/* The lines that came, divided by '|'. */
typedef struct Seen {
    char text[256];
    int result; /* of the callback */
} Seen;

static int on_line(const char *line, size_t size, void *userdata)
{
    Seen *s = userdata;

    strncat(s->text, line, size);
    strcat(s->text, "|");
    return s->result;
}

static void lines_done(JsonLines *l)
{
    json_lines_reset(l);
}

#define LINES(size) _cleanup_(lines_done) JsonLines l = {.max = (size)}

TEST(cut_anywhere)
{
    static const char text[] = "{\"a\":1}\n\n{\"b\":2}\n{\"c\"";

    for (size_t step = 1; step < sizeof(text); step++) {
        LINES(64);
        Seen seen = {.result = 0};

        for (size_t at = 0; at < strlen(text); at += step)
            ASSERT_OK(
                json_lines_feed(&l, text + at, CONST_MIN(step, strlen(text) - at), on_line, &seen));
        ASSERT_STR(seen.text, "{\"a\":1}|{\"b\":2}|");
        ASSERT_TRUE(json_lines_is_inside(&l));
    }
}

TEST(ends_of_lines)
{
    LINES(8);
    Seen seen = {.result = 0};

    ASSERT_OK(json_lines_feed(&l, "12345678\n", 9, on_line, &seen));
    ASSERT_TRUE(!json_lines_is_inside(&l));
    ASSERT_STR(seen.text, "12345678|");
    ASSERT_OK(json_lines_feed(&l, "", 0, on_line, &seen));
}

TEST(too_long)
{
    Seen seen = {.result = 0};
    LINES(8);

    ASSERT_EQ(json_lines_feed(&l, "123456789", 9, on_line, &seen), -EFBIG);
    json_lines_reset(&l);
    ASSERT_OK(json_lines_feed(&l, "1234", 4, on_line, &seen));
    ASSERT_EQ(json_lines_feed(&l, "56789\n", 6, on_line, &seen), -EFBIG);
    ASSERT_STR(seen.text, "");
}

/* A hundred megabytes without a newline never take more than a line may have. */
TEST(memory_is_bounded)
{
    static char block[64 * 1024];
    Seen seen = {.result = 0};
    int r = 0;
    LINES(256 * 1024);

    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 1600 && r == 0; i++)
        r = json_lines_feed(&l, block, sizeof(block), on_line, &seen);
    ASSERT_EQ(r, -EFBIG);
    ASSERT_TRUE(l.capacity <= 256 * 1024);
}

TEST(callback_ends_it)
{
    LINES(64);
    Seen seen = {.result = -ECANCELED};

    ASSERT_EQ(json_lines_feed(&l, "a\nb\n", 4, on_line, &seen), -ECANCELED);
    ASSERT_STR(seen.text, "a|");
    ASSERT_TRUE(!json_lines_is_inside(&l));
}
