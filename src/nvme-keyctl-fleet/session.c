/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "nvme-keyctl-fleet/session.h"
#include "nvme-keyctl/pem-file.h"

void session_done(const Session *s)
{
    fleet_done(&s->fleet);
    place_freep(&(Place *){s->place});
    X509_free(s->issuer);
    EVP_PKEY_free(s->key);
}

int session_report_error(const Options *o, int error, const char *what)
{
    const char *place = fleet_options(o)->place;

    switch (error) {
    case -ENOMEM:
        return cli_out_of_memory();
    case -ESTALE:
        return cli_fail(EXIT_CONFLICT,
                        "cannot %s: another command has changed it meanwhile; look with "
                        "nvme-keyctl fleet status, and try again",
                        what);
    case -ENOKEY:
        return cli_fail(EXIT_CONFLICT,
                        "cannot %s: a machine of the pair is not approved, or revoked", what);
    case -EIO:
        return cli_fail(EXIT_OTHER, "cannot %s: reading, writing or signing failed", what);
    default:
        return cli_fail(EXIT_UNREACHABLE, "cannot %s in %s: %s", what, place, strerror(-error));
    }
}

static void warn(const char *line)
{
    (void)cli_fail(EXIT_OK, "%s", line);
}

int session_open_place(const Options *o, Session *s)
{
    const char *path = fleet_options(o)->place;
    int r;

    if (!path)
        return cli_fail(EXIT_USAGE, "--place= is missing: the directory of the fleet");
    r = place_open_directory(path, &s->place);
    return r < 0 ? cli_fail(EXIT_UNREACHABLE, "cannot open the place %s: %s", path, strerror(-r))
                 : EXIT_OK;
}

static int read_issuer(const Options *o, bool change, Session *s)
{
    int r;

    if (!o->issuer || (change && !o->issuer_key))
        return cli_fail(EXIT_USAGE, change ? "--issuer= and --issuer-key= are missing: see "
                                             "nvme-keyctl envelope issuer"
                                           : "--issuer= is missing: the certificate of the issuer");
    r = pem_file_read_certificate(o->issuer, &s->issuer);
    if (r == EXIT_OK && change)
        r = pem_file_read_key(o->issuer_key, &s->key);
    if (r == EXIT_OK && s->key && EVP_PKEY_eq(s->key, X509_get0_pubkey(s->issuer)) != 1)
        return cli_fail(EXIT_INVALID, "the key of --issuer-key= is not that of --issuer=");
    return r;
}

static void say_nothing(_unused_ const char *line)
{
}

static int load(const Options *o, Session *s, void (*fn)(const char *line))
{
    int r;

    s->fleet = (Fleet){.place = s->place, .issuer = s->issuer, .key = s->key, .warn = fn};
    r = fleet_load(&s->fleet);
    return r < 0 ? session_report_error(o, r, "read the fleet") : EXIT_OK;
}

int session_open(const Options *o, bool change, Session *s)
{
    int r = session_open_place(o, s);

    if (r == EXIT_OK)
        r = read_issuer(o, change, s);
    return r == EXIT_OK ? load(o, s, warn) : r;
}

int session_reload(const Options *o, Session *s)
{
    fleet_done(&s->fleet);
    return load(o, s, say_nothing);
}

int session_result(const Session *s, int code)
{
    if (code != EXIT_OK || s->fleet.n_refused == 0)
        return code;
    return cli_fail(EXIT_INVALID, "%zu value%s of the place refused, see above", s->fleet.n_refused,
                    s->fleet.n_refused == 1 ? " was" : "s were");
}

int session_print_id(const Options *o, const char *text, const char *member, const char *id)
{
    _cleanup_(json_putp) json_object *reply = json_object_new_object();

    if (o->json == JSON_OFF) {
        printf("%s%s%s\n", o->legend ? text : "", o->legend ? " " : "", id);
        return EXIT_OK;
    }
    if (json_add_string(reply, member, id) < 0)
        return cli_out_of_memory();
    cli_print_json(o, reply);
    return EXIT_OK;
}
