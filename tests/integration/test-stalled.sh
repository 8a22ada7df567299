#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The queues of the journal, the service manager and standard error are full and have no reader: the
# daemon answers all the same, and catches up when they read again. The test has a /run of its own.
. "$(dirname "$0")/lib.sh"

unshare --mount true 2>/dev/null || skip_all "needs mount namespaces"

# stalled CASE: the cases are in stalled.py.
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
