/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basic/encoding.h"
#include "envelope/cms.h"
#include "envelope/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* PKCS#8 of a key that only this fuzzer has, so that its corpus can be opened. */
static const char machine_key[] = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAAAAAAAAAAAAAAAA"
                                  "AAAAAAAAAAAAAAAAAAAAAAAAAAGhRANCAARrF9Hy4SxCR/i85uVjpEDydwN9gS3r"
                                  "M6D0oTlF2JjClk/jQuL+Gn+bjufrSnwPnhYrzjNXazFezsu2QGg3v1H1";

static EVP_PKEY *read_key(void)
{
    uint8_t der[256];
    const unsigned char *p = der;
    EVP_PKEY *key;
    size_t n;

    if (base64_decode(machine_key, strlen(machine_key), der, sizeof(der), &n) < 0)
        abort();
    key = d2i_AutoPrivateKey(NULL, &p, (long)n);
    if (!key)
        abort();
    return key;
}

/* An envelope, in DER or PEM. No issuer is trusted, so nothing may come out. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static EVP_PKEY *key;
    _cleanup_(secret_freep) Secret *content = NULL;
    char issuer[MACHINE_FINGERPRINT_SIZE], ids[4][MACHINE_KEY_ID_SIZE];
    int r;

    if (!key)
        key = read_key();
    r = envelope_open(data, size, key, NULL, 0, &content, issuer);
    if (r == 0 || content || r == ENVELOPE_SIGNATURE)
        abort();
    if (envelope_recipients(data, size, ids, 4) < 0 && r != ENVELOPE_MALFORMED && r >= 0)
        abort();
    return 0;
}
