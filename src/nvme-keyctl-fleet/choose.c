/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "basic/text.h"
#include "nvme-keyctl-fleet/session.h"

/* Fewer digits are a slip. */
#define PREFIX_MIN 4

static bool is_prefix(const char *word, const char *text)
{
    return strlen(word) >= PREFIX_MIN && text_after(text, word);
}

int choose_machine(const Session *s, const char *word, size_t *ret)
{
    const Fleet *f = &s->fleet;
    size_t n = 0;

    *ret = FLEET_NO_MACHINE;
    for (size_t i = 0; i < f->n_machines; i++)
        if (is_prefix(word, f->machines[i].fingerprint) || strcmp(word, f->machines[i].name) == 0) {
            *ret = i;
            n++;
        }
    if (n == 0)
        return cli_fail(EXIT_NO_KEY,
                        "no machine %s: nvme-keyctl fleet status lists machines, by fingerprint "
                        "and name",
                        word);
    return n == 1 ? EXIT_OK
                  : cli_fail(EXIT_CONFLICT, "%zu machines are %s: give the fingerprint", n, word);
}

int choose_pairs(const Session *s, const char *word)
{
    const Fleet *f = &s->fleet;
    size_t n_ids = 0, n = 0;

    for (size_t i = 0; i < f->n; i++) {
        const FleetPair *p = &f->entries[i].pair;
        bool by_id = is_prefix(word, p->id);

        if (!by_id && strcmp(word, p->subsysnqn) != 0)
            continue;
        f->plan[i].selected = true;
        n_ids += by_id;
        n++;
    }
    if (n_ids > 1)
        return cli_fail(EXIT_CONFLICT, "%zu pairs begin with %s: give more of the ID", n_ids, word);
    return n > 0 ? EXIT_OK
                 : cli_fail(EXIT_NO_KEY, "no pair %s: nvme-keyctl fleet status lists pairs", word);
}

const char *machine_label(const Fleet *f, size_t machine, const char *fingerprint)
{
    const char *name = machine == FLEET_NO_MACHINE ? "" : f->machines[machine].name;

    return name[0] && strcmp(name, "-") != 0 ? name : fingerprint;
}
