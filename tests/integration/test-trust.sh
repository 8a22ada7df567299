#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# An attacker replaces the store: the slots of the other store open, but the daemon uses it only if nothing
# says which store is the right one. The host key and the TPM are the test's own.
. "$(dirname "$0")/host-key.sh"

readonly OURS=nqn.2026-11.org.example:ours THEIRS=nqn.2026-11.org.example:theirs
cp "$conf" "$tmp/plain.conf"

daemon_environment=(-E "NVME_KEYD_TCTI=swtpm:path=$TPM" -E "NVME_KEYD_CREDS_SOCKET=$tmp/none")

start() {
    daemon_start "${daemon_environment[@]}"
}

# store_field LABEL: a field of the status, once the store is open or cannot be opened.
store_field() {
    wait_for 120 is_settled
    sed -n "s/^ *$1: //p" "$tmp/status"
}

stop() {
    daemon_rest
    daemon_stop
}

# configure LINE...: in [Store], for the next start.
configure() {
    cp "$tmp/plain.conf" "$conf"
    printf '%s\n' "[Store]" "$@" >>"$conf"
}

# put_in_place NAME: puts the store of that name into the directory.
put_in_place() {
    rm -rf "$state"
    cp -a "$tmp/$1" "$state"
}

# is_kept_out WHAT DETAIL: no key of the store is published, none is withdrawn, and all messages say why.
is_kept_out() {
    is "$1: not opened" "$(store_field Store)" unavailable
    is "$1: nothing is published, nothing removed" "$(ring_names | cut -d' ' -f3)" "$OURS"
    like "$1: status says why" "$(cat "$tmp/status")" "$2"
    refused "$1: list" 8 "$2" ctl list
    refused "$1: sync" 8 "$2" ctl sync
    refused "$1: generate" 8 "$2" ctl generate --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:new
    check "$1: the log says so" grep -qE "Cannot open the store: .*$2" "$log"
}

# --- two stores, of the same machine

start
add one ours >/dev/null || bail "add"
ours=$(ctl status --json=short | json 'o["store"].get("id")')
stop
cp -a "$state" "$tmp/ours"
names=$(ring_names)
rm -rf "$state"
mkdir -m 700 "$state"
start
add two theirs >/dev/null || bail "add"
theirs=$(ctl status --json=short | json 'o["store"].get("id")')
stop
cp -a "$state" "$tmp/theirs"
keyctl clear "$(ring)"
put_in_place ours
start
store_field Store >/dev/null
is "the keyring is that of the right store" "$(ring_names)" "$names"
like "status: the id of the store" "$(store_field 'Store ID')" '^[0-9a-f]{32}$'
is "status: it is the same each time" "$(store_field 'Store ID')" "$ours"
isnt_theirs() { [ "$ours" != "$theirs" ]; }
check "status: and another for another store" isnt_theirs
stop

# --- Id=

configure "Id=$ours"
put_in_place theirs
start
is_kept_out "Id=, another store" "Id= in nvme-keyd.conf expects $ours, and this is $theirs"
is "Id=, another store: no advice to open it" "$(grep -c "slot unlock" "$tmp/status")" 0
is "Id=, another store: JSON" "$(ctl status --json=short | json 'o["store"]["foreign"]')" True
stop
rm -rf "$state"
mkdir -m 700 "$state"
start
is_kept_out "Id=, no store" "there is no store in [^ ]+, and Id= in nvme-keyd.conf expects store $ours"
check "Id=, no store: none is made" test ! -e "$state/store"
stop
put_in_place ours
start
is "Id=, the right store" "$(store_field Store) $(ctl list --no-legend | wc -l)" "open 1"
stop
configure "Id=$ours"x
daemon_listen "${daemon_environment[@]}"
# The service may refuse to start, or start and open nothing.
is "Id=, a mistake: not opened" "$(ctl status 2>/dev/null | grep -c 'Store: open')" 0
daemon_stop

# --- OpenBy=

configure "OpenBy=tpm2 recovery"
start
is_kept_out "OpenBy=" "systemd-creds: it is sealed by the key host: OpenBy= in nvme-keyd.conf does not allow"
stop
configure "OpenBy=tpm2 systemd-creds:host"
start
is "OpenBy=: a key of systemd" "$(store_field Store)" open
stop

# --- a TPM that has a counter

if ! command -v swtpm >/dev/null; then
    skip "a TPM" "swtpm is not installed"
    finish
fi
tpm_start
configure
start
is "a TPM without a counter" "$(store_field Store)" open
check "a counter" ctl slot add tpm2 --tpm2-pcrs= --rollback-counter
stop
rm -rf "$tmp/ours"
cp -a "$state" "$tmp/ours"
start
is "the store with the counter" "$(store_field Store)" open
stop

put_in_place theirs
start
is_kept_out "a counter of another store" "the TPM has the rollback counter 0x1a0[0-9a-f]+ of another store, $ours"
counter=$(grep -oE "counter 0x1a0[0-9a-f]+ of" "$tmp/status" | cut -d' ' -f2)
stop
rm -rf "$state"
mkdir -m 700 "$state"
start
refused "a counter of another store: none is made" 8 "rollback counter $counter of another store, $ours" \
    ctl generate --hostnqn="$HOST" --subsysnqn="$THEIRS"
check "a counter of another store: nothing is left of it" test ! -e "$state/store"
stop
put_in_place theirs
configure OpenBy=systemd-creds
start
is_kept_out "a counter of another store, OpenBy= without the TPM" "the rollback counter $counter of another store, $ours"
stop
configure "Id=$theirs"
start
is "a counter of another store, but the right Id=" "$(store_field Store)" open
stop
configure OtherCounters=yes
start
is "OtherCounters=yes" "$(store_field Store)" open
stop

configure
put_in_place ours
start
refused "the counter of the store itself stays" 8 "belongs to the store that is here" ctl store forget "$counter"
stop
put_in_place theirs
start
refused "no such counter" 4 "no rollback counter" ctl store forget 0x1800001
refused "no index" 2 "such as 0x1a01234" ctl store forget "${counter#0x}"
run ctl store forget "$counter"
is "a counter of a store that is gone: removed" "$status$out$err" 0
is "a counter of a store that is gone: the other is opened" "$(store_field Store)" open
like "its keys are published" "$(ring_names)" "$THEIRS"
# owner_password: sets one, so that only its owner can use the TPM.
owner_password() {
    python3 - "$TPM" <<'PY'
import socket, struct, sys
SESSIONS, CHANGE_AUTH, OWNER, PASSWORD = 0x8002, 0x129, 0x40000001, 0x40000009
body = struct.pack(">II", OWNER, 9) + struct.pack(">IHBH", PASSWORD, 0, 0, 0)
body += struct.pack(">H", 5) + b"owner"
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(struct.pack(">HII", SESSIONS, 10 + len(body), CHANGE_AUTH) + body)
sys.exit(struct.unpack(">HII", s.recv(4096)[:10])[2])
PY
}

check "the log has it" grep -q "Rollback counter $counter of another store removed from the TPM by uid 0" "$log"
stop

# --- the warnings about a new store

new_store() {
    rm -rf "$state"
    mkdir -m 700 "$state"
    start
    run bash -c '"$@" <<<"$0"' "$(psk three)" "$build/nvme-keyctl" --socket="$varlink" add --hostnqn="$HOST" \
        --subsysnqn="$THEIRS" --json=short
}

new_store
is "a new store: two slots" "$status $(json 'o["storeMadeBy"]' <<<"$out")" "0 ['tpm2', 'systemd-creds']"
like "a new store: any boot opens it" "$err" "warning: slot [0-9a-f]{8} \(systemd-creds\) is bound to no PCR: any boot of this machine"
like "a new store: nothing is measured" "$err" "warning: slot [0-9a-f]{8} \(tpm2\) was sealed while nothing was measured into PCR 7 \(sha256\)"
is "a new store: JSON" "$(json 'len(o["warnings"])' <<<"$out")" 2
check "a new store: the log says so too" grep -q "Slot warning: slot .* (systemd-creds) is bound to no PCR" "$log"
stop
tpm_replace
tpm_start
check "the owner of the TPM has a password" owner_password
new_store
is "a TPM that is passed over: the other slot" "$status $(json 'o["storeMadeBy"]' <<<"$out")" "0 ['systemd-creds']"
like "a TPM that is passed over: a warning says why" "$err" "warning: the store has no slot by tpm2: cannot make a storage root key: the TPM's owner hierarchy has a password; .*nvme-keyctl slot add tpm2"
check "a TPM that is passed over: the log says so too" grep -q "Slot warning: the store has no slot by tpm2: cannot make a storage root key" "$log"
stop
tpm_stop
new_store
is "no TPM at all: no warning" "$status $(json 'o["storeMadeBy"], o["warnings"]' <<<"$out")" "0 (['systemd-creds'], [])"
stop

# --- a TPM that hangs, and is not what opens the store

tpm_replace
tpm_start
kill -STOP "$tpm"
keyctl clear "$(ring)"
# Well below the minute that a slot may take, and well above the time for the look at the counters.
sleep 40 &
patience=$!
daemon_listen "${daemon_environment[@]}"
run ctl sync
kill "$patience" 2>/dev/null
result $? "a TPM that hangs: keys that another slot opens do not wait for it for long"
is "a TPM that hangs: sync" "$status" 0
like "a TPM that hangs: the keys are published" "$(ring_names)" "$THEIRS"
check "a TPM that hangs: the journal has it" grep -q "Cannot check the TPM for the rollback counter" "$log"
kill -KILL "$tpm"
daemon_stop
finish
