/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <syslog.h>
#include <unistd.h>

#include "basic/limits.h"
#include "basic/macro.h"
#include "nvme-keyd/upcall/limits.h"
#include "request-key-shim/ask.h"
#include "request-key-shim/construction.h"
#include "request-key-shim/report.h"

/* After a failure of ours the kernel soon asks again. */
#define NO_ANSWER_TIMEOUT_SEC 1
/* Safety net: SIGALRM ends us if anything else blocks, and the kernel then rejects the key. */
#define LAST_RESORT_SEC ((unsigned)(UPCALL_DEADLINE_USEC / USEC_PER_SEC) + 1)

static void erase_reply(UpcallReply *const *reply)
{
    explicit_bzero(*reply, sizeof(**reply));
}

/* Answers the kernel first, then logs. The log does not say whether a key exists. */
static int reject(const ShimArguments *a, unsigned timeout_sec, unsigned error)
{
    int r = construction_reject(a->key, timeout_sec, error);

    /* The kernel does not accept every errno. */
    if (r == -EINVAL)
        r = construction_reject(a->key, NO_ANSWER_TIMEOUT_SEC, ENOKEY);
    if (r < 0)
        report(LOG_ERR, "cannot reject key %d: %s", a->key, strerror(-r));
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int fail(const ShimArguments *a, const char *what, int error)
{
    int status = reject(a, NO_ANSWER_TIMEOUT_SEC, ENOKEY);

    report(LOG_ERR, "%s: %s", what, strerror(-error));
    return status;
}

static int answer(const ShimArguments *a)
{
    /* Static, so that mlock(2) comes before it is filled. */
    static UpcallReply reply;
    _cleanup_(erase_reply) _unused_ UpcallReply *const erased = &reply;
    int r;

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || mlock(&reply, sizeof(reply)) < 0)
        return fail(a, "cannot lock memory", -errno);
    r = ask_daemon(a, &reply);
    if (r < 0)
        return fail(a, "nvme-keyd did not answer", r);
    if (reply.error != 0)
        return reject(a, reply.timeout_sec, reply.error);
    r = construction_instantiate(a->key, reply.payload, reply.size, reply.timeout_sec);
    return r < 0 ? fail(a, "cannot instantiate the key", r) : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    ShimArguments a;
    int valid = shim_arguments_parse(argc, argv, &a), r;

    (void)alarm(LAST_RESORT_SEC);
    if (a.key == 0) {
        report(LOG_ERR, "usage: request-key-shim KEY UID TYPE DESCRIPTION [CALLOUT] (by "
                        "request-key(8))");
        return EXIT_FAILURE;
    }
    r = construction_authorize(a.key);
    if (r < 0) {
        report(LOG_ERR, "the kernel has no request for key %d: %s", a.key, strerror(-r));
        return EXIT_FAILURE;
    }
    /* Any user may call request_key(2), which would put the key into their keyring. */
    if (a.uid != 0 && a.uid != UID_UNKNOWN) {
        r = reject(&a, NEGATIVE_TIMEOUT_SEC, EACCES);
        report_refusal(a.uid);
        return r;
    }
    if (valid < 0)
        return reject(&a, NEGATIVE_TIMEOUT_SEC, EINVAL);
    return answer(&a);
}
