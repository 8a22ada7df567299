#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Which keys list shows, in which order, and which one the beginning of an ID or an NQN means.
. "$(dirname "$0")/lib.sh"

# names OPTION...: the names of the listed subsystems, in their order.
names() { ctl list --no-legend "$@" | awk '{ sub(/.*:/, "", $6); print $6 }' | paste -sd ' '; }

daemon_start
c=$(add one c)
a=$(add two a)
b=$(add three b --role=target)
new=$(psk four | ctl rotate "$b")

is "list: by subsystem, a successor after its predecessor" "$(names)" "a b b c"
is "list: the same in JSON" "$(ctl list --json=short | json '[k["id"] for k in o["keys"]]')" "['$a', '$b', '$new', '$c']"
is "list: --subsysnqn=" "$(names --subsysnqn="$SUBSYSTEM")" a
is "list: --hostnqn=" "$(names --hostnqn="$HOST")" "a b b c"
is "list: --hostnqn= of no key" "$(names --hostnqn=nqn.2026-11.org.example:nobody)" ""
is "list: --role=" "$(names --role=host)" "a c"
is "list: --state=" "$(names --state=retiring)" b
is "list: two filters" "$(names --role=target --state=active)" b
is "list: filters of JSON" "$(ctl list --state=retiring --json=short | json '[k["id"] for k in o["keys"]]')" "['$b']"
refused "list: an unknown state" 2 "--state= must be pending, active, retiring, revoked, broken or overridden" ctl list --state=dead

# The shortest beginning that no other key has.
short_of() {
    local n=1
    while [ "$(ctl list --no-legend | grep -c "^${1:0:n}")" -gt 1 ]; do n=$((n + 1)); done
    echo "${1:0:n}"
}
meant() { ctl show "$1" --json=short | json 'o["key"]["id"]'; }
for id in "$a" "$b" "$new" "$c"; do
    short=$(short_of "$id")
    is "show: the beginning of an ID" "$(meant "$short")" "$id"
    is "show: in capitals" "$(meant "${short^^}")" "$id"
    is "show: a whole ID in capitals" "$(meant "${id^^}")" "$id"
done
is "show: the NQN of a subsystem" "$(meant "$SUBSYSTEM")" "$a"
is "show: an NQN means its active key" "$(meant nqn.2026-11.org.example:b)" "$new"
refused "show: an NQN of no key" 4 "no active key has the subsystem NQN nqn.2026-11.org.example:x$" ctl show nqn.2026-11.org.example:x
psk five | ctl add --hostnqn=nqn.2026-11.org.example:other --subsysnqn="$SUBSYSTEM" --role=target >/dev/null
refused "show: an NQN of two keys" 2 "2 active keys have this NQN, so give the ID of one: [0-9a-f]{16}, [0-9a-f]{16}$" ctl show "$SUBSYSTEM"
like "show: and which they are" "$err" "$a"

# Seventeen IDs have two that begin alike.
for i in {10..26}; do psk "n$i" | ctl add --hostnqn="$HOST" --subsysnqn="nqn.2026-11.org.example:n$i" >/dev/null; done
twice=$(ctl list --no-legend | cut -c 1 | sort | uniq -d | head -n 1)
refused "remove: an ambiguous beginning" 2 "keys begin with $twice, so give more of the ID: $twice" ctl remove "$twice"
refused "remove: no such beginning" 4 "no key has an ID that begins with 0123456789abcde$" ctl remove 0123456789abcde
refused "remove: too long for an ID" 4 "" ctl remove 0123456789abcdef0
refused "remove: neither an ID nor an NQN" 4 "" ctl remove any
short=$(short_of "$c")
run ctl remove "$short"
is "remove: by its beginning" "$status$(names --subsysnqn=nqn.2026-11.org.example:c)" 0

slot=$(ctl slot list --no-legend | awk 'NR == 1 { print $1 }')
ctl slot add recovery >/dev/null 2>&1
recovery=$(ctl slot list --no-legend | awk '$2 == "recovery" { print $1 }')
n=1
while [ "${recovery:0:n}" = "${slot:0:n}" ]; do n=$((n + 1)); done
run ctl slot remove "${recovery:0:n}"
is "slot remove: by its beginning" "$status$(ctl slot list --no-legend | grep -c "^$recovery")" 00
refused "slot remove: no such beginning" 4 "no slot has an ID that begins with" ctl slot remove "${recovery:0:7}"
finish
