/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "nvme-keyd/keys/key-life.h"

/* One cell for each state and event: the next state, or words why there is none. */
typedef struct Cell {
    KeyState next;
    const char *refusal;
} Cell;

#define TO(state)                                                                                  \
    {                                                                                              \
        (state), NULL                                                                              \
    }
#define REFUSE(words)                                                                              \
    {                                                                                              \
        KEY_GONE, (words)                                                                          \
    }

#define NEVER_RETURNS REFUSE("it never returns, so remove it and add another one")
#define UNREADABLE REFUSE("its record cannot be trusted, so it can only be removed")
#define OVERRIDES REFUSE("it was handed in for one boot, so change it at its source")

static const Cell cells[][KEY_EVENTS] = {
    [KEY_PENDING] =
        {
            [KEY_EVENT_ROTATE] = REFUSE("activate or remove it first"),
            [KEY_EVENT_ACTIVATE] = TO(KEY_ACTIVE),
            [KEY_EVENT_DISPLACE] = TO(KEY_PENDING),
            [KEY_EVENT_RETIRE] = TO(KEY_RETIRING),
            [KEY_EVENT_REVOKE] = TO(KEY_REVOKED),
            [KEY_EVENT_REMOVE] = TO(KEY_GONE),
        },
    [KEY_ACTIVE] =
        {
            /* Of a target; see key_life_next(). */
            [KEY_EVENT_ROTATE] = TO(KEY_RETIRING),
            [KEY_EVENT_ACTIVATE] = REFUSE("nothing to do"),
            [KEY_EVENT_DISPLACE] = TO(KEY_RETIRING),
            [KEY_EVENT_RETIRE] = TO(KEY_RETIRING),
            [KEY_EVENT_REVOKE] = TO(KEY_REVOKED),
            [KEY_EVENT_REMOVE] = TO(KEY_GONE),
        },
    [KEY_RETIRING] =
        {
            [KEY_EVENT_ROTATE] = REFUSE("rotate the key that replaced it, or activate this one"),
            [KEY_EVENT_ACTIVATE] = TO(KEY_ACTIVE),
            [KEY_EVENT_DISPLACE] = TO(KEY_RETIRING),
            [KEY_EVENT_RETIRE] = TO(KEY_RETIRING),
            [KEY_EVENT_REVOKE] = TO(KEY_REVOKED),
            [KEY_EVENT_REMOVE] = TO(KEY_GONE),
        },
    [KEY_REVOKED] =
        {
            [KEY_EVENT_ROTATE] = NEVER_RETURNS,
            [KEY_EVENT_ACTIVATE] = NEVER_RETURNS,
            [KEY_EVENT_DISPLACE] = TO(KEY_REVOKED),
            [KEY_EVENT_RETIRE] = REFUSE("nothing accepts it any more"),
            [KEY_EVENT_REVOKE] = REFUSE("nothing to do"),
            [KEY_EVENT_REMOVE] = TO(KEY_GONE),
        },
    [KEY_BROKEN] =
        {
            [KEY_EVENT_ROTATE] = UNREADABLE,
            [KEY_EVENT_ACTIVATE] = UNREADABLE,
            [KEY_EVENT_DISPLACE] = UNREADABLE,
            [KEY_EVENT_RETIRE] = UNREADABLE,
            [KEY_EVENT_REVOKE] = UNREADABLE,
            [KEY_EVENT_REMOVE] = TO(KEY_GONE),
        },
    [KEY_OVERRIDDEN] =
        {
            [KEY_EVENT_ROTATE] = OVERRIDES,
            [KEY_EVENT_ACTIVATE] = OVERRIDES,
            [KEY_EVENT_DISPLACE] = OVERRIDES,
            [KEY_EVENT_RETIRE] = OVERRIDES,
            [KEY_EVENT_REVOKE] = OVERRIDES,
            [KEY_EVENT_REMOVE] = OVERRIDES,
        },
};

const char *key_life_next(KeyState state, KeyEvent event, KeyRole role, KeyState *ret)
{
    const Cell *cell = &cells[state][event];

    if (cell->refusal)
        return cell->refusal;
    *ret = cell->next;
    /* A host keeps the old key until it switches. */
    if (event == KEY_EVENT_ROTATE && key_life_successor(role) == KEY_PENDING)
        *ret = state;
    return NULL;
}

KeyState key_life_successor(KeyRole role)
{
    return role == KEY_ROLE_TARGET ? KEY_ACTIVE : KEY_PENDING;
}

KeyEvent key_life_event(KeyStep step)
{
    switch (step) {
    case KEY_STEP_ACTIVATE:
        return KEY_EVENT_ACTIVATE;
    case KEY_STEP_RETIRE:
        return KEY_EVENT_RETIRE;
    case KEY_STEP_REVOKE:
        return KEY_EVENT_REVOKE;
    default:
        return KEY_EVENT_REMOVE;
    }
}
