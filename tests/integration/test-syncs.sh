#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# A change of the store costs two syncs, of the new file and of its directory, whatever the change. Keys that
# are added at the same time share them.
. "$(dirname "$0")/lib.sh"

command -v strace >/dev/null || skip_all "needs strace"
# A batch has at most so many keys: VARLINK_BATCH_MAX.
readonly batch=32
printf '[Manager]\nRetireSec=1h\n[Keyring]\nStandIn=yes\n' >"$conf"
daemon_start
# The first key makes the store.
id=$(add one one 2>>"$log") || bail "add"

trace_begin() {
    strace -qq -f -e trace=fsync,fdatasync,syncfs,sync -o "$tmp/trace" -p "$daemon" 2>>"$log" &
    tracer=$!
    wait_for 20 grep -q "^TracerPid:.*$tracer\$" "/proc/$daemon/status" || bail "strace does not attach"
}

# Prints the number of syncs since trace_begin.
trace_end() {
    kill -INT "$tracer"
    wait "$tracer" 2>/dev/null
    grep -cE 'sync(fs)?\(' "$tmp/trace"
}

# syncs COMMAND...: how many its change takes.
syncs() {
    local tracer
    trace_begin
    "$@" >"$tmp/id" 2>>"$log" || diag "status $?: $*"
    trace_end
}

# add_together PROCESS NAME COUNT
add_together() {
    python3 "$source/tests/integration/together.py" "$varlink" "$1" "$HOST" "nqn.2026-11.org.example:$2" "$3"
}

keys() {
    ctl list --no-legend | grep -c "$1"
}

# state_of ID
state_of() {
    ctl show "$1" --json=short | json 'o["key"]["state"]'
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
# By default the new key of a host is pending until its targets accept it, so a rotation is two changes.
is "rotate on a host, to a pending key" "$(syncs ctl rotate "$id" --generate)" 2
new=$(<"$tmp/id")
is "the new key is pending" "$(state_of "$id") $(state_of "$new")" "active pending"
is "activate" "$(syncs ctl activate "$new" --force)" 2
is "the new key is active" "$(state_of "$id") $(state_of "$new")" "retiring active"
id=$new
is "rotate --force: new key and switch in one change" "$(syncs rotate)" 2
new=$(<"$tmp/id")
is "the new key is active at once" "$(state_of "$id") $(state_of "$new")" "retiring active"
id=$new
is "list" "$(syncs ctl list)" 0
is "remove" "$(syncs ctl remove --force "$id")" 2

# Two batches, or three if the daemon had a call before it was stopped.
n=$(syncs add_together "$daemon" open $((2 * batch)))
[ "$n" -ge 4 ] && [ "$n" -le 6 ]
result $? "$((2 * batch)) calls on as many connections take 4 syncs, or 6" || diag "$n"
is "each call gets a key" "$(tail -n 1 "$tmp/id")" "$((2 * batch)) $((2 * batch))"
is "the daemon has all of them" "$(keys open)" $((2 * batch))
# The daemon may handle the first ones before the others are sent.
n=$(syncs add_together 0 free 100)
[ "$n" -ge 8 ] && [ "$n" -lt 200 ]
result $? "100 calls that are sent one after the other take less than two syncs each" || diag "$n"
diag "$n syncs for 100 calls"
names=$(ring_names)
daemon_restart
is "the store has all of them" "$(keys 'open\|free')" $((2 * batch + 100))
is "the keyring had them before" "$(ring_names)" "$names"
daemon_stop

# Calls that wait until the store is open.
if command -v swtpm >/dev/null; then
    rm -rf "${state:?}"/*
    tpm_start
    tcti=(-E "NVME_KEYD_TCTI=swtpm:path=$TPM")
    daemon_start "${tcti[@]}"
    add one one >"$tmp/id" 2>>"$log" || bail "add"
    daemon_restart "${tcti[@]}"
    like "the TPM opens the store" "$(ctl status)" "tpm2"
    daemon_stop
    kill -STOP "$tpm"
    daemon_listen "${tcti[@]}"
    # Has the daemon start.
    ctl status >"$tmp/status" 2>>"$log"
    trace_begin
    add_together 0 gate "$batch" >"$tmp/together" &
    adding=$!
    wait_for 20 grep -q sent "$tmp/together"
    is "$batch calls wait for the store" "$(cat "$tmp/together")" sent
    kill -CONT "$tpm"
    wait "$adding"
    is "each gets a key" "$(tail -n 1 "$tmp/together")" "$batch $batch"
    n=$(trace_end)
    [ "$n" -ge 2 ] && [ "$n" -le 4 ]
    result $? "opening the store and adding $batch keys takes 4 syncs at most" || diag "$n"
    daemon_stop
    tpm_stop
else
    skip "calls that wait until the store is open" "needs swtpm"
fi

finish
