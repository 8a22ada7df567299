#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Standard output that is closed, full or without a reader: each verb reports the failure, and a
# secret that can be shown once only is not made, or is removed again.
. "$(dirname "$0")/lib.sh"

[ -c /dev/full ] || skip_all "no /dev/full"
daemon_start
id=$(add one a)
target=$(add two t --role=target)
slot=$(ctl slot list --no-legend | cut -d ' ' -f 1)
readonly NEW=(--hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:n)

# Each of these runs a command whose standard output cannot be written, and sets status and err. The
# command must not use the number of a missing descriptor for one of its sockets.
closed() {
    "$@" 2>"$tmp/err" >&-
    status=$?
    err=$(<"$tmp/err")
}
full() {
    "$@" 2>"$tmp/err" >/dev/full
    status=$?
    err=$(<"$tmp/err")
}
read_only() {
    "$@" 2>"$tmp/err" 1</dev/null
    status=$?
    err=$(<"$tmp/err")
}
# A pipe without a reader.
deaf() {
    python3 - "$@" <<'PY' 2>"$tmp/err"
import os, subprocess, sys
r, w = os.pipe()
os.close(r)
child = subprocess.run(sys.argv[1:], stdout=w, stdin=subprocess.DEVNULL)
sys.exit(child.returncode if child.returncode >= 0 else 128 - child.returncode)
PY
    status=$?
    err=$(<"$tmp/err")
}
# A failure that shows only when the output is written: the file may not grow, though its disk has room.
no_growth() {
    err=$(
        ulimit -f 0
        exec 2>&1 >"$tmp/limited"
        ctl "$@"
    )
    status=$?
}

# --- verbs that print no secret

ways=(closed full read_only)
for way in "${ways[@]}"; do
    for verb in list status "show $id" sync "slot list" --help --version; do
        read -ra words <<<"$verb"
        $way ctl "${words[@]}"
        is "$verb: $way" "$status $(wc -l <<<"$err")" "1 1"
        like "$verb: $way: it says so" "$err" "^nvme-keyctl: standard output is (closed|full)"
    done
done
full ctl list --json=pretty
is "list: full, JSON" "$status" 1
for way in "${ways[@]}"; do
    $way "$build/nvme-keyctl" identity --subsysnqn="$SUBSYSTEM" --hostnqn="$HOST" <<<"$(psk one)"
    is "identity: $way" "$status" 1
done
full ctl add "${NEW[@]}" <<<"$(psk new)"
is "add: full" "$status $err" "1 nvme-keyctl: standard output is full (No space left on device), but the change was made: see nvme-keyctl list"
new=$(ctl list --json=short | json '[k["id"] for k in o["keys"] if k["subsystemNQN"].endswith(":n")][0]')
closed ctl remove "$new" --no-legend
is "remove: without a legend it prints nothing, so it succeeds" "$status$err" 0

# --- without standard input, or standard error

run ctl add "${NEW[@]}" <&-
like "standard input is closed" "$status $err" "^3 nvme-keyctl: cannot read the PSK: standard input is closed$"
"$build/nvme-keyctl" --socket="$varlink" list --no-legend >"$tmp/out" <&- 2>&-
is "standard error is closed" "$? $(grep -c active <"$tmp/out")" "0 2"

# --- secrets: nothing is changed

refused_secret() {
    local way=$1 before
    shift
    before=$(store_digest)
    $way "$@"
    [ "$status" -eq 1 ] && [ "$(store_digest)" = "$before" ] && [ "$(wc -l <<<"$err")" -eq 1 ] &&
        [[ $err =~ "cannot show the ".*", so nothing was changed: standard output " ]]
    result $? "${*:3:2}: $way: nothing is changed" || diag "status: $status" "stderr: $err"
}
for way in closed full read_only deaf; do
    refused_secret $way "$build/nvme-keyctl" --socket="$varlink" generate "${NEW[@]}" --print-key
    refused_secret $way "$build/nvme-keyctl" --socket="$varlink" generate "${NEW[@]}" --print-key --json=short
    refused_secret $way "$build/nvme-keyctl" --socket="$varlink" rotate "$id" --generate --print-key
    refused_secret $way "$build/nvme-keyctl" --socket="$varlink" slot add recovery
    refused_secret $way "$build/nvme-keyctl" --socket="$varlink" slot add recovery --json=short
    refused_secret $way "$build/nvme-keyctl" --socket="$varlink" slot reseal "$slot"
done

# --- secrets: the change is made before the output fails

# A process that ignores the signal, and one that would be killed by it.
for signal in "" SIGXFSZ; do
    [ -z "$signal" ] || trap '' "$signal"
    no_growth generate "${NEW[@]}" --print-key
    like "generate: the key is removed again${signal:+, $signal ignored}" "$status $err" \
        "^1 nvme-keyctl: cannot show the PSK, so key [0-9a-f]{16} was removed again: standard output has reached its size limit"
    is "generate: it is gone" "$(ctl list --no-legend | wc -l)" 2
    no_growth slot add recovery
    like "slot add recovery: the slot is removed again${signal:+, $signal ignored}" "$status $err" \
        "^1 nvme-keyctl: cannot show the recovery key, so slot [0-9a-f]+ was removed again"
    is "slot add recovery: it is gone" "$(ctl slot list --no-legend | grep -c recovery)" 0
done
trap - SIGXFSZ

for key in "$id" "$target"; do
    no_growth rotate "$key" --generate --print-key
    like "rotate: the error names the remedy" "$status $err" \
        "^1 nvme-keyctl: key [0-9a-f]{16} (succeeds|replaced) $key, but its PSK is lost, .*: run nvme-keyctl (remove|rotate --revert) [0-9a-f]{16}$"
    read -ra advice <<<"${err##*: run nvme-keyctl }"
    run ctl "${advice[@]}"
    is "rotate: the remedy works" "$status $(ctl show "$key" --json=short | json 'o["key"]["state"]')" "0 active"
done
run ctl slot add recovery
recovery=${out%%$'\n'*}
no_growth slot reseal "$recovery"
like "slot reseal: the error names the remedy" "$status $err" \
    "^1 nvme-keyctl: slot $recovery has a new recovery key, which is lost, .*: run nvme-keyctl slot reseal $recovery$"
run ctl slot reseal "$recovery"
like "slot reseal: the remedy works" "$status $out" "^0 $recovery"$'\n'"[0-9A-Z]{5}-"

finish
