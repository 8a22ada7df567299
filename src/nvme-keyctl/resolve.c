/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "basic/json.h"
#include "basic/text.h"
#include "nvme-keyctl/cli.h"

/* An ID may be shortened, as those of commits in git. The service itself takes whole IDs only, so
 * that programs cannot depend on a beginning that becomes ambiguous later. */

#define KEY_ID_LENGTH 16
#define SLOT_ID_LENGTH 8
/* As many as are listed when a word has several meanings. */
#define CHOICES_MAX 4
#define CHOICES_SIZE ((CHOICES_MAX + 1) * (CLI_ID_SIZE + 2))

/* True for hexadecimal digits only. */
static bool is_hex(const char *word)
{
    size_t n = 0;

    while (hex_digit((char)tolower((unsigned char)word[n])) >= 0)
        n++;
    return n > 0 && word[n] == '\0';
}

static bool is_nqn(const char *word)
{
    return strncmp(word, "nqn.", 4) == 0;
}

/* False for a whole ID in lower case, which needs no search, and for other words, which the service
 * refuses. */
static bool is_beginning(const char *word, size_t length)
{
    bool is_lower = true;

    for (const char *c = word; *c; c++)
        is_lower = is_lower && !isupper((unsigned char)*c);
    return is_hex(word) && (strlen(word) < length || (strlen(word) == length && !is_lower));
}

/* Two meanings of a word: the beginning of an ID, or an NQN. */
typedef struct Search {
    const char *word;
    const char *state; /* of the key that an NQN means */
    const char *what;  /* "key" or "slot" */
    bool nqn;
} Search;

static bool matches(json_object *object, const Search *s)
{
    if (s->nqn)
        return strcmp(json_string_or(object, "subsystemNQN", ""), s->word) == 0 &&
               strcmp(json_string_or(object, "state", ""), s->state) == 0;
    return strncasecmp(json_string_or(object, "id", ""), s->word, strlen(s->word)) == 0;
}

static int fail_none(const Search *s)
{
    if (s->nqn)
        return cli_fail(EXIT_NO_KEY, "no %s %s has the subsystem NQN %s", s->state, s->what,
                        s->word);
    return cli_fail(EXIT_NO_KEY, "no %s has an ID that begins with %s", s->what, s->word);
}

/* Lists the first IDs, and "..." for the others. */
static void list_choices(const Search *s, json_object *list, char ret[static CHOICES_SIZE])
{
    size_t n = 0, length = 0;

    for (size_t i = 0; i < json_object_array_length(list) && n <= CHOICES_MAX; i++) {
        json_object *object = json_object_array_get_idx(list, i);

        if (!matches(object, s))
            continue;
        length += (size_t)snprintf(ret + length, CHOICES_SIZE - length, "%s%.*s", n > 0 ? ", " : "",
                                   CLI_ID_SIZE - 1,
                                   n < CHOICES_MAX ? json_string_or(object, "id", "") : "...");
        n++;
    }
}

static int fail_several(const Search *s, json_object *list, size_t n)
{
    char choices[CHOICES_SIZE] = "";

    list_choices(s, list, choices);
    if (s->nqn)
        return cli_fail(EXIT_USAGE, "%zu %s %ss have this NQN, so give the ID of one: %s", n,
                        s->state, s->what, choices);
    return cli_fail(EXIT_USAGE, "%zu %ss begin with %s, so give more of the ID: %s", n, s->what,
                    s->word, choices);
}

static int search(const Search *s, json_object *list, char ret[static CLI_ID_SIZE])
{
    json_object *found = NULL;
    size_t n = 0;

    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *object = json_object_array_get_idx(list, i);

        /* The ID of a locked slot is not authentic yet. */
        if (matches(object, s) && is_hex(json_string_or(object, "id", ""))) {
            found = object;
            n++;
        }
    }
    if (n == 0)
        return fail_none(s);
    if (n > 1)
        return fail_several(s, list, n);
    (void)snprintf(ret, CLI_ID_SIZE, "%s", json_string_or(found, "id", ""));
    return EXIT_OK;
}

int cli_resolve_key(Options *o, const char *state)
{
    _cleanup_(json_putp) json_object *keys = json_object_new_array();
    Search s = {o->arguments[0], state, "key", is_nqn(o->arguments[0])};
    int r;

    if (!s.nqn && !is_beginning(s.word, KEY_ID_LENGTH))
        return EXIT_OK;
    if (!keys)
        return cli_out_of_memory();
    r = cli_call_list(o, "List", "key", keys);
    if (r == EXIT_OK)
        r = search(&s, keys, o->id);
    if (r == EXIT_OK)
        o->arguments[0] = o->id;
    return r;
}

int cli_resolve_slot(Options *o)
{
    _cleanup_(json_putp) json_object *reply = NULL;
    Search s = {o->arguments[0], NULL, "slot", false};
    json_object *slots;
    int r;

    if (!is_beginning(s.word, SLOT_ID_LENGTH))
        return EXIT_OK;
    r = cli_call(o, "ListSlots", NULL, &reply);
    if (r != EXIT_OK)
        return r;
    if (json_get_array(reply, "slots", &slots) <= 0)
        return cli_fail(EXIT_OTHER, "the answer of nvme-keyd holds no slots");
    r = search(&s, slots, o->id);
    if (r == EXIT_OK)
        o->arguments[0] = o->id;
    return r;
}
