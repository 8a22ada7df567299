#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# A change of the store costs two syncs, of the new file and of its directory, whatever the change.
. "$(dirname "$0")/lib.sh"

command -v strace >/dev/null || skip_all "needs strace"
printf '[Manager]\nRetireSec=1h\n[Keyring]\nStandIn=yes\n' >"$conf"
daemon_start
# The first key makes the store.
id=$(add one one 2>>"$log") || bail "add"

# syncs COMMAND...: how many its change takes.
syncs() {
    local tracer
    strace -qq -f -e trace=fsync,fdatasync,syncfs,sync -o "$tmp/trace" -p "$daemon" 2>>"$log" &
    tracer=$!
    wait_for 20 grep -q "^TracerPid:.*$tracer\$" "/proc/$daemon/status" || bail "strace does not attach"
    "$@" >"$tmp/id" 2>>"$log" || diag "status $?: $*"
    kill -INT "$tracer"
    wait "$tracer" 2>/dev/null
    grep -cE 'sync(fs)?\(' "$tmp/trace"
}

rotate() {
    psk another | ctl rotate "$id" --force
}

import_three() {
    local n
    for n in 1 2 3; do
        echo "$HOST nqn.2026-11.org.example:import-$n $(psk "import $n")"
    done >"$tmp/keys"
    ctl import "$tmp/keys"
}

is "add" "$(syncs add two two)" 2
is "import of three keys" "$(syncs import_three)" 2
# A pending key first, and then the switch.
is "rotate on a host, without asking its targets" "$(syncs rotate)" 2
id=$(<"$tmp/id")
is "list" "$(syncs ctl list)" 0
is "remove" "$(syncs ctl remove --force "$id")" 2
daemon_stop

finish
