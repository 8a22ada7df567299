/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/scan.h"
#include "basic/text.h"
#include "credstore/header.h"
#include "credstore/limits.h"
#include "credstore/record.h"

#define ID_KEY "{\"id\":\""
#define GENERATION_KEY "\",\"generation\":"
#define META_KEY ",\"meta\":"
#define BOX_KEY ",\"secret\":"

Record *record_share(Record *record)
{
    record->more_owners++;
    return record;
}

Record *record_free(Record *record)
{
    if (!record)
        return NULL;
    if (record->more_owners > 0) {
        record->more_owners--;
        return NULL;
    }

    free(record);
    return NULL;
}

bool record_id_parse(const char *s, uint64_t *ret)
{
    Scan scan = {s, s + strlen(s)};
    uint64_t id;

    if (!scan_hex64(&scan, &id) || scan.p != scan.end)
        return false;
    *ret = id;
    return true;
}

void record_id_format(uint64_t id, char ret[static STORE_ID_SIZE])
{
    *scan_write_hex64(ret, id) = '\0';
}

bool record_scan_id(const char *line, size_t size, uint64_t *ret)
{
    Scan s = {line, line + size};

    return scan_literal(&s, ID_KEY) && scan_hex64(&s, ret);
}

bool record_scan(const char *line, size_t size, RecordLine *ret)
{
    Scan s = {line, line + size};
    RecordLine read;

    if (size > STORE_RECORD_MAX || !scan_literal(&s, ID_KEY) || !scan_hex64(&s, &read.id) ||
        !scan_literal(&s, GENERATION_KEY) || !scan_number(&s, GENERATION_MAX, &read.generation) ||
        read.generation == 0 || !scan_literal(&s, META_KEY))
        return false;
    read.meta = s.p;
    if (line[size - 1] != '}' || !box_find(s.p, (size_t)(s.end - 1 - s.p), &read.box_size))
        return false;
    read.box = s.end - 1 - read.box_size;
    /* The object and the separator before the box. */
    if ((size_t)(read.box - read.meta) < strlen("{}" BOX_KEY))
        return false;
    read.meta_size = (size_t)(read.box - read.meta) - strlen(BOX_KEY);
    read.public_size = (size_t)(read.meta - line) + read.meta_size;
    if (memcmp(read.meta + read.meta_size, BOX_KEY, strlen(BOX_KEY)) != 0 || read.meta[0] != '{' ||
        read.meta[read.meta_size - 1] != '}')
        return false;
    *ret = read;
    return true;
}

/* Allocates a record with room for size bytes of text. */
static int record_new(uint64_t id, uint64_t generation, size_t size, Record **ret)
{
    Record *record = malloc(sizeof(*record) + size);

    if (!record)
        return -ENOMEM;
    *record = (Record){.number = id, .listed = generation, .size = size};
    record->public.generation = generation;
    record_id_format(id, record->public.id);
    *ret = record;
    return 0;
}

int record_new_broken(uint64_t id, uint64_t listed, int error, const char *text, size_t size,
                      Record **ret)
{
    int r = record_new(id, listed, size > 0 ? size + 1 : 0, ret);

    if (r < 0)
        return r;
    (*ret)->public.error = error;
    if (size > 0)
        *(char *)mempcpy((*ret)->text, text, size) = '\n';
    return 0;
}

static int derive_key(Sealer *s, const Secret *key, uint64_t id, uint64_t generation,
                      uint8_t ret[static STORE_KEY_SIZE])
{
    char info[64] = "nvme-keyd record ", *p = info + strlen(info);

    p = scan_write_hex64(p, id);
    *p++ = ' ';
    *scan_write_number(p, generation) = '\0';
    return sealer_derive(s, key, info, ret);
}

static int unseal(Sealer *s, const Secret *key, const char *line, const RecordLine *read,
                  Secret **ret)
{
    _cleanup_(freep) SealedBox *box = NULL;
    uint8_t record_key[STORE_KEY_SIZE];
    CLEANUP_ERASE(record_key);
    int r = box_parse(read->box, read->box_size, &box);

    if (r < 0)
        return r;
    r = derive_key(s, key, read->id, read->generation, record_key);
    return r < 0 ? r : sealer_unseal(s, record_key, line, read->public_size, box, ret);
}

/* Makes a sound record from its line. */
static int record_new_read(const char *line, size_t size, const RecordLine *read, Record **ret)
{
    Record *record;
    int r = record_new(read->id, read->generation, size + 1, &record);

    if (r < 0)
        return r;
    *(char *)mempcpy(record->text, line, size) = '\n';
    record->public.meta = record->text + (read->meta - line);
    record->public.meta_size = read->meta_size;
    *ret = record;
    return 0;
}

int record_load(Sealer *s, const Secret *key, uint64_t id, uint64_t generation, const char *line,
                size_t size, uint64_t *ret_other, Record **ret)
{
    _cleanup_(secret_freep) Secret *secret = NULL;
    RecordLine read;
    int r;

    if (!record_scan(line, size, &read) || read.id != id)
        return -EBADMSG;
    r = unseal(s, key, line, &read, &secret);
    if (r < 0)
        return r;
    if (read.generation != generation) {
        *ret_other = read.generation;
        return -ESTALE;
    }
    return record_new_read(line, size, &read, ret);
}

static int seal(Sealer *s, const Secret *key, const Record *record, size_t public_size,
                const Secret *secret, SealedBox **ret)
{
    uint8_t record_key[STORE_KEY_SIZE];
    CLEANUP_ERASE(record_key);
    int r = derive_key(s, key, record->number, record->public.generation, record_key);

    return r < 0 ? r : sealer_seal(s, record_key, record->text, public_size, secret, ret);
}

int record_new_sealed(Sealer *s, const Secret *key, uint64_t id, uint64_t generation,
                      const char *meta, const Secret *secret, Record **ret)
{
    char start[sizeof(ID_KEY GENERATION_KEY META_KEY) + SCAN_HEX64_LENGTH + SCAN_NUMBER_LENGTH_MAX];
    _cleanup_(record_freep) Record *record = NULL;
    _cleanup_(freep) SealedBox *box = NULL;
    size_t meta_size = strlen(meta), start_size, size;
    char *p;
    int r;

    if (secret->size == 0 || meta_size < 2 || meta[0] != '{' || meta[meta_size - 1] != '}' ||
        strchr(meta, '\n') || !utf8_is_valid(meta, meta_size))
        return -EINVAL;
    p = scan_write_hex64(stpcpy(start, ID_KEY), id);
    p = scan_write_number(stpcpy(p, GENERATION_KEY), generation);
    start_size = (size_t)(stpcpy(p, META_KEY) - start);
    if (meta_size > STORE_RECORD_MAX || secret->size > STORE_RECORD_MAX)
        return -E2BIG;
    size = start_size + meta_size + strlen(BOX_KEY) + box_length(secret->size) + strlen("}");
    if (size > STORE_RECORD_MAX)
        return -E2BIG;
    r = record_new(id, generation, size + strlen("\n"), &record);
    if (r < 0)
        return r;
    record->public.meta = mempcpy(record->text, start, start_size);
    record->public.meta_size = meta_size;
    p = mempcpy(record->text + start_size, meta, meta_size);
    r = seal(s, key, record, start_size + meta_size, secret, &box);
    if (r < 0)
        return r;
    p = mempcpy(p, BOX_KEY, strlen(BOX_KEY));
    p = box_write(p, box);
    *p++ = '}';
    *p = '\n';
    *ret = TAKE_PTR(record);
    return 0;
}

int record_unseal(Sealer *s, const Secret *key, const Record *record, Secret **ret)
{
    RecordLine read;

    if (record->public.error < 0)
        return record->public.error;
    if (!record_scan(record->text, record->size - 1, &read))
        return -EBADMSG;
    return unseal(s, key, record->text, &read, ret);
}
