/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/encoding.h"
#include "credstore/box.h"

#define NONCE_KEY "{\"nonce\":\""
#define CIPHERTEXT_KEY "\",\"ciphertext\":\""
#define TAG_KEY "\",\"tag\":\""
#define END "\"}"

#define NONCE_LENGTH BASE64_LENGTH(SEAL_NONCE_SIZE)
#define TAG_LENGTH BASE64_LENGTH(SEAL_TAG_SIZE)
#define LENGTH(literal) (sizeof(literal) - 1)
/* Length of everything but the ciphertext. */
#define FRAME_LENGTH                                                                               \
    (LENGTH(NONCE_KEY) + NONCE_LENGTH + LENGTH(CIPHERTEXT_KEY) + LENGTH(TAG_KEY) + TAG_LENGTH +    \
     LENGTH(END))

size_t box_length(size_t size)
{
    return FRAME_LENGTH + BASE64_LENGTH(size);
}

/* Writes a literal, and after it data in Base64, whose terminator the next text overwrites. */
static char *write_member(char *p, const char *literal, const uint8_t *data, size_t size)
{
    p = stpcpy(p, literal);
    base64_encode(data, size, p);
    return p + BASE64_LENGTH(size);
}

char *box_write(char *p, const SealedBox *box)
{
    p = write_member(p, NONCE_KEY, box->nonce, SEAL_NONCE_SIZE);
    p = write_member(p, CIPHERTEXT_KEY, box->ciphertext, box->size);
    p = write_member(p, TAG_KEY, box->tag, SEAL_TAG_SIZE);
    return mempcpy(p, END, LENGTH(END));
}

/* Skips literal, which must be there; the caller has checked the total length. */
static bool skip(const char **p, const char *literal)
{
    size_t n = strlen(literal);

    if (memcmp(*p, literal, n) != 0)
        return false;
    *p += n;
    return true;
}

/* Decodes length characters to exactly size bytes. */
static bool decode(const char **p, size_t length, uint8_t *ret, size_t size)
{
    size_t n;

    if (base64_decode(*p, length, ret, size, &n) < 0 || n != size)
        return false;
    *p += length;
    return true;
}

bool box_find(const char *text, size_t size, size_t *ret_size)
{
    const size_t before = LENGTH(NONCE_KEY) + NONCE_LENGTH + LENGTH(CIPHERTEXT_KEY),
                 after = LENGTH(TAG_KEY) + TAG_LENGTH + LENGTH(END);
    const char *quote;

    if (size <= before + after)
        return false;
    /* The ciphertext has no quotes, so it begins after the last one before its end. */
    quote = memrchr(text, '"', size - after);
    if (!quote || (size_t)(quote + 1 - text) < before)
        return false;
    *ret_size = size - ((size_t)(quote + 1 - text) - before);
    return true;
}

int box_parse(const char *text, size_t size, SealedBox **ret)
{
    _cleanup_(freep) SealedBox *box = NULL;
    size_t length, pad;
    const char *p = text;

    if (size <= FRAME_LENGTH || (size - FRAME_LENGTH) % 4 != 0)
        return -EBADMSG;

    length = size - FRAME_LENGTH;
    box = calloc(1, sizeof(*box) + length / 4 * 3);
    if (!box)
        return -ENOMEM;
    if (!skip(&p, NONCE_KEY) || !decode(&p, NONCE_LENGTH, box->nonce, SEAL_NONCE_SIZE) ||
        !skip(&p, CIPHERTEXT_KEY))
        return -EBADMSG;

    pad = p[length - 1] != '=' ? 0 : p[length - 2] != '=' ? 1 : 2;
    box->size = length / 4 * 3 - pad;
    if (!decode(&p, length, box->ciphertext, box->size) || !skip(&p, TAG_KEY) ||
        !decode(&p, TAG_LENGTH, box->tag, SEAL_TAG_SIZE) || !skip(&p, END))
        return -EBADMSG;

    *ret = TAKE_PTR(box);
    return 0;
}
