/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "envelope/machine.h"
#include "nvme-keyctl/field.h"
#include "nvme-keyctl/pem-file.h"

/* machine show, trust and distrust: the identity of this machine, and who may send it PSKs. */

#define N_COLUMNS 4
#define DATE_SIZE 16

static int print_machine(const Options *o, json_object *reply)
{
    if (o->json != JSON_OFF) {
        cli_print_json(o, reply);
        return EXIT_OK;
    }
    cli_print_new_store(reply);
    if (o->request) {
        (void)fputs(json_string_or(reply, "request", ""), stdout);
        return EXIT_OK;
    }
    field_print_member(reply, "Name", "name");
    field_print_member(reply, "Fingerprint", "fingerprint");
    field_print_time(reply, "Made", "created");
    /* openssl(1) and others skip what is before the certificate. */
    (void)fputs(json_string_or(reply, "certificate", ""), stdout);
    return EXIT_OK;
}

int verb_machine_show(const Options *o)
{
    json_object *p = json_object_new_object();

    if (!p || (o->request && json_add_bool(p, "withRequest", true) < 0)) {
        json_object_put(p);
        return cli_out_of_memory();
    }
    return cli_call_and_print(o, "Machine", p, print_machine);
}

static const char *format_date(json_object *issuer, char ret[static DATE_SIZE])
{
    struct tm tm;

    return field_time(issuer, "created", &tm) && strftime(ret, DATE_SIZE, "%F", &tm) > 0 ? ret
                                                                                         : "-";
}

static int print_issuers(const Options *o, json_object *reply)
{
    static const char *const head[N_COLUMNS] = {"FINGERPRINT", "SOURCE", "NAME", "SINCE"};
    json_object *issuers = NULL;
    size_t n =
        json_get_array(reply, "issuers", &issuers) > 0 ? json_object_array_length(issuers) : 0;
    _cleanup_(freep) const char **cells = calloc((n + 1) * N_COLUMNS, sizeof(*cells));
    _cleanup_(freep) char(*dates)[DATE_SIZE] = calloc(n + 1, sizeof(*dates));

    if (o->json != JSON_OFF) {
        cli_print_json(o, reply);
        return EXIT_OK;
    }
    if (!cells || !dates)
        return cli_out_of_memory();
    memcpy(cells, head, sizeof(head));
    for (size_t i = 0; i < n; i++) {
        json_object *issuer = json_object_array_get_idx(issuers, i);
        const char **row = cells + (i + 1) * N_COLUMNS;

        row[0] = json_string_or(issuer, "fingerprint", "(no certificate of a P-256 key)");
        row[1] = json_string_or(issuer, "source", "-");
        row[2] = json_string_or(issuer, "name", "-");
        row[3] = format_date(issuer, dates[i]);
    }
    return cli_print_table(o, cells, N_COLUMNS, n + 1);
}

static int print_trusted(const Options *o, json_object *reply)
{
    bool added = false;

    if (o->json != JSON_OFF) {
        cli_print_json(o, reply);
        return EXIT_OK;
    }
    cli_print_new_store(reply);
    (void)json_get_bool(reply, "added", &added);
    printf("%s %s\n", json_string_or(reply, "fingerprint", "?"),
           added ? "is trusted from now on" : "was trusted already");
    return EXIT_OK;
}

int verb_machine_trust(const Options *o)
{
    _cleanup_(X509_freep) X509 *certificate = NULL;
    _cleanup_(freep) char *pem = NULL;
    json_object *p;
    int r;

    if (o->list == !!o->arguments[0])
        return cli_fail(EXIT_USAGE, "machine trust needs the certificate of an issuer, or --list");
    if (o->list)
        return cli_call_and_print(o, "ListIssuers", NULL, print_issuers);
    r = pem_file_read_certificate(o->arguments[0], &certificate);
    if (r != EXIT_OK)
        return r;
    if (machine_certificate_to_pem(certificate, &pem) < 0)
        return cli_out_of_memory();
    p = json_object_new_object();
    if (!p || json_add_string(p, "certificate", pem) < 0) {
        json_object_put(p);
        return cli_out_of_memory();
    }
    return cli_call_and_print(o, "TrustIssuer", p, print_trusted);
}

static int print_distrusted(const Options *o, json_object *reply)
{
    if (o->json != JSON_OFF)
        cli_print_json(o, reply);
    return EXIT_OK;
}

int verb_machine_distrust(const Options *o)
{
    json_object *p = json_object_new_object();

    if (!p || json_add_string(p, "fingerprint", o->arguments[0]) < 0) {
        json_object_put(p);
        return cli_out_of_memory();
    }
    return cli_call_and_print(o, "DistrustIssuer", p, print_distrusted);
}
