/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Functions of this room return 0, a negative errno if the machine failed (-ENOMEM, -EIO), or one
 * of these positive codes if the input is wrong. A code is for the user, not an errno to pass on.
 */
typedef enum PskError {
    PSK_E_PREFIX = 1,
    PSK_E_HASH,
    PSK_E_LENGTH,
    PSK_E_COLON,
    PSK_E_BASE64,
    PSK_E_CRC,
    PSK_E_HASH_LENGTH,
    PSK_E_IDENTITY_LENGTH,
    PSK_E_IDENTITY,
    PSK_E_GENERATED,
    PSK_E_DIGEST,
    PSK_E_IDENTITY_SIZE,
    PSK_E_NQN,
    PSK_E_MARK,
    PSK_E_QUOTES,
    PSK_E_MORE,
    PSK_E_LINE,
} PskError;

/* One line for people: which part is wrong and what it should be. Never contains the input. */
const char *psk_error_text(int error);
