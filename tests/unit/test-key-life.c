/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "nvme-keyd/keys/key-life.h"
#include "test.h"

/* Each state, with each event and each role. */

#define STATES KEY_GONE

static const KeyRole roles[] = {KEY_ROLE_HOST, KEY_ROLE_TARGET, KEY_ROLE_BOTH};

/* A line for each state, a letter for each event: the first letter of the next state, - for a
 * refusal, and * for an event after which a target is retiring and a host what it was.
 * Events: Rotate Activate Displace reTire reVoke reMove. */
static const char *const table[STATES] = {
    [KEY_PENDING] = "-aprvg", [KEY_ACTIVE] = "*-rrvg", [KEY_RETIRING] = "-arrvg",
    [KEY_REVOKED] = "--v--g", [KEY_BROKEN] = "-----g", [KEY_OVERRIDDEN] = "------",
};

static KeyState state_of(char letter)
{
    static const char letters[] = {
        [KEY_PENDING] = 'p', [KEY_ACTIVE] = 'a',     [KEY_RETIRING] = 'r', [KEY_REVOKED] = 'v',
        [KEY_BROKEN] = '?',  [KEY_OVERRIDDEN] = '?', [KEY_GONE] = 'g'};
    KeyState state = KEY_PENDING;

    while (letters[state] != letter)
        state++;
    return state;
}

static KeyState expect(KeyState state, KeyEvent event, KeyRole role)
{
    char letter = table[state][event];

    if (letter == '*')
        return role == KEY_ROLE_TARGET ? KEY_RETIRING : state;
    return state_of(letter);
}

TEST(each_triple)
{
    for (KeyState state = KEY_PENDING; state < STATES; state++)
        for (unsigned event = 0; event < KEY_EVENTS; event++)
            for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
                KeyState next = KEY_BROKEN;
                const char *why = key_life_next(state, (KeyEvent)event, roles[i], &next);
                bool refused = table[state][event] == '-';

                ASSERT_EQ(strlen(table[state]), KEY_EVENTS);
                if (refused != (why && *why) || (refused && next != KEY_BROKEN) ||
                    (!refused && next != expect(state, (KeyEvent)event, roles[i])))
                    TEST_FAIL("state %d, event %u, role %d: state %d, %s", state, event, roles[i],
                              next, why ? why : "not refused");
            }
}

/* No way leads back from revoked but by being removed, and none to a state that only the service
 * itself finds. */
TEST(ends)
{
    for (KeyState state = KEY_PENDING; state < STATES; state++)
        for (unsigned event = 0; event < KEY_EVENTS; event++) {
            KeyState next = state;

            (void)key_life_next(state, (KeyEvent)event, KEY_ROLE_HOST, &next);
            ASSERT_TRUE(state != KEY_REVOKED || next == KEY_REVOKED || next == KEY_GONE);
            ASSERT_TRUE(next == state || (next != KEY_BROKEN && next != KEY_OVERRIDDEN));
        }
}

TEST(successor)
{
    ASSERT_EQ(key_life_successor(KEY_ROLE_TARGET), KEY_ACTIVE);
    ASSERT_EQ(key_life_successor(KEY_ROLE_HOST), KEY_PENDING);
    ASSERT_EQ(key_life_successor(KEY_ROLE_BOTH), KEY_PENDING);
}

TEST(steps)
{
    ASSERT_EQ(key_life_event(KEY_STEP_ACTIVATE), KEY_EVENT_ACTIVATE);
    ASSERT_EQ(key_life_event(KEY_STEP_RETIRE), KEY_EVENT_RETIRE);
    ASSERT_EQ(key_life_event(KEY_STEP_REVOKE), KEY_EVENT_REVOKE);
    ASSERT_EQ(key_life_event(KEY_STEP_REMOVE), KEY_EVENT_REMOVE);
}
