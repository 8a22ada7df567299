/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "credstore/limits.h"
#include "credstore/store-private.h"

/* Makes a store with records of another: their lines as they are, after a head of its own. */

/* A piece has at most this much of the head, which grows with the index, because each peer that
 * does not read holds one piece. */
#define HEAD_PIECE_SIZE ((size_t)2 * 1024)

struct StoreExport {
    char *head;
    size_t head_size, head_done;
    Record **records; /* shared, sorted by number */
    size_t n_records;
    size_t next; /* record */
};

bool store_is_export(const Store *s)
{
    return s->header.image[0] != '\0';
}

StoreExport *store_export_free(StoreExport *e)
{
    if (!e)
        return NULL;
    for (size_t i = 0; i < e->n_records; i++)
        record_free(e->records[i]);
    free(e->records);
    free(e->head);
    free(e);
    return NULL;
}

static size_t count_size(const StoreExport *e)
{
    size_t size = e->head_size;

    for (size_t i = 0; i < e->n_records; i++)
        size += e->records[i]->size;
    return size;
}

/* choose: NULL for all. max: of the text. */
static int make(const Store *s, const Header *header, StoreChoose choose, void *userdata,
                size_t max, StoreExport **ret)
{
    _cleanup_(store_export_freep) StoreExport *e = calloc(1, sizeof(*e));
    int r;

    if (!e)
        return -ENOMEM;
    e->records = calloc(s->n_records + 1, sizeof(*e->records));
    if (!e->records)
        return -ENOMEM;
    for (size_t i = 0; i < s->n_records; i++)
        if (s->records[i]->public.error == 0 &&
            (!choose || choose(&s->records[i]->public, userdata)))
            e->records[e->n_records++] = record_share(s->records[i]);
    r = store_format_head(s, header, e->records, e->n_records, &e->head, &e->head_size);
    if (r < 0)
        return r;
    if (count_size(e) > max)
        return -E2BIG;
    *ret = TAKE_PTR(e);
    return 0;
}

int store_export_new(Store *s, StoreChoose choose, void *userdata, StoreExport **ret)
{
    Header header = s->header;
    int r;

    if (store_is_export(s))
        return -EROFS;
    header.counter = (RollbackCounter){.present = false};
    header.n_orphans = 0;
    r = store_make_id((HEADER_ID_SIZE - 1) / 2, header.image);
    return r < 0 ? r : make(s, &header, choose, userdata, STORE_EXPORT_MAX, ret);
}

int store_backup_new(Store *s, StoreExport **ret)
{
    if (store_is_export(s))
        return -EROFS;
    return make(s, &s->header, NULL, NULL, STORE_FILE_MAX, ret);
}

size_t store_export_count(const StoreExport *e)
{
    return e->n_records;
}

bool store_export_next(StoreExport *e, const char **ret, size_t *ret_size)
{
    if (e->head_done < e->head_size) {
        *ret = e->head + e->head_done;
        *ret_size = CONST_MIN(e->head_size - e->head_done, HEAD_PIECE_SIZE);
        e->head_done += *ret_size;
        return true;
    }
    if (e->next == e->n_records)
        return false;
    *ret = e->records[e->next]->text;
    *ret_size = e->records[e->next]->size;
    e->next++;
    return true;
}
