/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "basic/crypto-memory.h"
#include "basic/io.h"
#include "basic/log.h"
#include "probe/handshake.h"
#include "probe/look.h"

/* nvme-keyd-probe: one request from the socket at standard input, one answer, and the end. */

/* Returns the size of the packet, or a negative errno. */
static ssize_t receive(Secret *packet)
{
    ssize_t n;
    int r = io_wait(STDIN_FILENO, POLLIN, now_monotonic() + PROBE_REQUEST_USEC);

    if (r < 0)
        return r;
    n = recv(STDIN_FILENO, packet->data, packet->size, MSG_TRUNC | MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

static int answer(void)
{
    _cleanup_(secret_freep) Secret *packet = secret_new(sizeof(ProbeRequest));
    ProbeReply reply;
    PskHash hash;
    ssize_t n;
    int r;

    if (!packet)
        return log_error_errno(-ENOMEM, "Cannot receive a request");
    n = receive(packet);
    if (n <= 0)
        return n < 0 ? log_error_errno((int)n, "Cannot receive a request") : 0;
    r = probe_request_check(packet->data, (size_t)n, &hash);
    if (r < 0)
        probe_reply_set(&reply, PROBE_UNAVAILABLE,
                        "the helper does not know the form of the request");
    else
        r = look_at_target((const ProbeRequest *)(void *)packet->data, hash, STDIN_FILENO, &reply);
    if (r == -ECANCELED)
        return 0;
    packet = secret_free(packet);
    if (send(STDIN_FILENO, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return log_error_errno(-errno, "Cannot answer a request");
    return 0;
}

int main(void)
{
    int r;

    (void)signal(SIGPIPE, SIG_IGN);
    log_setup("nvme-keyd-probe");
    /* A handshake leaves values behind from which its keys can be computed. */
    r = crypto_memory_init();
    if (r == 0)
        r = secret_memory_init();
    if (r < 0)
        (void)log_error_errno(r, "Cannot prepare the memory for a PSK");
    else
        r = answer();
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
