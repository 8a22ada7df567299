/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>

#include "basic/macro.h"
#include "nvme-keyctl/doctor/journal.h"
#include "nvme-keyctl/doctor/limits.h"
#include "nvme-keyctl/doctor/trouble.h"

static void journal_closep(sd_journal **j)
{
    sd_journal_close(*j);
}

static int add_boot(sd_journal *j)
{
    char match[sizeof("_BOOT_ID=") + SD_ID128_STRING_MAX] = "_BOOT_ID=";
    sd_id128_t id;
    int r = sd_id128_get_boot(&id);

    if (r < 0)
        return r;
    (void)sd_id128_to_string(id, match + strlen(match));
    return sd_journal_add_match(j, match, 0);
}

static int add_matches(sd_journal *j)
{
    int r;

    if ((r = add_boot(j)) < 0 || (r = sd_journal_add_conjunction(j)) < 0 ||
        (r = sd_journal_add_match(j, "SYSLOG_IDENTIFIER=tlshd", 0)) < 0 ||
        (r = sd_journal_add_disjunction(j)) < 0)
        return r;
    return sd_journal_add_match(j, "_TRANSPORT=kernel", 0);
}

static bool is_known(const char *text)
{
    return trouble_find(text);
}

/* The text of an entry, cut and terminated, or "". */
static void get_text(sd_journal *j, char ret[static DOCTOR_MESSAGE_LENGTH_MAX + 1])
{
    const size_t prefix = strlen("MESSAGE=");
    const void *data;
    size_t size, n = 0;

    if (sd_journal_get_data(j, "MESSAGE", &data, &size) >= 0 && size > prefix) {
        n = CONST_MIN(size - prefix, (size_t)DOCTOR_MESSAGE_LENGTH_MAX);
        memcpy(ret, (const char *)data + prefix, n);
    }
    ret[n] = '\0';
}

static int keep(Doctor *d, sd_journal *j, const char *text)
{
    DoctorMessage *m = &d->messages[d->n_messages];

    m->text = strdup(text);
    if (!m->text)
        return -ENOMEM;
    d->n_messages++;
    (void)sd_journal_get_realtime_usec(j, &m->time_usec);
    return 0;
}

/* Newest first. */
static int read_entries(Doctor *d, sd_journal *j)
{
    char text[DOCTOR_MESSAGE_LENGTH_MAX + 1];
    int r = sd_journal_seek_tail(j);

    for (size_t i = 0; r >= 0 && i < DOCTOR_JOURNAL_ENTRIES_MAX &&
                       d->n_messages < DOCTOR_MESSAGES_MAX && (r = sd_journal_previous(j)) > 0;
         i++) {
        get_text(j, text);
        if (is_known(text))
            r = keep(d, j, text);
    }
    return r;
}

int journal_read(Doctor *d)
{
    _cleanup_(journal_closep) sd_journal *j = NULL;
    int r;

    d->messages = calloc(DOCTOR_MESSAGES_MAX, sizeof(*d->messages));
    if (!d->messages)
        return -ENOMEM;
    if ((r = sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM)) < 0 ||
        (r = add_matches(j)) < 0 || (r = read_entries(d, j)) < 0)
        d->journal_error = r;
    return r == -ENOMEM ? r : 0;
}
