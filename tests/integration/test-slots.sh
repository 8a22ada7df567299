#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Slots that open the store are added, removed and resealed, and a recovery key opens it when no
# slot does. The host key and the TPM are the test's own.
. "$(dirname "$0")/host-key.sh"

# The test must not use the machine's TPM, nor its systemd, which has another host key.
daemon_environment=(-E "NVME_KEYD_TCTI=swtpm:path=$TPM" -E "NVME_KEYD_CREDS_SOCKET=$tmp/none")

start() {
    daemon_start "${daemon_environment[@]}"
}

# slots: "ID TYPE SEALED-BY OPENED" a line.
slots() {
    ctl slot list --no-legend | tr -s ' ' | cut -d ' ' -f -4
}

# slot_of TYPE: the id of the last one.
slot_of() {
    slots | awk -v t="$1" '$2 == t { id = $1 } END { print id }'
}

# Each call tries again to open a locked store.
store_status() {
    wait_for 120 is_settled
    cat "$tmp/status"
}

# "open tpm2", "unavailable -"
store_state() {
    store_status | awk -F ': ' '/ Store: / { state = $2 } / Sealed by: / { slot = $2; sub(/ \(opened it\).*/, "", slot) } END { print state, slot ? slot : "-" }'
}

stop() {
    daemon_rest
    daemon_stop
}

restart() {
    stop
    start
}

# other KEY GROUP: the recovery key with another character in that group, from 1.
other() {
    python3 - "$@" <<'PY'
import sys
groups, n = sys.argv[1].split("-"), int(sys.argv[2]) - 1
groups[n] = ("1" if groups[n][0] == "0" else "0") + groups[n][1:]
print("-".join(groups))
PY
}

# nowhere TEXT KEY: neither the recovery key nor the bytes it stands for are in the daemon's memory.
nowhere() {
    if grep -q __asan_init "$build/nvme-keyd"; then
        skip "$1: the recovery key is not in memory" "a sanitizer keeps what was freed"
        return
    fi
    python3 - "$2" >"$tmp/secrets" <<'PY'
import sys
digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
groups = sys.argv[1].split("-")
value = 0
for c in "".join(g[:4] for g in groups):
    value = value << 5 | digits.index(c)
print("raw", (value >> 4).to_bytes(32, "big").hex())
print("text", sys.argv[1].encode().hex())
PY
    is "$1: the recovery key is not in memory" \
        "$(python3 "$source/tests/integration/memory.py" "$daemon" <"$tmp/secrets" 2>"$tmp/scan.err")" ""
}

# on_terminal ANSWER WORD...: runs nvme-keyctl on a terminal, prints what it shows and its status. The
# answer is typed when the echo is off.
on_terminal() {
    "$python" - "$@" <<'PY'
import os, pty, select, subprocess, sys, termios, time
answer, command = sys.argv[1], sys.argv[2:]
master, slave = pty.openpty()
child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
shown, end = b"", time.monotonic() + 120
while time.monotonic() < end:
    if answer and not termios.tcgetattr(slave)[3] & termios.ECHO:
        os.write(master, answer.encode() + b"\n")
        answer = ""
    if select.select([master], [], [], 0.05)[0]:
        shown += os.read(master, 4096)
    elif child.poll() is not None:
        break
print(shown.decode().replace("\r\n", "\n"), end="")
print("status", child.wait(10))
PY
}

# --- no store

start
refused "no store: slot list" 8 "there is no store" ctl slot list
refused "no store: slot reseal" 8 "there is no store" ctl slot reseal
refused "no store: slot reseal of one" 8 "there is no store" ctl slot reseal 00000000
refused "no store: slot remove" 8 "there is no store" ctl slot remove 00000000

# --- usage

refused "slot alone is no verb" 2 "slot needs one of its commands" ctl slot
refused "an unknown verb" 2 "unknown command" ctl slot lsit
refused "slot add needs a type" 2 "slot add needs TYPE" ctl slot add
refused "slot remove needs an id" 2 "slot remove needs ID" ctl slot remove
refused "slot unlock takes no key as a word" 2 "unexpected argument after slot unlock: pass a secret by standard input" ctl slot unlock 00000-00000
refused "slot list takes no --force" 2 "slot list does not take --force" ctl slot list --force
refused "list takes no --tpm2-pcrs=" 2 "list does not take --tpm2-pcrs" ctl list --tpm2-pcrs=7
for pcrs in 24 7+ +7 7,11 7+7:sha512 secure-boot -1 0x7 999999999999 " 7"; do
    refused "--tpm2-pcrs=\"$pcrs\"" 2 "--tpm2-pcrs= needs numbers from 0 to 23, or names, joined by \+" \
        ctl slot add tpm2 --tpm2-pcrs="$pcrs"
done
refused "--tpm2-pcrs= of another type" 2 "need type tpm2" ctl slot add recovery --tpm2-pcrs=7
refused "--rollback-counter of another type" 2 "need type tpm2" ctl slot add systemd-creds --rollback-counter
refused "--with-key= of another type" 2 "needs type systemd-creds" ctl slot add tpm2 --with-key=host

# --- list

id=$(add one a) || bail "add"
creds=$(slot_of systemd-creds)
run ctl slot list
like "list" "$out" $'^ID +TYPE +SEALED BY/PCRS +OPENED +CREATED +COMMENT\n'"$creds +systemd-creds +host +yes +20[0-9-]+ +-"$'\n\n1 slot listed\.$'
is "list: says nothing else" "$status$err" 0
is "list: JSON" "$(ctl slot list --json=short | json 'o["authentic"], [(s["id"], s["type"], s["withKey"], s["opened"]) for s in o["slots"]]')" \
    "(True, [('$creds', 'systemd-creds', 'host', True)])"

# --- a KEK that the service manager hands in, of a slot that was resealed since

mkdir "$tmp/given"
head -c 32 /dev/urandom >"$tmp/given/nvme-keyd.kek"
stop
daemon_start "${daemon_environment[@]}" -E "CREDENTIALS_DIRECTORY=$tmp/given"
is "a handed-in KEK of another slot is passed over" "$(store_state)" "open systemd-creds"
restart

# --- add and remove

refused "the last slot stays" 5 "last slot" ctl slot remove "$creds"
refused "the last slot stays, forced" 5 "last slot" ctl slot remove "$creds" --force
refused "remove: an unknown id" 4 'no slot has the id "00000000"' ctl slot remove 00000000
refused "reseal: an unknown id" 4 'no slot has the id "00000000"' ctl slot reseal 00000000
refused "add: an unknown type" 3 "type" ctl slot add fido2
refused "add: an unknown key" 3 "host, tpm2, host\+tpm2" ctl slot add systemd-creds --with-key=none
refused "add: no key at all" 8 "no key" ctl slot add systemd-creds --with-key=null

run ctl slot add systemd-creds --with-key=host
second=$out
like "add: prints the id" "$status $out$err" '^0 [0-9a-f]{8}$'
is "add: it is there" "$(slots | sort)" "$(printf '%s\n' "$creds systemd-creds host yes" "$second systemd-creds host -" | sort)"
run ctl slot remove "$second"
is "remove: says nothing" "$status$out$err" 0
is "remove: it is gone" "$(slots)" "$creds systemd-creds host yes"

run ctl slot add recovery
recovery=${out%%$'\n'*} key=${out##*$'\n'}
like "recovery: prints id and key" "$status $out" $'^0 [0-9a-f]{8}\n([0-9A-HJKMNP-TV-Z]{5}-){12}[0-9A-HJKMNP-TV-Z]{5}$'
is "recovery: no note where no human reads" "$err" ""
nowhere "recovery" "$key"
is "recovery: listed" "$(slots | grep recovery)" "$recovery recovery - -"
is "recovery: the key is not shown again" "$(ctl slot list -j | grep -c "${key%%-*}")" 0
refused "the last slot that opens by itself stays" 5 "no other slot is known to open" ctl slot remove "$creds"
like "recovery: a note for humans" "$(on_terminal "" "$build/nvme-keyctl" --socket="$varlink" slot add recovery | grep -v █)" \
    $'^[0-9a-f]{8}\n[0-9A-Z-]{77}\nnvme-keyctl: keep this recovery key in a safe place: it is not shown again\nstatus 0$'
ctl slot remove "$(slot_of recovery)"
lost_key=$(ctl slot add recovery --json=short | json 'o["slot"]["type"] + " " + o["recoveryKey"]')
like "recovery: JSON" "$lost_key" '^recovery [0-9A-Z-]{77}$'
lost_key=${lost_key#* }
check "recovery: another one" test "$(slot_of recovery)" != "$recovery"
check "recovery: and its removal" ctl slot remove "$(slot_of recovery)"
before=$(slots | wc -l)
run bash -c '"$@" >/dev/full' bash "$build/nvme-keyctl" --socket="$varlink" slot add recovery
like "recovery: a key that cannot be printed" "$status $err" "^1 nvme-keyctl: cannot show the recovery key, so nothing was changed: standard output is full"
is "recovery: there is no slot for it" "$(slots | wc -l)" "$before"

# --- unlock

refused_with "unlock: the store is open" 5 "the store is open" "$key" ctl slot unlock
stop
mv "$host_key/credential.secret" "$tmp/host.secret"
keyctl clear "$(ring)"
told=$(grep -c "Cannot open the store: systemd-creds" "$log")
start
is "another host key: the store is locked" "$(store_state)" "unavailable -"
run store_status
like "another host key: status says why, and what to do" "$out" \
    $'Store: unavailable\n +: systemd-creds: [^\n]+\n +: recovery: needs the recovery key [^\n]*nvme-keyctl slot unlock[^\\n]*\\n'
is "another host key: nothing is published" "$(ring_names)" ""
run ctl slot list
like "locked: the slots are listed" "$status $out" "^0 .*$creds +systemd-creds +host +- .*"$'\n'"$recovery +recovery +- +-"
is "locked: a warning says that they are not verified" "$err" "nvme-keyctl: warning: the store is locked, so its slots are not verified"
is "locked: JSON" "$(ctl slot list --json=short 2>/dev/null | json 'o["authentic"]')" False
# locked COMMAND...: it prints a line for each slot and changes nothing.
locked() {
    before=$(store_digest)
    run ctl "$@"
    [ "$status" -eq 8 ] && [ -z "$out" ] && [ "$(store_digest)" = "$before" ] &&
        [[ $err =~ ^"nvme-keyctl: "[^$'\n']*"systemd-creds: "[^$'\n']+$'\nnvme-keyctl: '[^$'\n']*"recovery: needs the recovery key"[^$'\n']+$ ]]
    result $? "locked: $*" || diag "status: $status" "stderr: $err" "stdout: $out"
}
locked slot add recovery
locked slot remove "$recovery"
locked slot reseal
locked list
# Each of these calls has tried to open the store again.
is "locked: the log has it once" "$(($(grep -c "Cannot open the store: systemd-creds" "$log") - told))" 1

for group in 1 5 13; do
    refused_with "unlock: group $group is mistyped" 3 "group $group of the recovery key has a typing error" "$(other "$key" "$group")" ctl slot unlock
done
swapped=$(awk -F - -v OFS=- '{ t = $2; $2 = $3; $3 = t; print }' <<<"$key")
refused_with "unlock: two groups swapped" 3 "group [0-9]+ of the recovery key has a typing error" "$swapped" ctl slot unlock
refused_with "unlock: too short" 3 "this is no recovery key, which has 13 groups of 5" "${key%-*}" ctl slot unlock
refused_with "unlock: a character that it never has" 3 "this is no recovery key" "u${key:1}" ctl slot unlock
refused_with "unlock: nothing" 3 "standard input holds no recovery key|this is no recovery key" "" ctl slot unlock
refused_with "unlock: no line of this size" 3 "too long for a recovery key" "$(printf '0%.0s' {1..5000})" ctl slot unlock
refused "unlock: no such file" 3 "cannot open /nonexistent" ctl slot unlock --key-file=/nonexistent
refused_with "unlock: the recovery key of another store" 3 "it is not the recovery key of this store" "$lost_key" ctl slot unlock

lines=$(($(wc -l <"$log") + 1))
run ctl slot unlock <<<" ${key,,} "
like "unlock" "$status$err $out" "^0 Slot $recovery opened the store until nvme-keyd stops\. Run nvme-keyctl slot reseal"
is "unlock: the store is open" "$(store_state)" "open recovery"
like "unlock: all keys are published" "$(ring_names)" "^NVMe1R01 $HOST $SUBSYSTEM [^ ]+$"
like "unlock: status says for how long" "$(ctl status)" $'Sealed by: recovery \\(opened it\\), systemd-creds\n +: opened by hand, until nvme-keyd stops: run nvme-keyctl slot reseal'
is "unlock: the slot is marked" "$(slots | sort)" "$(printf '%s\n' "$creds systemd-creds host -" "$recovery recovery - yes" | sort)"
is "unlock: status --check" "$(ctl status --check)"$'\n'"$?" $'CRITICAL: only a recovery key opens the store: run nvme-keyctl slot reseal\n8'
since() { tail -n "+$lines" "$log" | grep -o "Keyring reconciled: .*"; }
becomes "unlock: the log counts what was added" "Keyring reconciled: 0 keys kept, 1 added, 0 removed" since
nowhere "unlock" "$key"
refused_with "unlock: not twice" 5 "the store is open" "$key" ctl slot unlock
restart
is "unlock: until the service stops" "$(store_state)" "unavailable -"
shown=$(on_terminal "$key" "$build/nvme-keyctl" --socket="$varlink" slot unlock)
like "unlock: a prompt" "$shown" $'^Recovery key: \nSlot .* opened the store .*status 0$'
check "unlock: it shows nothing of the answer" test "${shown/${key:0:10}/}" = "$shown"
restart
install -m 600 /dev/null "$tmp/key"
printf '%s\n' "$recovery" "$(tr - ' ' <<<"$key")" >"$tmp/key" # as "slot add" printed it, or nearly so
run ctl slot unlock --key-file="$tmp/key" --json=short
is "unlock: from a file, JSON" "$status$err $(json 'o["slot"]["id"], o["slot"]["type"], o["slot"]["opened"]' <<<"$out")" "0 ('$recovery', 'recovery', True)"

# --- reseal

run ctl slot reseal
is "reseal: prints the slot" "$status$err $out" "0 $creds"
is "reseal: status does not ask for it any more" "$(ctl status | grep -c 'slot reseal') $(ctl status --check | cut -d : -f 1)" "0 OK"
is "reseal: the same slots" "$(slots | cut -d ' ' -f 1-3 | sort)" "$(printf '%s\n' "$creds systemd-creds host" "$recovery recovery -" | sort)"
restart
is "reseal: the store opens by itself" "$(store_state)" "open systemd-creds"
like "reseal: all keys are there" "$(ctl list --no-legend)" "^$id active host [0-9a-f]{8} "
run ctl slot reseal "$recovery" --comment="in the safe"
like "reseal: a recovery key gets another one" "$status$err $out" "^0 $recovery"$'\n''[0-9A-Z-]{77}$'
old_key=$key key=${out##*$'\n'}
other=$(ctl slot add recovery --comment="at home" --json=short | json 'o["slot"]["id"]')
is "recovery: told apart by their comments" "$(ctl slot list --json=short | json '{s["id"]: s["comment"] for s in o["slots"] if "comment" in s}["'"$other"'"]')" "at home"
like "recovery: and by their dates" "$(ctl slot list --no-legend | grep "^$recovery")" " 20[0-9]{2}-[0-9]{2}-[0-9]{2} in the safe$"
ctl slot reseal "$other" >/dev/null 2>&1
like "reseal: the comment stays" "$(ctl slot list --no-legend | grep "^$other")" " at home$"
refused "slot add: a comment of two lines" 3 "comment" ctl slot add recovery --comment=$'a\nb'
ctl slot remove "$other"
is "reseal: of one, JSON" "$(ctl slot reseal "$creds" --with-key=host --json=short | json 'o["slot"]["id"], o["slot"]["withKey"]')" "('$creds', 'host')"
is "reseal: with the same key as before" "$(ctl slot reseal "$creds" --json=short | json 'o["slot"]["withKey"]')" host
is "reseal: JSON" "$(ctl slot reseal --json=short | json '[s["id"] for s in o["slots"]]')" "['$creds']"

# --- with a recovery key alone

check "the last slot that opens by itself goes when forced" ctl slot remove "$creds" --force
restart
is "a recovery key alone: locked" "$(store_state)" "unavailable -"
refused_with "unlock: the recovery key that it had before" 3 "it is not the recovery key of this store" "$old_key" ctl slot unlock
ctl slot unlock <<<"$key" >/dev/null
refused "a recovery key alone: nothing to reseal" 4 "no slot of type tpm2 or systemd-creds: add one with nvme-keyctl slot add" ctl slot reseal
refused "a recovery key alone: it stays" 5 "last slot" ctl slot remove "$recovery" --force
creds=$(ctl slot add systemd-creds)
restart
is "another slot: the store opens by itself" "$(store_state)" "open systemd-creds"

# --- for members of the group

stop
readonly GROUP_ID=46711
chmod 711 "$tmp"
# Only the name that daemon_listen calls.
systemd-socket-activate() {
    exec setpriv --regid="$GROUP_ID" --clear-groups "$(type -P systemd-socket-activate)" "$@"
}
start
unset -f systemd-socket-activate
chmod 666 "$varlink"
member() {
    setpriv --reuid=65534 --regid=65534 --groups="$GROUP_ID" "$build/nvme-keyctl" --socket="$varlink" "$@"
}
run member slot list --no-legend
like "a member may list" "$status$err $out" "^0 .*$creds +systemd-creds "
refused "a member may not add" 6 "permission denied" member slot add recovery
refused "a member may not remove" 6 "permission denied" member slot remove "$recovery"
refused "a member may not reseal one" 6 "permission denied" member slot reseal "$creds"
refused "a member may not reseal" 6 "permission denied" member slot reseal
refused_with "a member may not unlock" 6 "permission denied" "$key" member slot unlock
refused "another user may not list" 6 "permission denied" \
    setpriv --reuid=65534 --regid=65534 --clear-groups "$build/nvme-keyctl" --socket="$varlink" slot list
chmod 700 "$tmp"

# --- a TPM

if ! command -v swtpm >/dev/null; then
    skip "a TPM" "swtpm is not installed"
    finish
fi

# pcr_extend PCR: as changed firmware would.
pcr_extend() {
    python3 - "$TPM" "$1" <<'PY'
import socket, struct, sys
SESSIONS, EXTEND, PASSWORD, SHA256 = 0x8002, 0x182, 0x40000009, 0x0B
body = struct.pack(">II", int(sys.argv[2]), 9) + struct.pack(">IHBH", PASSWORD, 0, 0, 0)
body += struct.pack(">IH", 1, SHA256) + b"x" * 32
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(struct.pack(">HII", SESSIONS, 10 + len(body), EXTEND) + body)
sys.exit(struct.unpack(">HII", s.recv(4096)[:10])[2])
PY
}

restart
refused "no TPM: slot add" 8 "TPM" ctl slot add tpm2
tpm_start
run ctl slot add tpm2 --tpm2-pcrs=7+14
tpm2=$out
like "a TPM: slot add" "$status $out" '^0 [0-9a-f]{8}$'
like "a TPM: a warning: nothing is measured" "$err" "warning: slot $tpm2 \\(tpm2\\) was sealed while nothing was measured into PCRs 7, 14 \\(sha256\\), so it is not bound to what this machine boots"
like "a TPM: a warning: another slot is bound to no PCR" "$err" "warning: slot $creds \\(systemd-creds\\) is bound to no PCR: any boot of this machine opens the store by it, whatever slot $tpm2 \\(tpm2\\) is bound to"
is "a TPM: there are two warnings" "$(wc -l <<<"$err")" 2
run ctl slot list
is "a TPM: slot list warns" "$(grep -c ': warning: slot ' <<<"$err")" 2
is "a TPM: slot list: JSON" "$(ctl slot list --json=short | json 'len(o["warnings"]), [s.get("unmeasured") for s in o["slots"] if s["type"] == "tpm2"]')" "(2, [[7, 14]])"
check "a TPM: the log warns" grep -q "Slot warning: slot $creds (systemd-creds) is bound to no PCR" "$log"
run ctl slot add tpm2 --tpm2-pcrs=7:sha384+14
is "a TPM: a bank of choice" "$status $(slots | grep "${out:-none}")" "0 $out tpm2 7+14:sha384 -"
is "a TPM: reseal: the bank stays" "$(ctl slot reseal "$out" 2>/dev/null) $(slots | grep "${out:-none}")" "$out $out tpm2 7+14:sha384 -"
ctl slot remove "$out" 2>/dev/null
refused "a TPM: no such bank" 2 "a bank, such as 7\\+14:sha384" ctl slot add tpm2 --tpm2-pcrs=7:sha512
check "firmware measures" pcr_extend 7
check "firmware measures into the next PCR" pcr_extend 14
run ctl slot reseal "$tpm2"
is "a TPM: sealed to what was measured: no warning" "$status$err $out" "0 $tpm2"
is "a TPM: slot list has no such warning" "$(ctl slot list 2>&1 | grep -c 'nothing was measured')" 0
is "a TPM: listed" "$(slots | grep tpm2)" "$tpm2 tpm2 7+14:sha256 -"
is "a TPM: JSON" "$(ctl slot list --json=short | json '[(s["pcrs"], s["bank"]) for s in o["slots"] if s["type"] == "tpm2"]')" "[([7, 14], 'sha256')]"
restart
is "a TPM: it opens the store" "$(store_state)" "open tpm2"
is "a TPM: slot list marks it as the opener" "$(slots | awk '$4 == "yes" { print $1 }')" "$tpm2"
check "a PCR changes" pcr_extend 14
restart
is "a PCR changed: the next slot opens it" "$(store_state)" "open systemd-creds"
check "a PCR changed: the keys are there" test -n "$(ring_names)"
run ctl slot reseal
is "a PCR changed: reseal" "$status$err $(sort <<<"$out")" "0 $(printf '%s\n' "$creds" "$tpm2" | sort)"
is "reseal: to the same PCRs" "$(slots | grep tpm2)" "$tpm2 tpm2 7+14:sha256 -"
restart
is "resealed: it opens the store again" "$(store_state)" "open tpm2"
is "reseal: to other PCRs, by name" "$(ctl slot reseal --tpm2-pcrs=secure-boot-policy+kernel-boot --with-key=host | wc -l) $(slots | grep tpm2)" \
    "2 $tpm2 tpm2 7+11:sha256 yes"
check "a PCR that it is not bound to changes" pcr_extend 14
restart
is "a PCR that it is not bound to changes: it opens the store all the same" "$(store_state)" "open tpm2"
is "reseal: to no PCR" "$(ctl slot reseal "$tpm2" --tpm2-pcrs=) $(slots | grep tpm2)" "$tpm2 $tpm2 tpm2 none yes"
refused "reseal: no --with-key= for a TPM" 3 "withKey" ctl slot reseal "$tpm2" --with-key=host

tpm_stop
run ctl slot reseal
is "reseal without a TPM: the other slot is resealed" "$status $out" "8 $creds"
like "reseal without a TPM: names the slot that it cannot reseal" "$err" "^nvme-keyctl: slot $tpm2 \(tpm2\): [^"$'\n'"]+$"
tpm_replace
tpm_start
restart
is "another TPM: the next slot opens the store" "$(store_state)" "open systemd-creds"
run ctl slot reseal
is "another TPM: reseal: the other slot is resealed" "$status $out" "8 $creds"
like "another TPM: reseal asks for --new-tpm" "$err" "^nvme-keyctl: slot $tpm2 \\(tpm2\\): this is another TPM [^"$'\n'"]+ --new-tpm$"
refused "another TPM: slot add" 8 "another TPM .* --new-tpm" ctl slot add tpm2 --rollback-counter
is "another TPM: no notice" "$(grep -c "another TPM than the store knew" "$log")" 0
refused "another TPM: not for another type" 2 "need type tpm2" ctl slot add systemd-creds --new-tpm
run ctl slot reseal --new-tpm
is "another TPM: reseal --new-tpm" "$status$err" 0
is "another TPM: a notice" "$(grep -c "Slot $tpm2 (tpm2) is sealed by another TPM than the store knew: uid 0 let the store trust it" "$log")" 1
restart
is "another TPM: it opens the store" "$(store_state)" "open tpm2"

# --- a counter in the TPM

run ctl slot reseal --rollback-counter
is "a rollback counter: reseal" "$status$err $(wc -l <<<"$out")" "0 2"
like "a rollback counter: slot list mentions it" "$(ctl slot list)" "slots listed\. A counter of the TPM detects old copies of the store\.$"
is "a rollback counter: JSON" "$(ctl slot list --json=short | json 'o["rollbackCounter"]')" True
refused "a rollback counter: one is enough" 3 "has a rollback counter already" ctl slot add tpm2 --rollback-counter
restart
is "a rollback counter: the store opens" "$(store_state)" "open tpm2"
stop
cp -a "$state" "$tmp/copy"
start
for one in b c d; do
    add "$one" "$one" >/dev/null
done
restart
is "a rollback counter: the store opens after changes" "$(store_state)" "open tpm2"
stop
rm -rf "$state"
mv "$tmp/copy" "$state"
start
is "an old copy: locked" "$(store_state)" "unavailable -"
like "an old copy: status says so" "$(store_status)" "old copy: the TPM has counted [0-9]+ changes since"
check "an old copy: unlock" ctl slot unlock --no-legend <<<"$key"
run ctl slot reseal --rollback-counter
is "an old copy: reseal" "$status$err" 0
restart
is "an old copy: it is the store now" "$(store_state)" "open tpm2"

# --- all of it lost: what to do with a restored copy of the store

stop
tpm_stop
rm -f "$host_key/credential.secret"
start
is "another machine: locked" "$(store_state)" "unavailable -"
like "another machine: each slot has its line, and then what to do" "$(store_status)" \
    $'unavailable\n +: tpm2: [^\n]+\n +: systemd-creds: [^\n]+\n +: recovery: needs the recovery key'
check "another machine: each has one in the log" grep -q "Cannot open the store: systemd-creds: " "$log"
run ctl list
is "another machine: each has one in an error" "$status $(grep -cE '^nvme-keyctl: (tpm2|systemd-creds|recovery): ' <<<"$err") $(wc -l <<<"$err")" "8 3 3"
check "another machine: unlock" ctl slot unlock --no-legend <<<"$key"
for slot in $(slots | awk '$2 == "tpm2" || $2 == "systemd-creds" { print $1 }'); do
    ctl slot remove "$slot" --force
done
ctl slot add systemd-creds >/dev/null
restart
is "another machine: slots of its own" "$(store_state)" "open systemd-creds"
check "another machine: the keys are there" test -n "$(ring_names)"

# --- a place where no store can be made, or opened for another reason than its slots

stop
store=$state state=$tmp/read-only
mkdir -m 700 "$state"
mount --bind "$state" "$state"
mount -o remount,bind,ro "$state"
start
refused_with "a read-only directory: its name and the reason" 8 "$state: Read-only file system" "$(psk one)" \
    ctl add --hostnqn="$HOST" --subsysnqn="$SUBSYSTEM"
stop
umount "$state"
state=$store
chmod 750 "$state"
start
like "another mode: status says so" "$(store_status)" "mode 0750, not 0700"
is "another mode: no recovery key helps" "$(store_status | grep -c 'recovery key')" 0
stop
chmod 700 "$state"
cp "$state/store" "$tmp/store"
truncate -s 100 "$state/store"
start
like "a damaged header: status says so" "$(store_status)" "store file"
is "a damaged header: no recovery key helps" "$(store_status | grep -c 'recovery key')" 0
stop
cp "$tmp/store" "$state/store"
start

# --- no key at all

printf '[Store]\nAllowNullKey=yes\n' >>"$conf"
restart
run ctl slot add systemd-creds --with-key=null
null=$out
is "AllowNullKey=yes: slot add" "$status$err $(slots | grep "$null")" "0 $null systemd-creds null -"
rm -f "$host_key/credential.secret"
restart
is "AllowNullKey=yes: it opens the store" "$(slots | grep yes)" "$null systemd-creds null yes"
sed -i 's/^AllowNullKey=yes/AllowNullKey=no/' "$conf"
restart
is "AllowNullKey=no: it does not" "$(store_state)" "unavailable -"
like "AllowNullKey=no: status says so" "$(store_status)" "sealed with no key"

# --- the log

for what in "Slot $tpm2 \\(tpm2\\) added by uid 0" "Slot $tpm2 \\(tpm2\\) resealed by uid 0" \
    "Slot $second removed by uid 0" "Store opened with a recovery key by uid 0"; do
    check "the log: $what" grep -qE "$what" "$log"
done
check "the log has no recovery key" test "$(grep -cF -e "${key:0:11}" -e "${old_key:0:11}" "$log")" -eq 0
finish
