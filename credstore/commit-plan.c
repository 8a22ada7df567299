/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "credstore/commit.h"
#include "credstore/header.h"

#define INDEX_PREFIX "index/"
#define RECORDS_PREFIX "records/"
/* The plan and its two lists. */
#define COMMIT_JSON_DEPTH 3

void commit_plan_done(CommitPlan *plan)
{
    free(plan->replace);
    free(plan->remove);
    *plan = (CommitPlan){.generation = 0};
}

/* The rest of s behind prefix, or NULL. */
static const char *strip(const char *s, const char *prefix)
{
    size_t n = strlen(prefix);

    return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

static bool parse_record_path(const char *path, uint64_t *ret)
{
    const char *name = strip(path, RECORDS_PREFIX);

    return name && dirs_parse_record_name(name, "", ret);
}

static bool parse_shard_path(const char *path, unsigned *ret)
{
    const char *name = strip(path, INDEX_PREFIX);

    return name && dirs_parse_shard_name(name, "", ret);
}

/* Returns NULL for anything but a string without a NUL inside. */
static const char *path_at(json_object *array, size_t i)
{
    json_object *o = json_object_array_get_idx(array, i);

    if (!json_object_is_type(o, json_type_string) ||
        strlen(json_object_get_string(o)) != (size_t)json_object_get_string_len(o))
        return NULL;
    return json_object_get_string(o);
}

static int parse_replace(json_object *array, CommitPlan *plan)
{
    size_t n = json_object_array_length(array);
    bool header = false;

    plan->replace = calloc(n + 1, sizeof(*plan->replace));
    if (!plan->replace)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const char *path = path_at(array, i);
        unsigned shard;

        if (!path)
            return -EBADMSG;
        if (strcmp(path, DIRS_HEADER) == 0)
            header = true;
        else if (parse_shard_path(path, &shard))
            plan->shards |= (uint64_t)1 << shard;
        else if (parse_record_path(path, &plan->replace[plan->n_replace]))
            plan->n_replace++;
        else
            return -EBADMSG;
    }
    return header ? 0 : -EBADMSG;
}

static int parse_remove(json_object *array, CommitPlan *plan)
{
    size_t n = json_object_array_length(array);

    plan->remove = calloc(n + 1, sizeof(*plan->remove));
    if (!plan->remove)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const char *path = path_at(array, i);

        if (!path || !parse_record_path(path, &plan->remove[plan->n_remove]))
            return -EBADMSG;
        plan->n_remove++;
    }
    return 0;
}

int commit_plan_parse(const char *body, size_t size, CommitPlan *ret)
{
    _cleanup_(json_putp) json_object *o = NULL;
    _cleanup_(commit_plan_done) CommitPlan plan = {.generation = 0};
    json_object *replace, *remove;
    int r;

    r = json_parse(body, size, COMMIT_JSON_DEPTH, &o);
    if (r < 0)
        return r;
    if (json_get_uint(o, "generation", GENERATION_MAX, &plan.generation) <= 0 ||
        json_get_array(o, "replace", &replace) <= 0 || json_get_array(o, "remove", &remove) <= 0)
        return -EBADMSG;
    r = parse_replace(replace, &plan);
    if (r < 0)
        return r;
    r = parse_remove(remove, &plan);
    if (r < 0)
        return r;

    *ret = plan;
    plan = (CommitPlan){.generation = 0};
    return 0;
}

int commit_plan_format(const CommitPlan *plan, char **ret)
{
    _cleanup_(freep) char *text = NULL;
    char name[DIRS_NAME_SIZE];
    size_t size;
    FILE *f = open_memstream(&text, &size);
    bool bad;

    if (!f)
        return -ENOMEM;

    fprintf(f, "{\"generation\":%" PRIu64 ",\"replace\":[\"" DIRS_HEADER "\"", plan->generation);
    for (unsigned n = 0; n < STORE_SHARDS; n++)
        if (plan->shards >> n & 1) {
            dirs_shard_name(n, "", name);
            fprintf(f, ",\"" INDEX_PREFIX "%s\"", name);
        }
    for (size_t i = 0; i < plan->n_replace; i++) {
        dirs_record_name(plan->replace[i], "", name);
        fprintf(f, ",\"" RECORDS_PREFIX "%s\"", name);
    }
    fputs("],\"remove\":[", f);
    for (size_t i = 0; i < plan->n_remove; i++) {
        dirs_record_name(plan->remove[i], "", name);
        fprintf(f, "%s\"" RECORDS_PREFIX "%s\"", i > 0 ? "," : "", name);
    }
    fputs("]}", f);

    bad = ferror(f);
    if (fclose(f) != 0 || bad)
        return -ENOMEM;
    *ret = TAKE_PTR(text);
    return 0;
}
