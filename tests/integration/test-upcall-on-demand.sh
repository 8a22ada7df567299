#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Keys on demand, as an administrator sees them, and a ring with another program's key under
# construction.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/upcall.sh"

readonly target=nqn.2026-11.org.example:t pair="nvme-tls-psk:$HOST $SUBSYSTEM"

# --- refused

printf '[Manager]\nProvision=on-demand\n' >>"$conf"
daemon_start
like "refused: the log says so" "$(<"$log")" "Refused Provision=on-demand: this kernel never asks"
run ctl status
like "refused: so does the status" "$out" "Provision: resident.*: this kernel never asks"
id=$(add one a)
is "refused: the key is resident" "$(ring_names | wc -l)" 1
daemon_stop

# --- in force: what was resident gets a timeout

printf '[Manager]\nOnDemandForce=yes\nOnDemandTimeoutSec=55\n' >>"$conf"
daemon_start
run ctl status
like "on demand: status says so" "$out" "Provision: on demand, for 55 s"
# left SERIAL: seconds until its end
left() {
    awk -v s="$(printf '%08x' "$1")" '$1 == s && $4 ~ /s$/ { print $4 + 0 }' /proc/keys
}
name=$(ring_names)
between_ends() { [ "${1:-99}" -ge 10 ] && [ "${1:-99}" -le 55 ]; }
check "on demand: a resident key gets a timeout" between_ends "$(left "$(ring_serials "$name")")"
keyctl clear "$(ring)"

run ctl rotate "$id" --force < <(psk two)
is "rotate: succeeds" "$status" 0
is "rotate: no warning" "$err" ""
id=$(tail -n 1 <<<"$out")
is "rotate: nothing is published" "$(ring_names)" ""
like "list: no serial" "$(ctl list --no-legend)" "$id +active +host +- "
like "show: until it is asked for" "$(ctl show "$id")" "Key serial: none until the kernel asks for the key"
is "show: the lifetime, JSON" "$(ctl show "$id" --json=short | json 'o["key"]["lifetimeSec"]')" 55
run add three t --role=target
is "a target's key: no warning" "$err" ""
is "a target's key is resident" "$(ring_names | grep -c " $target")" 2

gets "a request" OK "$pair"
serial=$(text "$answer")
check "a request publishes the key for a while" between_ends "$(left "$serial")"
is "a request publishes the key under its identity" "$(ring_serials "$(ctl show "$id" --json=short | json 'o["key"]["identities"][0]["identity"]')")" "$serial"
run ctl remove "$id"
is "remove withdraws the key" "$(ring_names | grep -c " $SUBSYSTEM ")" 0

# --- the end: a request finds no daemon then, so a key on demand becomes resident

id=$(add four a)
is "before the end: the key is not in the ring" "$(ring_names | grep -c " $SUBSYSTEM ")" 0
daemon_stop
name=$(ring_names | grep " $SUBSYSTEM ")
serial=$(ring_serials "$name")
check "after SIGTERM the key is in the ring" test -n "$serial"
is "after SIGTERM the key has no timeout" "$(left "${serial:-0}")" ""
daemon_start
check "after the next start the key has a timeout" between_ends "$(left "$(ring_serials "$name")")"

# --- resident again

gets "a request, again" OK "$pair"
serial=$(text "$answer")
sed -i '/^Provision/d' "$conf"
kill -HUP "$daemon"
wait_for 60 grep -q "^$(printf '%08x' "$serial") .* perm " /proc/keys
result $? "after a reload the key has no timeout"
daemon_stop

# --- under construction: a process that reads such a key waits until it is made

# The number makes the command unique, so that pgrep finds no other.
maker="/bin/sleep 60.$$"
printf 'create\tuser\tNVMe*\t*\t%s\n' "$maker" >"$rule"
name=$(ring_names | grep " $SUBSYSTEM ")
# in a session without a link to the ring, or the kernel would find our key
keyctl session - keyctl request2 user "$name" "" "$(ring)" >/dev/null 2>&1 &
asker=$!
wait_for 60 grep -qE "^[0-9a-f]+ .{4}U.*$SUBSYSTEM " /proc/keys || bail "no key is under construction"
begin=$(date +%s%N)
daemon_start
check "while a key is under construction: start and sync succeed" ctl sync --no-legend
took=$((($(date +%s%N) - begin) / 1000000))
check "while a key is under construction: they do not wait for it ($took ms)" test "$took" -lt 30000
is "while a key is under construction: our key is published" "$(ring_hex "$name" | wc -c)" 64
kill "$(pgrep -fx "${maker##*/}|$maker")"
wait "$asker"
is "when its maker has been killed: our key is still published" "$(ring_hex "$name" | wc -c)" 64
install_rules

# --- a uid that the kernel prints as a negative number

as=(setpriv --reuid=3000000000 --regid=3000000000 --clear-groups)
request user "$pair"
like "uid 3000000000 gets nothing" "$result $held" '^E[A-Z]+ *(-|0)?$'
as=()
finish
