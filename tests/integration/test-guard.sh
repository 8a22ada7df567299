#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The guard: what other programs take out of the keyring is back within seconds, and keys of theirs beside
# ours are named, or taken out if that is configured. The stand-in of the keyring has keys of type user, which
# are updated where those of type psk are displaced; guests do that, see tests/vm/scenarios/47-guard.sh.
. "$(dirname "$0")/lib.sh"

printf '[Keyring]\nStandIn=yes\n' >"$conf"
daemon_start

# serial NAME: of the key in the keyring whose description contains it.
serial() {
    local s
    for s in $(keyctl rlist "$(ring)"); do
        ! keyctl rdescribe "$s" 2>/dev/null | grep -qF "$1" || echo "$s"
    done
}
# logged PATTERN: a line of the log, within ten seconds.
logged() { wait_for 10 grep -qE "$1" "$log"; }
put_back() { ctl status --json=short | json 'o["guard"]["putBack"]'; }

host=$(add one a)
target=$(add two b --role=target)
all=$(ring_names)
is "keys: a host's, and the two of a target" "$(wc -l <<<"$all")" 3
is "status: nothing had to be put back" "$(put_back)" 0
# Their own permissions keep other programs from these keys, but not the owner of the keyring.
possess() { keyctl link "$(ring)" @s; }
possess

keyctl clear "$(ring)"
becomes "cleared: all keys are back" "$all" ring_names
check "and the log has the cause" logged "Put key $host for $SUBSYSTEM back into the keyring: [0-9a-f]{8} had left the keyring with all the others"
is "status: the number" "$(put_back)" 3
is "status: the cause" "$(ctl status --json=short | json 'o["guard"]["cause"]')" cleared
like "status: for people" "$(ctl status)" "Guard: looking, 3 keys put back"
like "status --check: still OK, with the number" "$(ctl status --check)" "^OK: .*, 3 put back \(the last one was cleared\)"

old=$(serial "example:a ")
keyctl unlink "$old" "$(ring)"
becomes "unlinked: it is back" "$all" ring_names
check "and the log has the cause" logged "$host for .* had been unlinked"

old=$(serial "example:a ")
keyctl revoke "$old"
becomes "revoked: it is back" "$all" ring_names
check "and the log has the cause" logged "$host for .* had been revoked"
is "and no dead key is left" "$(keyctl rlist "$(ring)" | wc -w)" 3

old=$(serial "example:a ")
keyctl timeout "$old" 1
check "expired: the log has the cause" logged "$host for .* had expired"
becomes "and it is back" "$all" ring_names

# Readers must not hide a loss from the guard.
keyctl clear "$(ring)"
ctl list >/dev/null
becomes "cleared, and read at once: all keys are back" "$all" ring_names
is "and they are counted" "$(put_back)" 9

# --- keys of other programs

put_foreign() { keyctl padd user "$1" "$(ring)" <<<"a PSK of another program"; }
foreign="NVMe1R01 $HOST $SUBSYSTEM xHAzkPd1F0wDt4yXIEcMLGYjqV2lZtV8Cc0hUhVUnXA="
generated="NVMe1G01 $HOST $SUBSYSTEM xHAzkPd1F0wDt4yXIEcMLGYjqV2lZtV8Cc0hUhVUnXA="
theirs=$(put_foreign "$foreign")
put_foreign "$generated" >/dev/null
check "a foreign key beside ours: the log names it" logged "$(printf '%08x' "$theirs") is a second key for $SUBSYSTEM"
like "status: names it" "$(ctl status)" "$(printf '%08x' "$theirs") is a second key"
like "status --check: fails" "$(ctl status --check)" "^CRITICAL: key $(printf '%08x' "$theirs")"
is "list: the key has a rival" "$(ctl list --json=short | json '[k.get("rivals") for k in o["keys"] if k["id"] == "'"$host"'"]')" "[[$theirs]]"
keyctl unlink "$theirs" "$(ring)"
becomes "without it the status is good again" 0 eval 'ctl status --check >/dev/null; echo $?'

# The kernel compares only the names, so these are found as well.
malformed=$(put_foreign "NVMe1R01 $HOST $SUBSYSTEM not a digest")
check "a malformed name for our pair: the log names it" logged "$(printf '%08x' "$malformed") has no valid identity, but the kernel finds it for $SUBSYSTEM"
is "list: it is a rival" "$(ctl list --json=short | json '[k.get("rivals") for k in o["keys"] if k["id"] == "'"$host"'"]')" "[[$malformed]]"
longer="NVMe1R01 $HOST ${SUBSYSTEM}bc xHAzkPd1F0wDt4yXIEcMLGYjqV2lZtV8Cc0hUhVUnXA="
shadow=$(put_foreign "$longer")
check "a longer subsystem NQN: the log names it" logged "$(printf '%08x' "$shadow") is for a subsystem whose NQN begins with $SUBSYSTEM"

printf '[Keyring]\nStandIn=yes\nForeign=displace\n' >"$conf"
kill -HUP "$daemon"
becomes "Foreign=displace: the malformed one is taken out, not the one of another pair" "$(sort <<<"$all"$'\n'"$generated"$'\n'"$longer")" ring_names
keyctl unlink "$shadow" "$(ring)"
theirs=$(put_foreign "$foreign")
becomes "Foreign=displace: it is taken out, and the generated key stays" "$(sort <<<"$all"$'\n'"$generated")" ring_names
check "and the log says so" logged "foreign key $(printf '%08x' "$theirs") for $SUBSYSTEM was taken out"
is "but it was not revoked" "$(keyctl rdescribe "$theirs" 2>&1 | grep -c revoked)" 0
check "status: no problem is left" ctl status --check

# --- without a guard

printf '[Keyring]\nStandIn=yes\nGuard=no\n' >"$conf"
kill -HUP "$daemon"
becomes "Guard=no: off" False eval 'ctl status --json=short | json "o[\"guard\"][\"looking\"]"'
keyctl clear "$(ring)"
sleep 5
is "Guard=no: what is cleared stays so" "$(ring_names)" ""
check "until it is reconciled" ctl sync
is "then all keys are back" "$(ring_names)" "$all"
is "the target's key was never touched" "$(ctl show "$target" --json=short | json 'o["key"]["state"]')" active

finish
