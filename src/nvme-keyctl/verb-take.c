/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "basic/json.h"
#include "nvme-keyctl/envelope-file.h"

/* envelope take: one envelope, from a file or standard input. */

static int read_envelope(const char *path, char **ret)
{
    bool is_file = path && strcmp(path, "-") != 0;
    _cleanup_(closep) int fd = is_file ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -EBADF;
    int r = is_file && fd < 0 ? -errno : envelope_file_read(is_file ? fd : STDIN_FILENO, ret);

    if (r == 0)
        return EXIT_OK;
    return cli_fail(EXIT_INVALID, "cannot read the envelope%s%s: %s", is_file ? " " : "",
                    is_file ? path : "",
                    r == -EFBIG     ? "it is too large for one"
                    : r == -ENODATA ? "it is empty"
                                    : strerror(-r));
}

int verb_envelope_take(const Options *o)
{
    _cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
    _cleanup_(json_putp) json_object *reply = NULL;
    _cleanup_(freep) char *pem = NULL, *error = NULL;
    int r = read_envelope(o->arguments[0], &pem);

    if (r == EXIT_OK)
        r = cli_connect(o, &client);
    if (r == EXIT_OK)
        r = envelope_file_take(o, client, pem, &reply, &error);
    if (r != EXIT_OK)
        return r;
    if (error)
        return cli_fail_with_error("", error, reply);
    if (o->json != JSON_OFF)
        cli_print_json(o, reply);
    else
        envelope_file_report("", reply);
    return EXIT_OK;
}
