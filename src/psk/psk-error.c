/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "psk/psk-error.h"

const char *psk_error_text(int error)
{
    if (error < 0)
        return strerror(-error);

    switch ((PskError)error) {
    case PSK_E_PREFIX:
        return "prefix: a configured PSK begins with \"NVMeTLSkey-1:\"";
    case PSK_E_HASH:
        return "hash: after the prefix stand 00 (none), 01 (SHA-256) or 02 (SHA-384) and a colon";
    case PSK_E_LENGTH:
        return "length: a configured PSK has 65 characters (32-byte key) or 89 (48-byte key)";
    case PSK_E_COLON:
        return "colon: a configured PSK ends with \":\"";
    case PSK_E_BASE64:
        return "base64: the key between the colons is not valid Base64";
    case PSK_E_CRC:
        return "CRC: the checksum does not match, so a character is wrong or missing";
    case PSK_E_HASH_LENGTH:
        return "length: hash 01 takes a 32-byte key and hash 02 a 48-byte key";
    case PSK_E_IDENTITY_LENGTH:
        return "the NQNs are too long for identity version 0 (255 characters with its prefix), "
               "use version 1";
    case PSK_E_IDENTITY:
        return "not an identity: NVMe0Rhh HOSTNQN SUBSYSNQN or NVMe1Rhh HOSTNQN SUBSYSNQN DIGEST";
    case PSK_E_GENERATED:
        return "a generated key (NVMe?G) belongs to the kernel and one connection: leave it out";
    case PSK_E_DIGEST:
        return "an identity of version 1 ends with a PSK digest: 44 characters of Base64 after "
               "NVMe1R01, 64 after NVMe1R02";
    case PSK_E_IDENTITY_SIZE:
        return "length: the identity names SHA-256 (R01), which goes with a TLS PSK of 32 bytes, "
               "or "
               "SHA-384 (R02), with one of 48";
    case PSK_E_NQN:
        return "not an NQN: at most 223 printable characters without blank and semicolon, and "
               "\"nqn.\" at the beginning";
    case PSK_E_MARK:
        return "a byte order mark stands at the beginning: save the file as plain ASCII, without "
               "it";
    case PSK_E_QUOTES:
        return "quotes stand around it: leave them out";
    case PSK_E_MORE:
        return "more than one word: a PSK stands alone, without a second line and without text "
               "after it";
    case PSK_E_LINE:
        return "not a line of a key file: IDENTITY KEY or HOSTNQN SUBSYSNQN KEY";
    }
    return "unknown error";
}
