/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "nvme-keyd/events/events.h"
#include "test.h"

static void count(void *userdata)
{
    ++*(unsigned *)userdata;
}

TEST(no_reader)
{
    _cleanup_(events_freep) Events *e = NULL;
    EventReader r;
    unsigned woken = 0;
    uint64_t lost;

    ASSERT_OK(events_new(count, &woken, &e));
    ASSERT_TRUE(!events_have_readers(NULL));
    ASSERT_TRUE(!events_have_readers(e));
    events_emit(NULL, EVENT_PUBLISHED, NULL, 0, NULL);
    events_emit(e, EVENT_PUBLISHED, NULL, 0, NULL);
    ASSERT_EQ(woken, 0);
    ASSERT_OK(event_reader_begin(&r, e));
    ASSERT_TRUE(event_reader_take(&r, &lost) == NULL);
    event_reader_done(&r);
    ASSERT_TRUE(!events_have_readers(e));
}

TEST(order)
{
    _cleanup_(events_freep) Events *e = NULL;
    Key k = {
        .id = "0123456789abcdef", .hostnqn = (char[]){"nqn.h"}, .subsysnqn = (char[]){"nqn.x"}};
    const Event *event;
    EventReader a, b;
    unsigned woken = 0;
    uint64_t lost;

    ASSERT_OK(events_new(count, &woken, &e));
    ASSERT_OK(event_reader_begin(&a, e));
    events_emit(e, EVENT_SWITCHED, &k, 7, "text");
    ASSERT_OK(event_reader_begin(&b, e));
    events_emit_pair(e, EVENT_FOREIGN, "nqn.h", "nqn.s", 8, NULL);
    ASSERT_EQ(woken, 2);

    event = event_reader_take(&a, &lost);
    ASSERT_EQ(lost, 0);
    ASSERT_EQ(event->number, 1);
    ASSERT_EQ(event->kind, EVENT_SWITCHED);
    ASSERT_EQ(event->serial, 7);
    ASSERT_STR(event->key_id, "0123456789abcdef");
    ASSERT_STR(event->subsysnqn, "nqn.x");
    ASSERT_STR(event->detail, "text");
    ASSERT_TRUE(event->time_usec > 0);
    for (int i = 0; i < 2; i++) {
        event = event_reader_take(i == 0 ? &a : &b, &lost);
        ASSERT_EQ(event->number, 2);
        ASSERT_STR(event->key_id, "");
        ASSERT_STR(event->hostnqn, "nqn.h");
        ASSERT_STR(event->subsysnqn, "nqn.s");
        ASSERT_STR(event->detail, "");
    }
    ASSERT_TRUE(event_reader_take(&a, &lost) == NULL);
    event_reader_done(&a);
    ASSERT_TRUE(events_have_readers(e));
    event_reader_done(&b);
}

/* A slow reader gets the newest events, and the number of those that are gone. */
TEST(slow_reader)
{
    _cleanup_(events_freep) Events *e = NULL;
    const Event *event;
    unsigned woken = 0;
    uint64_t lost;
    EventReader r;

    ASSERT_OK(events_new(count, &woken, &e));
    ASSERT_OK(event_reader_begin(&r, e));
    for (unsigned i = 0; i < EVENTS_MAX + 3; i++)
        events_emit(e, EVENT_PUBLISHED, NULL, (int32_t)i + 1, NULL);
    event = event_reader_take(&r, &lost);
    ASSERT_EQ(lost, 3);
    ASSERT_EQ(event->number, 4);
    ASSERT_EQ(event->serial, 4);
    for (unsigned i = 1; i < EVENTS_MAX; i++) {
        event = event_reader_take(&r, &lost);
        ASSERT_EQ(lost, 0);
        ASSERT_EQ(event->serial, (int32_t)i + 4);
    }
    ASSERT_TRUE(event_reader_take(&r, &lost) == NULL);
    event_reader_done(&r);
}

TEST(names)
{
    for (EventKind kind = 0; kind < EVENT_KINDS; kind++)
        ASSERT_TRUE(event_kind_to_string(kind) && strlen(event_kind_to_string(kind)) > 0);
    ASSERT_STR(event_kind_to_string(EVENT_PUT_BACK), "put_back");
}
