/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyctl/cli.h"

/* Envelopes in files, on their way to the service. */

/* Reads fd to its end as an envelope, PEM or DER, and gives it as PEM, to be freed. Returns -EFBIG,
 * -ENODATA for an empty file, -EBADMSG for text with a NUL, -ENOMEM, or the error of read(2). */
int envelope_file_read(int fd, char **ret) _must_check_;

/* Has the service take it. As cli_call_client(). */
int envelope_file_take(const Options *o, VarlinkClient *client, const char *pem,
                       json_object **ret_reply, char **ret_error) _must_check_;

/* Prints what became of each pair, a line for each, after a prefix. */
void envelope_file_report(const char *prefix, json_object *reply);
