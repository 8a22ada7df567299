#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The life of a key on the command line: each verb, its times, and how it is refused. The rules are those
# of tests/unit/test-rotation.c and test-ending.c.
. "$(dirname "$0")/lib.sh"

printf '[Manager]\nRetireSec=1h\n[Keyring]\nStandIn=yes\n' >"$conf"
daemon_start

# state ID: as list shows it, or "gone".
state() { ctl list --json=short | json "([k['state'] for k in o['keys'] if k['id'] == '$1'] + ['gone'])[0]"; }
# of ID MEMBER
of() { ctl show "$1" --json=short | json "o['key'].get('$2', '-')"; }
# in_ring ID: how many of its identities are in the keyring.
in_ring() { ctl show "$1" --json=short | json "sum('serial' in i for i in o['key']['identities'])"; }

# --- a host

old=$(add one a)
run ctl rotate "$old" --generate --force
new=$out
is "rotate: the new key" "$status $(state "$new") $(in_ring "$new") $(of "$new" succeeds)" "0 active 1 $old"
is "rotate: the old one is kept, and not offered" "$(state "$old") $(in_ring "$old") $(of "$old" step)" "retiring 0 remove"
run ctl rotate --revert "$new" --force
is "revert prints the key that is active again" "$status $out" "0 $old"
is "revert: both keys" "$(state "$old") $(in_ring "$old") $(state "$new") $(in_ring "$new")" "active 1 retiring 0"
daemon_stop
daemon_start
run ctl rotate --revert "$new" --force
is "revert after a restart, by the other key" "$status $out $(state "$old") $(in_ring "$new")" "0 $new retiring 1"
refused "revert: nothing else" 2 "takes no other option" ctl rotate --revert "$new" --generate
refused "retire: the only key of a host" 5 "the only one of its pair" ctl retire "$new"
refused "activate: the active key" 5 "nothing to do" ctl activate "$new"

run ctl rotate "$new" --generate --in=1d --comment=later
third=$out
is "rotate --in: pending until then" "$status $(state "$third") $(in_ring "$third") $(of "$third" step) $(state "$new")" "0 pending 0 activate active"
refused "rotate: one successor" 5 "key $third is pending already" ctl rotate "$new" --generate
refused "rotate: a pending key" 5 "key $third is pending: activate or remove it first" ctl rotate "$third" --generate
refused "retire: the successor is named" 5 "activate key $third" ctl retire "$new"
run ctl list
like "list: the next step" "$out" "NEXT STEP" "$third +pending.* activate 20[0-9-]{8} [0-9]{2}:[0-9]{2}"
run ctl show "$third"
like "show: the next step" "$out" "Next step: activate 20[0-9-]{8} [0-9]{2}:[0-9]{2}" "Succeeds: $new"
run ctl activate "$third" --at=never
is "--at=never drops the step" "$status$err $(of "$third" step)" "0 -"
refused "--at=never: nothing planned" 5 "nothing is planned" ctl activate "$third" --at=never
check "activate" ctl activate "$third" --force
is "activate: both keys" "$(state "$third") $(in_ring "$third") $(state "$new") $(in_ring "$new")" "active 1 retiring 0"

# --- a target

target=$(add two t --role=target)
run ctl rotate "$target" --same-psk --derivation=compat
compat=$out
is "rotate --same-psk: the target has both" "$status $(state "$compat") $(in_ring "$compat") $(state "$target")" "0 active 2 retiring"
is "rotate --same-psk: version 0 is said" "$(grep -c 'warning.*identity version 0' <<<"$err")" 1
is "rotate --same-psk: another derivation" "$(of "$compat" derivation)" compat
refused "rotate --same-psk: nothing changes" 3 "has already" ctl rotate "$compat" --same-psk
refused "rotate --same-psk: a hash of another size" 3 "cannot have the hash sha384" ctl rotate "$compat" --same-psk --hmac=sha384
run ctl rotate "$compat" --same-psk --identity-version=1
v1=$out
is "rotate: other identity versions" "$status $(of "$v1" identityVersions)" "0 [1]"
refused "rotate: ways to a PSK" 2 "exclude each other" ctl rotate "$v1" --same-psk --generate

variant=$(add two t --role=target --identity-version=1 --derivation=rfc8446)
is "add: two derivations side by side" "$(state "$variant") $(state "$v1")" "active active"

zero=$(add zero z --role=target --identity-version=0)
refused "rotate: a cutover" 5 "identity version 0 only" ctl rotate "$zero" --generate
run ctl rotate "$zero" --generate --in=1h
is "rotate: a cutover at a time" "$status $(state "$out")" "0 pending"
ctl remove "$out"
run ctl rotate "$zero" --generate --force
is "rotate: a cutover that is forced" "$status $(state "$out") $(in_ring "$zero")" "0 active 0"

# --- both keys of a target in one identity

both=$(add both b --role=target)
run ctl rotate "$both" --generate --in=1h
like "a pending key waits for version 0: nothing is missing" "$(ctl status --check)" "^OK: "
is "the old key has both versions" "$(in_ring "$both") $(in_ring "$out")" "2 1"
pending=$out
check "retire the old one" ctl retire "$both"
is "a retiring key keeps version 0" "$(in_ring "$both") $(in_ring "$pending")" "2 1"
check "activate" ctl activate "$pending"
is "then the active one has it" "$(in_ring "$both") $(in_ring "$pending")" "1 2"
like "and nothing is missing" "$(ctl status --check)" "^OK: "
is "the journal says that nothing is missing" "$(grep -c "Key \($both\|$pending\) is stored, but not in" "$log")" 0
ctl remove "$pending" >/dev/null
ctl remove "$both" >/dev/null

# --- revoke

run ctl revoke "$v1"
is "revoke" "$status$err $(state "$v1") $(in_ring "$v1")" "0 revoked 0"
is "revoke: each derivation of the PSK" "$(state "$variant") $(in_ring "$variant")" "revoked 0"
refused "revoke: again" 5 "nothing to do" ctl revoke "$v1"
refused "activate: a revoked key" 5 "it never returns" ctl activate "$v1"
refused "rotate: a revoked key" 5 "it never returns" ctl rotate "$v1" --generate
other=$(add six t --role=target)
refused_with "rotate: to a revoked PSK" 3 "this PSK was revoked" "$(psk two)" ctl rotate "$other"
install -m 600 /dev/null "$tmp/file"
echo "$HOST nqn.2026-11.org.example:t $(psk two)" >"$tmp/file"
ctl remove "$other"
refused "import: of a revoked PSK" 3 "this PSK was revoked" ctl import "$tmp/file" --role=target
other=$(add six t --role=target)
daemon_stop
daemon_start
is "revoke: after a restart" "$(state "$v1") $(in_ring "$v1")" "revoked 0"

# --- times

for verb in activate retire revoke remove; do
    refused "$verb: no such time" 2 "needs a time, such as" ctl "$verb" "$other" --at=soon
    refused "$verb: a time in the past" 2 "in the past" ctl "$verb" "$other" --at=2020-01-01
    refused "$verb: no such span" 2 "needs a time span" ctl "$verb" "$other" --in=soon
    refused "$verb: both" 2 "exclude each other" ctl "$verb" "$other" --in=1h --at=tomorrow
    refused "$verb: --force at a time" 2 "cannot be planned" ctl "$verb" "$other" --force --in=1h
done
check "retire --at" ctl retire "$other" --at=tomorrow
is "retire --at: a step" "$(state "$other") $(of "$other" step)" "active retire"
check "revoke --in takes its place" ctl revoke "$other" --in=1h
is "revoke --in: a step" "$(state "$other") $(of "$other" step)" "active revoke"
check "revoke --in: sooner" ctl revoke "$other" --in=1s
becomes "revoke --in: at its time" revoked state "$other"
check "the journal says so" wait_for 5 grep -q "Key $other for host .* revoked as planned" "$log"
check "remove --in" ctl remove "$other" --in=1s
becomes "remove --in: at its time" gone state "$other"
check "the journal names the key that is gone" wait_for 5 grep -q "Key $other for host $HOST and subsystem .* removed as planned" "$log"
run ctl retire "$(add five r --role=target)"
is "retire: a target needs no successor" "$status$err" 0
check "--at=now" ctl remove "$v1" --at=now
is "--at=now is at once" "$(state "$v1")" gone

finish
