#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# nvme-keyd --preload: all keys once, without sockets, as an initramfs without a service manager does it.
# A boot waits for it, so each failure is one line, in time.
. "$(dirname "$0")/lib.sh"

readonly GROUP=12345

# preload [OPTION...]: as in an image, where only /etc/group has the number of the group.
printf 'root:x:0:\nnvme-keyd:x:%s:\n' "$GROUP" >"$tmp/group"
preload() {
    # shellcheck disable=SC2016 # expands inside
    unshare --mount bash -c 'mount --bind "$1" /etc/group && shift && exec "$@"' bash "$tmp/group" \
        env STATE_DIRECTORY="$state" "$build/nvme-keyd" -c "$conf" --preload "$@"
}
# The keys that belong to the group of the daemon.
ring_marked() {
    local serial
    for serial in $(keyctl rlist "$(ring)" 2>/dev/null); do
        keyctl rdescribe "$serial" 2>/dev/null
    done | grep -c "^user;0;$GROUP;"
}
ring_serials() { keyctl rlist "$(ring)" | tr ' ' '\n' | sort; }
took_ms() {
    local start=${EPOCHREALTIME/./}
    "$@"
    took=$(((${EPOCHREALTIME/./} - start) / 1000))
}

# --- nothing to publish from

run preload
is "no store: 8" "$status$err" "8nvme-keyd: No store in $state, so there are no keys to publish"
is "no store: none was made" "$(find "$state" -name store)" ""
run env --unset=STATE_DIRECTORY "$build/nvme-keyd" -c "$tmp/nowhere" --preload --timeout
like "a timeout without a value" "$status$err" "^1.*requires an argument"
state=$tmp/nowhere run preload
like "no directory: 8" "$status$err" "^8nvme-keyd: No store in $tmp/nowhere"
check "no directory: none was made" test ! -e "$tmp/nowhere"
refused "a timeout that is none" 1 '--timeout= cannot be "soon"' preload --timeout=soon
refused "a timeout without end" 1 '--timeout= cannot be "infinity"' preload --timeout=infinity
refused "a timeout that is as good as none" 1 '--timeout= cannot be "9000000000": .*at most a day' preload --timeout=9000000000
refused "a timeout of more than a day" 1 '--timeout= cannot be "86401"' preload --timeout=86401
refused "a timeout of a day" 8 "No store" preload --timeout=86400

# --- all keys

daemon_start
for name in one two three; do
    add "$name" "$name" >/dev/null || bail "nvme-keyctl add"
done
names=$(ring_names)
refused "a daemon has the store open: 8, when the time is over" 8 \
    "^nvme-keyd: Cannot open the store: .*another process has the store open" preload --timeout=1
daemon_stop

keyctl clear "$(ring)"
printf '[Manager]\nIdleExitSec=29\n[Keyring]\nStandIn=yes\nnonsense\n' >"$tmp/bad.conf"
run preload -c "$tmp/bad.conf"
is "mistakes in the configuration: 0" "$status" 0
like "mistakes in the configuration: each is reported" "$err" "$tmp/bad.conf:2: IdleExitSec= .*$tmp/bad.conf:5: not an option"
is "mistakes in the configuration: the keys are there" "$(ring_names)" "$names"
keyctl clear "$(ring)"
run preload
is "all keys: 0" "$status" 0
is "all keys: one line" "$err" "nvme-keyd: Keyring reconciled: 0 keys kept, 3 added, 0 removed"
is "all keys: they are those of the daemon" "$(ring_names)" "$names"
is "all keys: with the mark of the daemon" "$(ring_marked)" 3
before=$(ring_serials)
run preload
is "again: all were right" "$err" "nvme-keyd: Keyring reconciled: 3 keys kept, 0 added, 0 removed"
is "again: the same keys" "$(ring_serials)" "$before"
check "the store is not held" flock --nonblock "$state" true
is "no socket" "$(find "$tmp" -type s -newer "$tmp/err")" ""

daemon_start
is "the daemon that comes later keeps them" "$(ring_serials)" "$before"
daemon_stop

# --- the group

printf 'root:x:0:\n' >"$tmp/group"
refused "no group: 1" 1 "^nvme-keyd: The group nvme-keyd is missing, so the keys cannot be marked" preload
run setpriv --regid 4711 --clear-groups env STATE_DIRECTORY="$state" "$build/nvme-keyd" -c "$conf" --preload
is "a group that the caller has set is taken" "$status$err" \
    "0nvme-keyd: Keyring reconciled: 3 keys kept, 0 added, 0 removed"
printf 'root:x:0:\nnvme-keyd:x:%s:\n' "$GROUP" >"$tmp/group"

# --- another process has the store, for a moment

keyctl clear "$(ring)"
flock --close "$state" sleep 2 &
took_ms run preload
is "a lock that is let go: 0" "$status$err" "0nvme-keyd: Keyring reconciled: 0 keys kept, 3 added, 0 removed"
wait $!
{ flock 9 && exec sleep 60; } 9<"$state" &
holder=$!
is_held() { ! flock --nonblock "$state" true; }
wait_for 60 is_held
took_ms refused "a lock that is kept: 8" 8 "another process has the store open" preload --timeout=2
{ [ "$took" -ge 1900 ] && [ "$took" -lt 40000 ]; }
result $? "a lock that is kept: given up in time" || diag "$took ms"
for signal in TERM HUP; do
    setpriv --regid "$GROUP" --clear-groups env STATE_DIRECTORY="$state" "$build/nvme-keyd" -c "$conf" --preload \
        --timeout=600 2>"$tmp/waiting" &
    waiting=$!
    wait_for 60 grep -q '^SigBlk:[[:space:]]0*[1-9a-f]' "/proc/$waiting/status"
    kill -s "$signal" "$waiting"
    wait "$waiting"
    is "SIG$signal while it waits: 8, and why" "$?$(<"$tmp/waiting")" \
        "8nvme-keyd: Cannot open the store: $state: another process has the store open"
done
kill "$holder"
wait "$holder" 2>/dev/null

# --- a key whose time is over

printf '[Manager]\nRetireSec=1\n[Keyring]\nStandIn=yes\n' >"$tmp/short.conf"
cp -a "$state" "$tmp/good"
cp "$conf" "$tmp/long.conf"
cp "$tmp/short.conf" "$conf"
daemon_start
old=$(add target target --role=target)
ctl rotate "$old" --generate --force >/dev/null
# At once, before the daemon itself withdraws the old key.
kill -KILL "$daemon"
daemon_stop
sleep 1.2
keyctl clear "$(ring)"
before=$(store_digest)
run preload
is "a retired key: is not published" "$status$err" \
    "0nvme-keyd: Keyring reconciled: 0 keys kept, 5 added, 0 removed"
is "a retired key: the store is as it was" "$(store_digest)" "$before"
cp "$tmp/long.conf" "$conf"
rm -rf "$state"
cp -a "$tmp/good" "$state"

# --- a store that does not open

python3 - "$state/store" <<'PY'
import json, sys
path = sys.argv[1]
lines = open(path).read().split("\n")
header = json.loads(lines[0])
for slot in header["slots"]:
    if slot["type"] == "systemd-creds":
        c = slot["credential"]
        slot["credential"] = c[:40] + ("A" if c[40] != "A" else "B") + c[41:]
lines[0] = json.dumps(header, separators=(",", ":"))
open(path, "w").write("\n".join(lines))
PY
keyctl clear "$(ring)"
refused "no slot opens it: 8" 8 "^nvme-keyd: Cannot open the store: .*systemd-creds" preload
is "no slot opens it: nothing is published" "$(ring_names)" ""
rm -rf "$state"
cp -a "$tmp/good" "$state"

printf '[Keyring]\nStandIn=no\n' >"$tmp/real.conf"
if grep -q ' keyring *\.nvme: ' /proc/keys; then
    skip "no keyring: 9" "this kernel has .nvme"
else
    refused "no keyring: 9" 9 "^nvme-keyd: Nothing published: .*load nvme_keyring" preload -c "$tmp/real.conf"
    is "no keyring: nothing is promised" "$(grep -c appears <<<"$err")" 0
fi

# --- records that cannot be used

broken=$(sed -n 's/^{"id":"\([0-9a-f]*\)".*example:two.*/\1/p' "$state/store")
edit_store flip "$broken"
keyctl clear "$(ring)"
before=$(store_digest)
run preload
is "a broken record: 8, and which it is, how many, what to do, and what became of the others" "$status$err" \
    "8nvme-keyd: Record $broken: authentication failed
nvme-keyd: 1 records of the store are broken: restore the store from a backup, or remove these keys (see nvme-keyctl list) and add them again
nvme-keyd: Keyring reconciled: 0 keys kept, 2 added, 0 removed"
is "a broken record: the other keys are published" "$(ring_names | grep -c 'example:\(one\|three\) ')" 2
NVME_KEYD_LOG_LEVEL=err run preload
is "a broken record: the store is as it was" "$(store_digest)" "$before"
is "a broken record: it is an error, not a warning" "$status $(wc -l <"$tmp/err")" "8 2"
edit_store cut
keyctl clear "$(ring)"
run preload
like "all records broken: 8" "$status$err" "^8.*: 3 records of the store are broken: .*: Keyring reconciled: 0 keys kept, 0 added"
rm -rf "$state"
cp -a "$tmp/good" "$state"

# --- a TPM

if ! command -v swtpm >/dev/null; then
    skip "a TPM" "needs swtpm"
    finish
fi
tpm_start
state=$tmp/sealed
mkdir -m 700 "$state"
export NVME_KEYD_TCTI=swtpm:path=$TPM
daemon_start -E "NVME_KEYD_TCTI=$NVME_KEYD_TCTI"
add one one >/dev/null 2>&1 || bail "nvme-keyctl add"
ctl slot remove --force "$(ctl slot list --no-legend | grep systemd-creds | cut -d ' ' -f 1)" || bail "slot remove"
daemon_stop
keyctl clear "$(ring)"
tpm_stop

took_ms refused "no TPM: 8, when the time is over" 8 "^nvme-keyd: Cannot open the store: .*there is no TPM" preload --timeout=3
[ "$took" -ge 2900 ]
result $? "no TPM: it was waited for" || diag "$took ms"
preload --timeout=60 2>"$tmp/waiting" &
waiting=$!
sleep 2
tpm_start
wait "$waiting"
is "a TPM that comes later: 0" "$?$(<"$tmp/waiting")" "0nvme-keyd: Keyring reconciled: 0 keys kept, 1 added, 0 removed"
daemon_start -E "NVME_KEYD_TCTI=$NVME_KEYD_TCTI"
ctl slot add systemd-creds >/dev/null 2>&1 || bail "slot add"
daemon_stop
tpm_stop
keyctl clear "$(ring)"
run preload
is "no TPM, and a slot that needs none: one line" "$status$err" \
    "0nvme-keyd: Keyring reconciled: 0 keys kept, 1 added, 0 removed"
tpm_start
daemon_start -E "NVME_KEYD_TCTI=$NVME_KEYD_TCTI"
ctl slot remove --force "$(ctl slot list --no-legend | grep systemd-creds | cut -d ' ' -f 1)" || bail "slot remove"
daemon_stop
kill -STOP "$tpm"
keyctl clear "$(ring)"
took_ms refused "a TPM that does not answer: 8" 8 \
    "^nvme-keyd: Cannot open the store: a TPM or systemd-creds has not answered in time" preload --timeout=2
[ "$took" -lt 40000 ]
result $? "a TPM that does not answer: given up in time" || diag "$took ms"
for signal in TERM HUP; do
    setpriv --regid "$GROUP" --clear-groups env STATE_DIRECTORY="$state" "$build/nvme-keyd" -c "$conf" --preload \
        --timeout=600 2>"$tmp/waiting" &
    waiting=$!
    # Its child waits for the TPM.
    wait_for 60 pgrep -P "$waiting" >/dev/null || bail "the store is not being opened"
    kill -s "$signal" "$waiting"
    wait "$waiting"
    is "a TPM that does not answer, and SIG$signal: 8, and the signal is the cause" "$?$(<"$tmp/waiting")" \
        "8nvme-keyd: Cannot open the store: a signal ended the wait for a TPM or systemd-creds"
done

finish
