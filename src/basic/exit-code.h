/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Exit codes of nvme-keyctl and nvme-keyd --preload, documented in nvme-keyctl(1). */
typedef enum ExitCode {
    EXIT_OK = 0,
    EXIT_OTHER = 1,
    EXIT_USAGE = 2,
    EXIT_INVALID = 3,       /* a PSK, an NQN or another input is invalid */
    EXIT_NO_KEY = 4,        /* no key or slot of that id, no such controller */
    EXIT_CONFLICT = 5,      /* exists, shadowed, the last one, or in another state */
    EXIT_PERMISSION = 6,    /* not root */
    EXIT_UNREACHABLE = 7,   /* no daemon answers */
    EXIT_STORE = 8,         /* the store cannot be read or written */
    EXIT_NO_KEYRING = 9,    /* the kernel has no `.nvme` now */
    EXIT_KEYRING = 10,      /* the kernel refused a key */
    EXIT_NOT_ACCEPTED = 11, /* a target did not accept a key, or there is none to ask */
    EXIT_NOT_MOVED = 12,    /* a controller was not brought to the active key */
    EXIT_CHECK_FAILED = 13, /* a check of doctor has failed */
    EXIT_REFUSED = 14,      /* an envelope was refused */
} ExitCode;
