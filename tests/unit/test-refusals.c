/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "basic/log.h"
#include "nvme-keyd/limits.h"
#include "nvme-keyd/refusals.h"
#include "test.h"

#define USER 70000

/* The log: notices of single refusals, and the sum of the counted ones. */
typedef struct Told {
    unsigned single, sums;
    unsigned long counted;
} Told;

/* Standard error is a file, to which refusals are logged. */
typedef struct Place {
    FILE *file;
    int saved;
    sd_event *event;
    Refusals *refusals;
} Place;

static bool enter(Place *p)
{
    p->file = tmpfile();
    p->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    log_setup(NULL);
    return p->file && p->saved >= 0 && dup2(fileno(p->file), STDERR_FILENO) >= 0 &&
           sd_event_new(&p->event) >= 0 && refusals_new(p->event, &p->refusals) == 0;
}

/* Ends the minute, as the end of the daemon does. */
static Told leave(Place *p)
{
    Told told = {0, 0, 0};
    char line[256];

    p->refusals = refusals_free(p->refusals);
    sd_event_unref(p->event);
    (void)dup2(p->saved, STDERR_FILENO);
    close(p->saved);
    rewind(p->file);
    while (fgets(line, sizeof(line), p->file)) {
        if (strstr(line, " more calls")) {
            told.sums++;
            told.counted += strtoul(line + strlen("Refused "), NULL, 10);
        } else
            told.single++;
    }
    (void)fclose(p->file);
    return told;
}

static void refuse(Place *p, unsigned users, unsigned times)
{
    for (unsigned u = 0; u < users; u++)
        for (unsigned i = 0; i < times; i++)
            refusals_add(p->refusals, USER + u, i % 2 ? "org.example.Add" : NULL);
}

TEST(one_user)
{
    Place p;
    Told told;

    ASSERT_TRUE(enter(&p));
    refuse(&p, 1, REFUSALS_PER_MINUTE + 7);
    told = leave(&p);
    ASSERT_EQ(told.single, REFUSALS_PER_MINUTE);
    ASSERT_EQ(told.sums, 1);
    ASSERT_EQ(told.counted, 7);
}

/* With any number of uids the number of notices is limited, and the other refusals are counted. */
TEST(many_users)
{
    enum {
        USERS = 1000
    };
    static const unsigned times[] = {1, REFUSALS_PER_MINUTE, REFUSALS_PER_MINUTE + 5};

    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        Place p;
        Told told;

        ASSERT_TRUE(enter(&p));
        refuse(&p, USERS, times[i]);
        told = leave(&p);
        ASSERT_TRUE(told.single + told.sums <= REFUSALS_ALL_PER_MINUTE + 1);
        ASSERT_TRUE(told.single >= REFUSALS_ALL_PER_MINUTE / 2);
        ASSERT_EQ(told.single + told.counted, USERS * times[i]);
    }
}

/* A few users do not share a limit. */
TEST(few_users)
{
    enum {
        USERS = REFUSALS_ALL_PER_MINUTE / (REFUSALS_PER_MINUTE + 1)
    };
    Place p;
    Told told;

    ASSERT_TRUE(enter(&p));
    refuse(&p, USERS, REFUSALS_PER_MINUTE + 1);
    told = leave(&p);
    ASSERT_EQ(told.single, USERS * REFUSALS_PER_MINUTE);
    ASSERT_EQ(told.sums, USERS);
    ASSERT_EQ(told.counted, USERS);
}
