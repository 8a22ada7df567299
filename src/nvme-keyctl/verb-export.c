/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "nvme-keyctl/cli.h"
#include "nvme-keyctl/output.h"
#include "nvme-keyctl/text-file.h"
#include "varlink/json-wire.h"

/* export: hands PSKs out in the clear, in the form that another program reads. All are fetched
 * before the first is written. */

typedef struct Export {
    const Options *o;
    json_object *ids;  /* of the keys */
    json_object *keys; /* replies, which have the secrets */
    TextFile text;
    int fd; /* of --output=; -EBADF for standard output */
} Export;

static void export_done(Export *e)
{
    if (e->fd >= 0) {
        /* Not complete: it is closed otherwise. */
        (void)unlink(e->o->output);
        close(e->fd);
    }
    text_file_done(&e->text);
    varlink_json_erase_put(e->keys);
    json_object_put(e->ids);
}

static bool is_format(const Export *e, const char *format)
{
    return !e->o->for_peer && e->o->format && strcmp(e->o->format, format) == 0;
}

/* Checks where the secrets go before the service is asked for any. */
static int open_output(Export *e)
{
    const char *path = e->o->output;
    struct stat st;

    if (!path) {
        if (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077))
            return cli_fail(EXIT_INVALID,
                            "standard output is a file that others can read: give --output=FILE, "
                            "which is made with mode 0600");
        return output_check_secret("PSK");
    }
    e->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
    if (e->fd < 0)
        return cli_fail(EXIT_INVALID, "cannot make %s: %s", path, strerror(errno));
    return EXIT_OK;
}

static bool matches(const Options *o, json_object *key)
{
    return strcmp(json_string_or(key, "state", ""), "active") == 0 &&
           (!o->subsysnqn || strcmp(json_string_or(key, "subsystemNQN", ""), o->subsysnqn) == 0) &&
           (!o->hostnqn || strcmp(json_string_or(key, "hostNQN", ""), o->hostnqn) == 0) &&
           (!o->role || strcmp(json_string_or(key, "role", ""), o->role) == 0);
}

/* The key of the command line, or all active keys of the filters. */
static int find_keys(Export *e)
{
    _cleanup_(json_putp) json_object *list = json_object_new_array();
    int r;

    e->ids = json_object_new_array();
    e->keys = json_object_new_array();
    if (!list || !e->ids || !e->keys)
        return cli_out_of_memory();
    if (e->o->arguments[0])
        return json_append_take(e->ids, json_object_new_string(e->o->arguments[0])) < 0
                   ? cli_out_of_memory()
                   : EXIT_OK;
    r = cli_call_list(e->o, "List", "key", list);
    for (size_t i = 0; i < json_object_array_length(list) && r == EXIT_OK; i++) {
        json_object *key = json_object_array_get_idx(list, i);

        if (matches(e->o, key) &&
            json_append_take(e->ids, json_object_new_string(json_string_or(key, "id", ""))) < 0)
            r = cli_out_of_memory();
    }
    if (r == EXIT_OK && json_object_array_length(e->ids) == 0)
        return cli_fail(EXIT_NO_KEY, "there is no active key to export");
    return r;
}

static int fetch_keys(Export *e)
{
    int r = EXIT_OK;

    for (size_t i = 0; i < json_object_array_length(e->ids) && r == EXIT_OK; i++) {
        json_object *p = json_object_new_object(), *reply = NULL;
        const char *id = json_object_get_string(json_object_array_get_idx(e->ids, i));

        if (!p || json_add_string(p, "id", id) < 0) {
            json_object_put(p);
            return cli_out_of_memory();
        }
        r = cli_call(e->o, "Export", p, &reply);
        if (r == EXIT_OK && json_object_array_add(e->keys, reply) < 0) {
            varlink_json_erase_put(reply);
            return cli_out_of_memory();
        }
    }
    return r;
}

static int append(Export *e, const char *s)
{
    return text_file_append(&e->text, s, strlen(s));
}

static int append_line(Export *e, const char *first, const char *second, const char *psk)
{
    int r = append(e, first);

    if (r == 0 && second)
        r = append(e, " ") < 0 ? -ENOMEM : append(e, second);
    if (r == 0 && *first)
        r = append(e, " ");
    if (r == 0)
        r = append(e, psk);
    return r < 0 ? r : append(e, "\n");
}

/* A key file of nvme-cli: a line for each identity. */
static int format_tls_psks(Export *e, json_object *reply)
{
    json_object *list = NULL;
    int r = json_get_array(reply, "tlsPSKs", &list) > 0 ? 0 : -EINVAL;

    for (size_t i = 0; r == 0 && i < json_object_array_length(list); i++) {
        json_object *entry = json_object_array_get_idx(list, i);

        r = append_line(e, json_string_or(entry, "identity", ""), NULL,
                        json_string_or(entry, "psk", ""));
    }
    return r;
}

static int format_key(Export *e, json_object *reply)
{
    const char *psk = json_string_or(reply, "psk", NULL);
    json_object *key = NULL;
    int r;

    if (json_get_object(reply, "key", &key) <= 0)
        return cli_fail(EXIT_OTHER, "nvme-keyd answered without a key");
    if (is_format(e, "interchange") || is_format(e, "spdk")) {
        if (!psk)
            return cli_fail(EXIT_INVALID,
                            "key %s is a TLS PSK without its configured PSK, so only "
                            "--format=nvme-cli can have it",
                            json_string_or(key, "id", ""));
        r = append_line(e, "", NULL, psk);
    } else if (e->o->for_peer && psk) {
        r = append_line(e, json_string_or(key, "hostNQN", ""),
                        json_string_or(key, "subsystemNQN", ""), psk);
    } else {
        r = format_tls_psks(e, reply);
    }
    return r < 0 ? cli_out_of_memory() : EXIT_OK;
}

/* The file has all or nothing: it is removed unless it was closed here. */
static int write_output(Export *e)
{
    int fd = e->fd >= 0 ? e->fd : STDOUT_FILENO;
    int r = io_write_all(fd, e->text.text, e->text.size);

    if (r == 0 && e->fd >= 0 && fsync(e->fd) < 0)
        r = -errno;
    if (r < 0 && e->fd >= 0)
        return cli_fail(EXIT_OTHER, "cannot write %s: %s", e->o->output, strerror(-r));
    if (r < 0)
        return cli_fail(EXIT_OTHER, "standard output %s", output_error_text(r));
    if (e->fd >= 0)
        close(TAKE_FD(e->fd));
    return EXIT_OK;
}

/* SPDK derives by RFC 8446 and has identities of version 0 only. */
static void explain_spdk(const Export *e, json_object *key)
{
    const char *file = e->o->output ? e->o->output : "FILE", *id = json_string_or(key, "id", ""),
               *hostnqn = json_string_or(key, "hostNQN", ""),
               *subsysnqn = json_string_or(key, "subsystemNQN", "");
    json_object *versions = NULL;

    (void)fprintf(stderr,
                  "SPDK needs the absolute path of a file of mode 0600 that its user owns:\n"
                  "    rpc.py keyring_file_add_key nvme-%s %s\n",
                  id, file);
    if (strcmp(json_string_or(key, "role", ""), "target") != 0)
        (void)fprintf(stderr, "    rpc.py nvmf_subsystem_add_host %s %s --psk nvme-%s\n", subsysnqn,
                      hostnqn, id);
    if (strcmp(json_string_or(key, "role", ""), "host") != 0)
        (void)fprintf(stderr,
                      "    rpc.py bdev_nvme_attach_controller -b nvme0 -t tcp -f ipv4 -a ADDRESS "
                      "-s 4420 -n %s -q %s --psk nvme-%s\n",
                      subsysnqn, hostnqn, id);
    (void)json_get_array(key, "identityVersions", &versions);
    if (strcmp(json_string_or(key, "derivation", "rfc8446"), "rfc8446") != 0)
        (void)cli_fail(EXIT_OK, "warning: SPDK derives by rfc8446 only, and this key does not: "
                                "rotate it with --same-psk --derivation=rfc8446");
    if (versions && json_object_get_int(json_object_array_get_idx(versions, 0)) != 0)
        (void)cli_fail(EXIT_OK, "warning: SPDK has identities of version 0 only, and this key has "
                                "none: rotate it with --same-psk --identity-version=0");
}

/* The command for the other end. */
static void explain_peer(json_object *key)
{
    const char *role = json_string_or(key, "role", ""),
               *derivation = json_string_or(key, "derivation", "rfc8446");

    (void)fprintf(stderr, "At the other end: nvme-keyctl import --role=%s",
                  strcmp(role, "host") == 0     ? "target"
                  : strcmp(role, "target") == 0 ? "host"
                                                : "both");
    if (strcmp(derivation, "rfc8446") != 0)
        (void)fprintf(stderr, " --derivation=%s", derivation);
    (void)fputc('\n', stderr);
}

static int print_json(const Export *e)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (!o || json_add_take(o, "keys", json_object_get(e->keys)) < 0)
        return cli_out_of_memory();
    cli_print_json(e->o, o);
    return EXIT_OK;
}

static int check_options(const Options *o)
{
    bool one = o->arguments[0] != NULL;
    const char *format = o->format ? o->format : "nvme-cli";

    if (o->for_peer && o->format)
        return cli_fail(EXIT_USAGE, "--for-peer is a format: leave --format= out");
    if (one && (o->subsysnqn || o->hostnqn || o->role))
        return cli_fail(EXIT_USAGE, "an ID needs no --subsysnqn=, --hostnqn= and --role=");
    if (!one && strcmp(format, "nvme-cli") != 0)
        return cli_fail(EXIT_USAGE, "--format=%s has one key without its names: give an ID",
                        format);
    if (o->json != JSON_OFF && (o->output || o->format || o->for_peer))
        return cli_fail(EXIT_USAGE, "--json= is a format, for standard output");
    return EXIT_OK;
}

int verb_export(const Options *o)
{
    _cleanup_(export_done) Export e = {.o = o, .fd = -EBADF};
    json_object *key = NULL;
    int r;

    if ((r = check_options(o)) != EXIT_OK || (r = open_output(&e)) != EXIT_OK ||
        (r = find_keys(&e)) != EXIT_OK || (r = fetch_keys(&e)) != EXIT_OK)
        return r;
    if (o->json != JSON_OFF)
        return print_json(&e);
    for (size_t i = 0; i < json_object_array_length(e.keys) && r == EXIT_OK; i++)
        r = format_key(&e, json_object_array_get_idx(e.keys, i));
    if (r == EXIT_OK)
        r = write_output(&e);
    if (r != EXIT_OK || !o->legend)
        return r;
    (void)json_get_object(json_object_array_get_idx(e.keys, 0), "key", &key);
    if (is_format(&e, "spdk"))
        explain_spdk(&e, key);
    else if (o->for_peer)
        explain_peer(key);
    return EXIT_OK;
}
