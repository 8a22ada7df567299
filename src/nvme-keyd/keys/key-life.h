/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key.h"

/*
 * The life of a key: which event brings it into which state. Pure: what depends on other keys, on
 * controllers or on the clock is decided by the caller.
 *
 *                add, generate, rotate of a target
 *                              |
 *     rotate of a host         v      retire, or another key is activated
 *   ------------> pending -> active ------------------------------------> retiring
 *                    |  activate ^ activate (the way back)                   |
 *                    |           `-------------------------------------------'
 *                    `-- retire ---------------------------------------------^
 *
 *   revoke leads from these three to revoked, remove from each state to gone.
 */

typedef enum KeyEvent {
    KEY_EVENT_ROTATE, /* a key is made that succeeds it at once, or later on a host */
    KEY_EVENT_ACTIVATE,
    KEY_EVENT_DISPLACE, /* another key is activated, beside which it cannot be active */
    KEY_EVENT_RETIRE,
    KEY_EVENT_REVOKE,
    KEY_EVENT_REMOVE,
} KeyEvent;
#define KEY_EVENTS (KEY_EVENT_REMOVE + 1)

/* Sets the state after an event, which may be the same one. Returns NULL, or why the event is
 * refused: words for people that follow "key ID is STATE: ". */
const char *key_life_next(KeyState state, KeyEvent event, KeyRole role, KeyState *ret);

/* The state in which a key begins that succeeds an active one. A target accepts both at once; a
 * host offers one, and keeps it until the target is known to have the other. */
KeyState key_life_successor(KeyRole role);

/* The event of a step, which is not KEY_STEP_NONE. */
KeyEvent key_life_event(KeyStep step);
