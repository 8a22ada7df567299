#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# nvme-keyctl schedule: keys that are rotated again and again.
. "$(dirname "$0")/lib.sh"

of() {
    ctl show "$1" --json=short | json "o['key'].get('$2')"
}
# The pending key of a pair.
successor() {
    ctl list --state=pending --json=short | json "[k['id'] for k in o['keys'] if k['succeeds'] == '$1'][0]"
}
make() {
    ctl generate --hostnqn="$HOST" --subsysnqn="nqn.2026-11.org.example:$1" --no-legend "${@:2}" 2>/dev/null
}

daemon_start
refused "a host has no schedule" 3 "schedule the rotation there" \
    ctl generate --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:h --rotate-after=1s
a=$(make a --role=target --rotate-after=1s)
b=$(make b --role=both)
c=$(make c --role=target --rotate-after=90d)
h=$(make h)
is "an age" "$(of "$a" rotateAfterSec) $(of "$b" rotateAfterSec)" "1 None"
like "show" "$(ctl show "$c")" "Rotated: at an age of 90 days"
refused "set: a host" 3 "schedule the rotation there" ctl schedule set "$h" --rotate-after=1d
refused "set: no age" 2 "rotate-after= is missing" ctl schedule set "$b"
refused "set: no such age" 2 "90d, or never" ctl schedule set "$b" --rotate-after=soon
check "set" ctl schedule set "$b" --rotate-after=1s
becomes "it is due by its age" True of "$b" rotationDue
becomes "it is due by its age" True of "$a" rotationDue

before=$(store_digest)
run ctl schedule run --dry-run
is "a dry run" "$status $(sort <<<"$out" | xargs)$err $(store_digest)" "0 $(printf '%s\n' "$a" "$b" | sort | xargs) $before"
JOURNAL_STREAM=$(stat -L -c %d:%i "$log") "$build/nvme-keyctl" --socket="$varlink" schedule run --print-key >>"$log" 2>"$tmp/err"
is "no PSK gets into the journal" "$? $(grep -c "into the journal" "$tmp/err") $(store_digest)" "2 1 $before"
check "set: not due" ctl schedule set "$b" --rotate-after=1d
run ctl schedule run
is "run: no PSK is made that no host can get" "$status$out $(store_digest) $(grep -c "1 keys of a target are due, and left alone" "$tmp/err")" \
    "0 $(store_digest) 1"
check "set: due" ctl schedule set "$b" --rotate-after=1s
run ctl schedule run --print-key
is "run: the keys that are due" "$status$err $(wc -l <<<"$out")" "0 2"
like "run: lines of a key file" "$out" "$HOST nqn.2026-11.org.example:a NVMeTLSkey-1:01:[^ ]*:"
check "run: the journal says so" wait_for 5 grep -q "succeeds $a, rotated on its schedule" "$log"
next=$(successor "$a")
is "run: both keys of a target are accepted" "$(of "$a" state) $(of "$next" state) $(of "$next" rotateAfterSec) $(ring_names | grep -c ":a ")" \
    "active pending 1 2"
next=$(successor "$b")
is "run: a machine that is both follows its target" "$(of "$b" state) $(of "$next" state) $(of "$next" follow)" "active pending True"
run ctl schedule run
is "again: not while a successor is under way" "$status$out$err" 0
check "never" ctl schedule set "$b" --rotate-after=never
is "never: no age" "$(of "$b" rotateAfterSec)" None
daemon_stop
daemon_start
is "after a restart" "$(of "$a" rotateAfterSec) $(of "$c" rotateAfterSec)" "1 7776000"
is "the store, read by other code" "$(
    "$python" "$source/tests/integration/read-store.py" "$state" >/dev/null 2>&1
    echo $?
)" 0

# The first failure ends the run.
d=$(make d --role=target --rotate-after=1s)
e=$(make e --role=target --rotate-after=1s)
becomes "another two are due" True of "$e" rotationDue
becomes "another two are due" True of "$d" rotationDue
daemon_stop
mkdir "$state/store.new"
daemon_start
run ctl schedule run --print-key
rmdir "$state/store.new"
is "a failure ends the run" "$([ "$status" -ne 0 ] && echo failed) $(wc -l <"$tmp/err") $out" "failed 2 "
like "a failure names the key" "$err" "key ($d|$e) for nqn.2026-11.org.example:[de]: "
like "a failure: what is left" "$err" "1 more keys are due, and were left for the next run"

finish
