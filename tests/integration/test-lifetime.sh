#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The lifetime of a key: its end is reported, in the log once, and the key goes on to work.
. "$(dirname "$0")/lib.sh"

daemon_start

expires() { ctl show "$1" --json=short | json 'o["key"].get("expires", 0) - o["key"]["created"]'; }
expired() { grep -c "The lifetime of key $1 " "$log"; }

plain=$(add one a)
long=$(add two b --lifetime=90d)
generated=$(ctl generate --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:c --lifetime=1w)
is "without a lifetime: none" "$(ctl show "$plain" --json=short | json '"expires" in o["key"]')" False
is "add: it ends so long after the key was made" "$(expires "$long")" $((90 * 86400 * 1000000))
is "generate: same" "$(expires "$generated")" $((7 * 86400 * 1000000))
check "show: says when" grep -qE '^ +Expires: [A-Z][a-z]{2} 2' <(ctl show "$long")
check "list: has a column for it" grep -qE ' EXPIRES *$' <(ctl list)
new=$(ctl rotate "$long" --generate --force)
is "rotate: the new key gets the same lifetime" "$(expires "$new")" $((90 * 86400 * 1000000))
new=$(ctl rotate "$new" --generate --force --lifetime=30d)
is "rotate --lifetime=: or this one" "$(expires "$new")" $((30 * 86400 * 1000000))
refused "a lifetime of nothing" 2 "--lifetime= needs a time" ctl add --subsysnqn=nqn.x:x --lifetime=0
refused "a lifetime that is none" 2 "--lifetime= needs a time" ctl add --subsysnqn=nqn.x:x --lifetime=soon
check "all is well" ctl status --check

short=$(add three d --lifetime=2s)
names=$(ring_names)
becomes "its end is logged, without a call" 1 expired "$short"
is "no other is" "$(grep -c 'The lifetime of key' "$log")" 1
is "the key stays in the keyring" "$(ring_names)" "$names"
check "list: an exclamation mark" grep -qE "^$short .* [0-9-]{10}! *$" <(ctl list)
like "status: counts it" "$(ctl status)" "1 past the end of their lifetime"
run ctl status --check
like "status --check: fails" "$status $out" "^1 CRITICAL: 1 keys are past the end of their lifetime"
kill -HUP "$daemon"
ctl sync >/dev/null
is "it is logged once" "$(expired "$short")" 1
ctl rotate "$short" --generate --force --lifetime=1d >/dev/null
check "rotated: all is well again" ctl status --check

# --- by the configuration

sleep 2
printf '[Manager]\nMaxAgeSec=1s\n[Keyring]\nStandIn=yes\n' >"$conf"
kill -HUP "$daemon"
becomes "MaxAgeSec=: a key without a lifetime of its own is reported" 1 expired "$plain"
is "one with a lifetime is not" "$(expired "$generated")" 0

before=$(wc -l <"$log")
for i in {1..12}; do echo "$HOST nqn.2026-11.org.example:many$i: $(psk "many$i")"; done >"$tmp/keys"
chmod 600 "$tmp/keys"
check "many keys of one age" ctl import "$tmp/keys"
becomes "many keys: one line has the number of most of them" 1 grep -c "The lifetimes of 7 more keys are over" "$log"
is "many keys: the first ones are named" "$(tail -n +"$((before + 1))" "$log" | grep -c "The lifetime of key .*:many")" 5

# --- list --older-than=

is "--older-than=: none is that old" "$(ctl list --older-than=1h --json=short | json 'len(o["keys"])')" 0
is "--older-than=: all are older" "$(ctl list --older-than=1ms --json=short | json 'len(o["keys"])')" "$(ctl list --json=short | json 'len(o["keys"])')"
refused "--older-than= needs a time" 2 "--older-than= needs a time" ctl list --older-than=old

finish
