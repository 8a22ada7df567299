#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# controllers, move and remove --when-unused, with copies of sysfs and debugfs in which a program plays the kernel.
. "$(dirname "$0")/lib.sh"

export NVME_KEYD_CONTROLLERS=$tmp/nvme NVME_KEYD_TARGET_HOSTS=$tmp/nvmet NVME_KEYD_TLS_STAT=$tmp/tls_stat
mkdir "$tmp/nvme"
daemon_start -E NVME_KEYD_CONTROLLERS -E NVME_KEYD_TARGET_HOSTS -E NVME_KEYD_TLS_STAT

: >"$tmp/resets"
python3 "$source/tests/integration/fake-kernel.py" "$tmp/nvme" "$tmp/resets" &
defer "kill $!"

# controller NAME SUBSYSTEM SERIAL [NEXT]: a live one that uses the key SERIAL, and NEXT after a reset.
controller() {
    local dir=$tmp/nvme/$1
    mkdir -p "$dir"
    echo "nqn.2026-11.org.example:$2" >"$dir/subsysnqn"
    echo "$HOST" >"$dir/hostnqn"
    echo tcp >"$dir/transport"
    echo "traddr=192.0.2.1,trsvcid=4420" >"$dir/address"
    echo 1 >"$dir/cntlid"
    : >"$dir/reset_controller"
    echo "${4-$3}" >"$dir/next_key"
    echo "$3" >"$dir/tls_key"
    echo live >"$dir/state"
}

# serial_of ID: in hexadecimal, as sysfs has it
serial_of() { ctl list --no-legend | awk -v id="$1" '$1 == id { print $4 }'; }
# stray DESCRIPTION: the serial of a key that is in no ring of nvme-keyd
stray() { printf '%08x\n' "$(keyctl add user "$1" 0123456789abcdef0123456789abcdef @s)"; }
resets() { grep -c "^$1" "$tmp/resets"; }
# connections JSON-EXPRESSION over the list
connections() { ctl controllers --json=short | json "[($1) for c in o['controllers']]"; }

# --- without a controller

run ctl controllers
is "none" "$status$out" "0"$'\n'"0 controllers with TLS."
run ctl move
is "move: none" "$status$out" "0No controller uses an old key."
run ctl move "$SUBSYSTEM"
is "move: no such subsystem" "$status" 4
like "move: no such subsystem, text" "$err" "no controller with TLS of that subsystem"
run ctl controllers --target
is "hosts: the kernel shows none" "$status" 1
like "hosts: text" "$err" "CONFIG_NVME_TARGET_DEBUGFS"
is "status: no controllers" "$(ctl status | grep -c Controllers)" 0

# --- the keys in use

a=$(add one a)
b=$(add two b)
sa=$(serial_of "$a") sb=$(serial_of "$b")
# The key of another program for the pair, which no handshake finds any more.
old=$(stray "NVMe1R01 $HOST nqn.2026-11.org.example:a VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwM=")
controller nvme0 a "$sa"
controller nvme1 b "$old" "$sb"
controller nvme2 unknown "$old"
controller nvme3 b "$sb"
echo 0000000b >"$tmp/nvme/nvme3/tls_configured_key"
controller nvme4 b "$sb"
echo concat >"$tmp/nvme/nvme4/tls_mode"
controller nvme5 b ""
echo connecting >"$tmp/nvme/nvme5/state"
is "the keys in use" "$(connections "c['key'], c['old']")" "[('active', False), ('foreign', True), ('foreign', False), \
('pinned', False), ('generated', False), ('none', False)]"
is "all about one" "$(connections "c['name'], c['state'], c['transport'], c['address'], c['controllerID'], c.get('identity', '')[:8]" | cut -d ')' -f 1)" \
    "[('nvme0', 'live', 'tcp', 'traddr=192.0.2.1,trsvcid=4420', 1, 'NVMe1R01'"
is "its keys, and its inode" "$(connections "c.get('keyID'), c.get('activeKeyID'), c.get('serial') == c.get('nextSerial'), c['inode']" | cut -d ')' -f 1)" \
    "[('$a', '$a', True, $(stat -c %i "$tmp/nvme/nvme0")"
is "since when its key is active" "$(connections "c.get('keySince')" | cut -d , -f 1)" "[$(ctl show "$a" --json=short | json "o['key']['changed']")"
is "no such time for a foreign key" "$(connections "'keySince' in c" | cut -d , -f 2)" " False"
run ctl controllers --no-legend
like "a line for each" "$out" "(^|"$'\n'")nvme0 live +active +$(date -d "@$(($(ctl show "$a" --json=short | json "o['key']['changed']") / 1000000))" '+%Y-%m-%d %H:%M') $a $sa nqn.2026-11.org.example:a +traddr=192.0.2.1,trsvcid=4420"
run ctl controllers
like "what to do" "$out" "6 controllers with TLS, 1 on an old key: run nvme-keyctl move\.$"
like "status: the sum" "$(ctl status)" "Controllers: 6 with TLS, 1 on the active key, 1 on an old key: run nvme-keyctl move"
is "status: JSON" "$(ctl status --json=short | json "{k: v for k, v in o['controllers'].items()}")" \
    "{'problems': [], 'total': 6, 'active': 1, 'old': 1, 'stalled': 0}"

# described METHOD: nothing, or what its interface does not allow in its replies
cat >"$tmp/described.py" <<'PY'
import sys

sys.path.insert(0, sys.argv[1])
from varlink import Connection, Interface

path, method = sys.argv[2:]
with Connection(path) as c:
    text = c.ask("org.varlink.service.GetInterfaceDescription", {"interface": "org.nvmekeyd.Manager"})
    interface = Interface(text["parameters"]["description"])
    c.call(f"org.nvmekeyd.Manager.{method}", more=method != "Status")
    while reply := c.reply():
        print(interface.fits(reply["parameters"], interface.methods[method][1]) or "", end="")
        if not reply.get("continues"):
            break
PY
described() { python3 "$tmp/described.py" "$source/tests/integration" "$varlink" "$1" 2>&1; }
is "the list is as described" "$(described ListControllers)$(described Status)" ""

# --- move

run ctl move --dry-run
is "dry run" "$status$(wc -c <"$tmp/resets")" 00
like "dry run: text" "$out" "nvme1: would be reset \(1 of 1\)"
run ctl move
is "move" "$status$err" 0
like "move: the old one" "$out" "nvme1: resetting \(1 of 1\)"$'\n'"nvme1: live after [0-9.]+ s, with the active key"
like "move: pinned stays" "$out" "nvme3: skipped: it was connected with a key of its own"
like "move: generated stays" "$out" "nvme4: skipped: the kernel generates its keys"
like "move: foreign without a key of ours stays" "$out" "nvme2: skipped: nvme-keyd has no key for its host and subsystem"
is "move: only that one was reset" "$(cat "$tmp/resets")" "reset nvme1"$'\n'"live nvme1"
run ctl move
like "move: nothing is left" "$out" "No controller uses an old key\.$"
rm -r "$tmp"/nvme/nvme[1-5]

# --- several paths

: >"$tmp/resets"
for i in 1 2 3; do
    controller "nvme$i" b "$old" "$sb"
    echo 0.5 >"$tmp/nvme/nvme$i/connecting"
done
run ctl move nqn.2026-11.org.example:b --json=short
is "paths: all are moved" "$status$(json 'sorted(o["moved"]), o["skipped"], o["left"]' <<<"$out")" \
    "0(['nvme1', 'nvme2', 'nvme3'], [], 0)"
is "paths: one after the other" "$(cut -d ' ' -f 1 "$tmp/resets" | tr '\n' ' ')" "reset live reset live reset live "
is "paths: one was live at every moment" "$(resets "no path")" 0

: >"$tmp/resets"
for i in 1 2; do
    controller "nvme$i" b "$old" "$sb"
done
rm -r "$tmp/nvme/nvme3"
echo connecting >"$tmp/nvme/nvme2/state"
run ctl move --timeout=1s
is "paths: not the last one" "$status$(resets reset)" 120
like "paths: not the last one, text" "$err" "nvme1: is the last of 2 paths to nqn.2026-11.org.example:b that takes requests"
(
    wait_for 60 grep -q waiting "$tmp/out"
    echo live >"$tmp/nvme/nvme2/new"
    mv "$tmp/nvme/nvme2/new" "$tmp/nvme/nvme2/state"
) &
run ctl move
like "paths: it waits for another one" "$status$out" "^0.*nvme1: waiting for another path to nqn.2026-11.org.example:b"$'\n'"nvme1: resetting"
is "paths: then one was live at every moment" "$(resets "no path")" 0
controller nvme1 b "$old" "$sb"
echo inaccessible >"$tmp/ana"
mkdir "$tmp/nvme/nvme2/nvme0c2n1"
cp "$tmp/ana" "$tmp/nvme/nvme2/nvme0c2n1/ana_state"
run ctl move --timeout=1s
is "paths: the other one serves nothing" "$status" 12
run ctl move --force
is "paths: forced" "$status$(resets "reset nvme1")" 02
rm -r "$tmp/nvme/nvme2"

# --- failures

: >"$tmp/resets"
controller nvme1 b "$old" "$sb"
run ctl move
like "one path: it is said" "$status$out" "^0.*nvme1: is the only path to nqn.2026-11.org.example:b, so requests wait"
for i in 1 2 3; do
    controller "nvme$i" b "$old" "$sb"
    touch "$tmp/nvme/nvme$i/fails"
done
: >"$tmp/resets"
run ctl move --timeout=1s
is "it does not come back" "$status" 12
like "it does not come back: text" "$err" "nvme[123]: is not live 1 s after its reset, but connecting"$'\n'
like "it does not come back: what is left" "$err" "stopped after this failure: 0 of 3 controllers were moved, 3 left$"
is "it does not come back: the others are left alone" "$(resets reset)" 1
rm -r "$tmp"/nvme/nvme[123]
controller nvme1 b "$old" "$sb"
touch "$tmp/nvme/nvme1/removed"
run ctl move --json=short
is "it is removed" "$status$(json 'o["moved"], o["left"]' <<<"$out")" "12([], 1)"
like "it is removed: text" "$err" "nvme1: the kernel has removed it"
controller nvme1 b "$old" "$sa"
run ctl move --timeout=1s
is "it finds another key" "$status" 12
like "it finds another key: text" "$err" "nvme1: is live again, but with the key $sa instead of $sb"

# While one is reset, another controller gets the name of the next.
for i in 1 2; do
    controller "nvme$i" b "$old" "$sb"
    echo 2 >"$tmp/nvme/nvme$i/connecting"
done
: >"$tmp/resets"
(
    wait_for 30 grep -q reset "$tmp/resets"
    next=nvme2
    grep -q "reset nvme1" "$tmp/resets" || next=nvme1
    mv "$tmp/nvme/$next" "$tmp/gone"
    controller "$next" c "$old" "$sb"
) &
run ctl move
is "another one has the name" "$status$(resets reset)" 01
like "another one has the name: text" "$out" "nvme[12]: skipped: another controller has got its name"
rm -r "$tmp"/nvme/nvme[12]

# The key that the reset would find is not there.
controller nvme1 b "$old" "$sb"
keyctl unlink "$((16#$sb))" "$(ring)"
run ctl move
is "no active key in the keyring" "$status" 12
like "no active key in the keyring: text" "$err" "so a reset would lose the controller: run nvme-keyctl sync"
ctl sync >/dev/null
rm -r "$tmp/nvme/nvme1"

# --- events

"$build/nvme-keyctl" --socket="$varlink" monitor --no-legend >"$tmp/events" &
monitor=$!
controller nvme1 b "$old"
has_moved() {
    # The service looks for readers every ten seconds; only what happens between two looks is seen.
    controller nvme1 b "$([ "$(cat "$tmp/nvme/nvme1/tls_key")" = "$sa" ] && echo "$old" || echo "$sa")"
    sleep 6
    grep -q "moved .* nvme1$" "$tmp/events"
}
check "a moved controller is an event" wait_for 60 has_moved
kill "$monitor"
wait "$monitor" 2>/dev/null

# --- requests that do not end

controller nvme1 b "$(serial_of "$b")"
mkdir "$tmp/nvme/nvme1/nvme1n1"
echo "9 0 0 0 0 0 0 0 1 0 0" >"$tmp/nvme/nvme1/nvme1n1/stat"
printf 'TlsRxRekeyOk 3\nTlsRxRekeyReceived 3\n' >"$tmp/tls_stat"
: >"$tmp/resets"
run ctl move --stalled
like "stalled: no KeyUpdate" "$status$out" "^0No peer has sent a KeyUpdate.*No controller is stalled\.$"
printf 'TlsRxRekeyOk 3\nTlsRxRekeyReceived 4\n' >"$tmp/tls_stat"
stalled() { ctl status --json=short | json "o['controllers']['stalled']"; }
wait_for 60 eval '[ "$(stalled)" = 1 ]'
is "stalled: status counts it" "$(stalled)" 1
like "stalled: status" "$(ctl status)" "requests of nvme1 of nqn.2026-11.org.example:b do not end after a KeyUpdate of its peer: run nvme-keyctl move --stalled"
run ctl status --check
like "stalled: status --check" "$status$out" "^1CRITICAL: requests of nvme1 of nqn.2026-11.org.example:b do not end"
like "stalled: status has the counters" "$(ctl status)" "Key updates: 4 received from peers, 3 carried out"
like "stalled: the log names it once" "$(grep -c "Requests of controller nvme1 of subsystem nqn.2026-11.org.example:b do not end" "$log")" "^1$"
is "stalled: the list" "$(connections "c['stalled']")" "[False, True]"
run ctl move --stalled
is "stalled: move" "$status$err" 0
like "stalled: move, text" "$out" "^Looking for requests.*nvme1: resetting \(1 of 1\)"$'\n'"nvme1: live after"
becomes "stalled: it was reset" 1 resets "reset nvme1"
rm -r "$tmp/nvme/nvme1"

# --- the hosts of a target

t=$(add three t --role=target)
old=$(serial_of "$t")
new=$(psk four | ctl rotate "$t" --force)
# host ID SERIALS: a connected one; the last serial is that of identity version 1
host() {
    mkdir -p "$tmp/nvmet/nqn.2026-11.org.example:t/ctrl$1"
    echo "$HOST" >"$tmp/nvmet/nqn.2026-11.org.example:t/ctrl$1/hostnqn"
    echo "${2##*,}" >"$tmp/nvmet/nqn.2026-11.org.example:t/ctrl$1/tls_key"
    echo 192.0.2.7:1234 >"$tmp/nvmet/nqn.2026-11.org.example:t/ctrl$1/host_traddr"
}
host 1 "$old"
host 2 "$(serial_of "$new")"
run ctl controllers --target --no-legend
like "hosts: the old key" "$out" "$HOST retiring [-0-9]{10} [:0-9]{5} $t ${old##*,} 192.0.2.7:1234 nqn.2026-11.org.example:t"
like "hosts: the new key" "$out" "$HOST active +[-0-9]{10} [:0-9]{5} $new"
is "hosts: JSON" "$(ctl controllers --target --json=short | json "sorted((h['controllerID'], h['key']) for h in o['hosts'])")" \
    "[(1, 'retiring'), (2, 'active')]"
is "hosts: the list is as described" "$(described ListHosts)" ""
run ctl remove "$t" --when-unused --timeout=1s
is "hosts: the key stays while it is used" "$status" 5
like "hosts: who uses it" "$out$err" "Key $t is still used by host $HOST.*so it stays"
(
    wait_for 60 grep -q "still used" "$tmp/out"
    host 1 "$(serial_of "$new")"
) &
run ctl remove "$t" --when-unused
is "hosts: removed when nobody uses it" "$status$err" 0
like "hosts: said" "$out" "still used by host $HOST\."$'\n'"No host uses key $t any more\."$'\n'"Removed the retiring key $t "
run ctl show "$t"
is "hosts: it is gone" "$status" 4
run ctl retire "$new"
is "retire: said who uses the key" "$status$(grep -c "Key $new is still used by 2 connections, one of host $HOST" <<<"$out")" 01
ctl activate "$new"
(
    wait_for 60 grep -q "still used" "$tmp/out"
    rm -r "$tmp/nvmet/nqn.2026-11.org.example:t"
) &
run ctl retire "$new" --when-unused --timeout=3s
like "retire: a host that is away may still have it" "$status$err" "^5.*is known to use the active key, so it stays"
ctl activate "$new"
mv "$tmp/nvmet" "$tmp/away"
run ctl retire "$new" --when-unused
is "retire: nothing is changed if the kernel does not show the hosts" \
    "$status $(ctl show "$new" --json=short | json 'o["key"]["state"]')" "1 active"
mv "$tmp/away" "$tmp/nvmet"
next=$(psk nine | ctl rotate "$new")
host 1 "$(serial_of "$next")"
check "retire: removed when its host uses another one" ctl retire "$new" --when-unused --timeout=60s
run ctl show "$new"
is "retire: it is gone" "$status" 4
rm -r "$tmp/nvmet/nqn.2026-11.org.example:t"
ctl remove "$next"
t=$(add five t --role=target)
host 1 "$(serial_of "$t")"
rm "$tmp/nvmet/nqn.2026-11.org.example:t/ctrl1/tls_key"
run ctl retire "$t" --json=short
is "retire: nothing is said about hosts" "$status$err" 0
run ctl remove "$t" --when-unused
like "hosts: keys not shown by the kernel" "$status$err" "^1.*not their keys"

# --- a switch while the controllers cannot be read

export NVME_KEYD_CONTROLLERS=$tmp/no-directory
daemon_restart -E NVME_KEYD_CONTROLLERS
old=$(add six s)
pending=$(psk seven | ctl rotate "$old" --no-block 2>/dev/null)
: >"$tmp/no-directory"
check "a switch without controllers" ctl activate "$pending" --force
like "a switch without controllers: both keys are there" "$(serial_of "$old") $(serial_of "$pending")" '^[0-9a-f]{8} [0-9a-f]{8}$'
both_stay() { grep -c "stay in the keyring until the controllers.*: Not a directory" "$log"; }
is_said() { [ "$(both_stay)" -gt 0 ]; }
check "a switch without controllers: said at the next try" wait_for 60 is_said
for _ in 1 2; do
    kill -HUP "$daemon" # tries as well
    ctl status >"$tmp/out"
done
is "a switch without controllers: said once" "$(both_stay)" 1
rm "$tmp/no-directory"
left() { [ "$(serial_of "$old")" = - ]; }
check "a switch without controllers: the old key goes when they can be read" wait_for 60 left

finish
