/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ringls: prints every key of .nvme as "SERIAL HEX DESCRIPTION". */

#include "nvmering.h"

static void show(key_serial_t key)
{
    void *payload;
    char *description, *text;
    int len;

    if (keyctl_describe_alloc(key, &description) < 0)
        return; /* gone since the ring was read */
    text = strrchr(description, ';');
    len = keyctl_read_alloc(key, &payload);

    printf("%d ", key);
    if (len < 0)
        printf("unreadable");
    for (int i = 0; i < len; i++)
        printf("%02x", ((unsigned char *)payload)[i]);
    printf(" %s\n", text ? text + 1 : description);

    if (len >= 0)
        free(payload);
    free(description);
}

int main(void)
{
    key_serial_t ring, *keys;
    void *content;
    int len;

    ring = nvmering_possess();
    len = keyctl_read_alloc(ring, &content);
    if (len < 0) {
        perror("read .nvme");
        return 2;
    }
    keys = content;
    for (size_t i = 0; i < (size_t)len / sizeof(*keys); i++)
        show(keys[i]);
    free(content);
    return 0;
}
