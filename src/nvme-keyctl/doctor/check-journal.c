/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "nvme-keyctl/doctor/limits.h"
#include "nvme-keyctl/doctor/private.h"
#include "nvme-keyctl/doctor/trouble.h"

/* Handshakes that have failed since the boot, one line for each cause. */

static bool was_seen(const Trouble *const *seen, size_t n, const Trouble *t)
{
    for (size_t i = 0; i < n; i++)
        if (seen[i] == t)
            return true;
    return false;
}

static size_t count(const Doctor *d, const Trouble *t)
{
    size_t n = 0;

    for (size_t i = 0; i < d->n_messages; i++)
        n += trouble_find(d->messages[i].text) == t;
    return n;
}

static void report(Doctor *d, const DoctorMessage *m, const Trouble *t)
{
    uint64_t now = now_realtime(),
             minutes = now > m->time_usec ? (now - m->time_usec) / (60 * USEC_PER_SEC) : 0;
    size_t n = count(d, t);

    doctor_warn(d, t->remedy, "%zu time%s, last %llu min ago: \"%s\": %s", n, n == 1 ? "" : "s",
                (unsigned long long)minutes, m->text, t->cause);
}

void check_handshakes(Doctor *d)
{
    const Trouble *seen[DOCTOR_MESSAGES_MAX];
    size_t n = 0;

    if (d->journal_error != 0) {
        doctor_warn(d, "run nvme-keyctl doctor as root", "the journal cannot be read (%s)",
                    strerror(-d->journal_error));
        return;
    }
    for (size_t i = 0; i < d->n_messages && n < ARRAY_SIZE(seen); i++) {
        const Trouble *t = trouble_find(d->messages[i].text);

        if (!t || was_seen(seen, n, t))
            continue;
        seen[n++] = t;
        report(d, &d->messages[i], t);
    }
    if (doctor_is_fine(d))
        doctor_ok(d, "the journal has no failed handshake since the boot");
}
