/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "basic/macro.h"
#include "basic/secret.h"
#include "nvme-keyd-fetch/fetch-config.h"

/*
 * A source is a place in the network from which envelopes come and to which reports go. It finds
 * the envelopes of this machine by their names, passes on each revision of each of them once, and
 * goes on for ever: it tries again after each failure, and never ends by itself. It knows neither
 * files nor keys. README.md has how to add one.
 */
typedef struct Source Source;

/* The receiver of what a source finds. name: has the form of fetch_name_is_valid(). revision:
 * not 0; another one means another content. */
typedef struct SourceHandler {
    /* True if this revision was passed on or refused before: the source need not fetch it. */
    bool (*has)(const char *name, uint64_t revision, void *userdata);
    /* Passes an envelope on. data is borrowed. A negative errno: it could not be kept, so the
     * source should fetch it once more after a pause. */
    int (*pass)(const char *name, uint64_t revision, const void *data, size_t size, void *userdata);
    /* The source cannot fetch this one, and will not try again; why: a line for people. */
    void (*refuse)(const char *name, uint64_t revision, const char *why, void *userdata);
    /* A line for people about the connection. Called when it changes. */
    void (*state)(const char *line, void *userdata);
    void *userdata;
} SourceHandler;

/* The settings of a source. All of them live longer than the source. */
typedef struct SourceSetup {
    sd_event *event;
    const FetchConfig *config;
    const Secret *password; /* or NULL */
    const SourceHandler *handler;
} SourceSetup;

typedef struct SourceType {
    const char *name; /* of Type= */
    int (*new)(const SourceSetup *setup, Source **ret);
    Source *(*free)(Source *s);
    /* Sets the report that is kept there; the newest replaces those before. text is JSON without
     * secrets, and borrowed. Returns -ENOMEM. */
    int (*report)(Source *s, const char *text);
} SourceType;

extern const SourceType source_etcd;
