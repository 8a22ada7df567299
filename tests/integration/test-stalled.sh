#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Journal and service manager have full queues that nobody reads, and so has standard error: the daemon
# answers all the same, and makes up for it when they read again. /run is another one meanwhile.
. "$(dirname "$0")/lib.sh"

unshare --mount true 2>/dev/null || skip_all "needs mount namespaces"

# stalled CASE: see there.
stalled() {
    mkdir "$tmp/$1" && mkdir -m 700 "$tmp/$1/state"
    relay timeout 120 unshare --mount python3 "$source/tests/integration/stalled.py" "$1" "$tmp/$1" \
        "$build/nvme-keyd" "$build/nvme-keyctl" "$conf"
}

stalled journal
stalled manager
stalled pipe
stalled socket
stalled count

finish
