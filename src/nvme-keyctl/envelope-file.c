/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "envelope/limits.h"
#include "nvme-keyctl/envelope-file.h"

DEFINE_CLEANUP(BIO, BIO_free_all)

/* The service takes text. */
static int to_pem(const uint8_t *der, size_t size, char **ret)
{
    _cleanup_(BIO_free_allp) BIO *b = BIO_new(BIO_s_mem());
    char *data;
    long n;

    if (!b || PEM_write_bio(b, "CMS", "", der, (long)size) <= 0)
        return -ENOMEM;
    n = BIO_get_mem_data(b, &data);
    *ret = n > 0 ? strndup(data, (size_t)n) : NULL;
    return *ret ? 0 : -ENOMEM;
}

int envelope_file_read(int fd, char **ret)
{
    static const char begin[] = "-----BEGIN ";
    uint8_t data[ENVELOPE_SIZE_MAX + 1];
    size_t size = 0;
    int r = io_read_up_to(fd, data, sizeof(data), &size);

    if (r < 0)
        return r;
    if (size == 0 || size == sizeof(data))
        return size == 0 ? -ENODATA : -EFBIG;
    if (size < strlen(begin) || memcmp(data, begin, strlen(begin)) != 0)
        return to_pem(data, size, ret);
    if (memchr(data, '\0', size))
        return -EBADMSG;
    *ret = strndup((const char *)data, size);
    return *ret ? 0 : -ENOMEM;
}

int envelope_file_take(const Options *o, VarlinkClient *client, const char *pem,
                       json_object **ret_reply, char **ret_error)
{
    json_object *p = json_object_new_object();

    if (!p || json_add_string(p, "envelope", pem) < 0) {
        json_object_put(p);
        return cli_out_of_memory();
    }
    return cli_call_client(o, client, "TakeEnvelope", p, ret_reply, ret_error);
}

void envelope_file_report(const char *prefix, json_object *reply)
{
    json_object *pairs = NULL;
    size_t n = json_get_array(reply, "pairs", &pairs) > 0 ? json_object_array_length(pairs) : 0;

    for (size_t i = 0; i < n; i++) {
        json_object *pair = json_object_array_get_idx(pairs, i);
        const char *id = json_string_or(pair, "id", NULL);

        printf("%s%s %s: %s%s%s\n", prefix, json_string_or(pair, "hostNQN", "?"),
               json_string_or(pair, "subsystemNQN", "?"), json_string_or(pair, "outcome", "?"),
               id ? ", key " : "", id ? id : "");
    }
}
