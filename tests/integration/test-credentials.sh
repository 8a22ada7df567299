#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Handed-in keys: published without a store, beside one and before one, listed, refused,
# overridden, and nowhere in memory, on the disk or in the log.
. "$(dirname "$0")/host-key.sh"

readonly own=$tmp/own fetched=$tmp/fetched
mkdir -m 700 "$own" "$fetched"
# The test must not use the machine's TPM, nor its systemd, which has another host key.
each=(-E "CREDENTIALS_DIRECTORY=$own" -E "NVME_KEYD_CREDENTIALS_DIRECTORY=$fetched"
    -E "NVME_KEYD_TCTI=swtpm:path=$tmp/none" -E "NVME_KEYD_CREDS_SOCKET=$tmp/none")

one=$(psk one) two=$(psk two 2) three=$(psk three)
secrets=("$one" "$two" "$three")

# logged REGEX: how many lines of the log it has.
logged() {
    grep -cE "$1" "$log"
}

# state_of ID
state_of() {
    ctl show "$1" --json=short | json 'o["key"]["state"]'
}

# --- no store

cat >"$own/nvme-keyd.psk" <<END
# what the hypervisor gives
$HOST $SUBSYSTEM $one

role=target identity-version=0,1 $HOST nqn.2026-11.org.example:t $two
END
printf '%s\nrole=none %s %s %s' "$three" "$HOST" nqn.2026-11.org.example:bad "$three" >"$own/nvme-keyd.psk.bad"
echo "$HOST nqn.2026-11.org.example:f $three" >"$fetched/nvme-keyd.psk.f"
echo yes >"$fetched/nvme-keyd.fetched"
echo "$HOST nqn.2026-11.org.example:no $three" >"$fetched/nvme-keyd.other"
daemon_start "${each[@]}"

is "the handed-in keys are published at the start" "$(ring_names | cut -c 1-8 | sort | uniq -c | awk '{ print $1 $2 }' | xargs)" "1NVMe0R02 2NVMe1R01 1NVMe1R02"
run ctl list
like "list: a column for the credential" "$out" "FINGERPRINT +CREDENTIAL"$'\n'
like "list: a handed-in key, with its credential" "$out" " $HOST +$SUBSYSTEM +1 +[^ ]+ +nvme-keyd\.psk"$'\n'
like "list: a key of a fetched credential, too" "$out" " nvme-keyd\.psk\.f"$'\n'
like "list: three keys in all" "$out" $'\n\n'"3 keys listed\.$"
id=$(ctl list --json=short | json '[k["id"] for k in o["keys"] if k["credential"] == "nvme-keyd.psk" and k["role"] == "host"][0]')
like "show: names the credential" "$(ctl show "$id")" "Credential: nvme-keyd\.psk"
is "show: it has no times" "$(ctl show "$id" --json=short | json '"created" in o["key"]')" False
run ctl status
like "status: still no store" "$out" "Store: absent"
like "status: credentials" "$out" "Credentials: 3 keys, 0 overridden by the store"$'\n'
like "status: the ignored line" "$out" "credential nvme-keyd\.psk\.bad, line 1: not a line of a key file"
like "status: the line with a wrong option" "$out" "credential nvme-keyd\.psk\.bad, line 2: options are role="
is "one warning for each line" "$(logged 'Ignored: credential nvme-keyd\.psk\.bad, line [12]: ')" 2
check "no store was made" test ! -e "$state/store"
refused "rotate" 5 "$id is a handed-in key: change its credential nvme-keyd\.psk at its source" ctl rotate "$id" --generate
refused "remove" 5 "$id is a handed-in key" ctl remove "$id"
run ctl sync
is "sync: all identities are right" "$out" "4 right, 0 added, 0 removed"

# --- the next instance

before=$(keyctl rlist "$(ring)")
daemon_restart "${each[@]}"
is "the next instance leaves the keys alone" "$(keyctl rlist "$(ring)")" "$before"
is "the next instance gives them the same ids" "$(ctl list --json=short | json "'$id' in [k['id'] for k in o['keys']]")" True
rm "$own/nvme-keyd.psk.bad" "$fetched/nvme-keyd.psk.f"
daemon_restart "${each[@]}"
is "a key whose credential is gone is withdrawn" "$(ring_names | grep -c 'example:f')" 0
is "the keys of the other credentials stay" "$(ring_names | wc -l)" 3

# --- a credential that vanishes while it is in use

text=$(<"$own/nvme-keyd.psk")
rm "$own/nvme-keyd.psk"
keyctl clear "$(ring)"
refused "a vanished one: sync names it, and says what to do" 8 \
    "cannot read the handed-in PSK for [^ ]+ from credential nvme-keyd\.psk any more \(No such file or directory\): hand it in again, or drop the key" \
    ctl sync
echo "$text" >"$own/nvme-keyd.psk"
run ctl sync
is "a vanished one: its keys are published once it is back" "$status $out" "0 0 right, 3 added, 0 removed"
rm "$own/nvme-keyd.psk"
keyctl clear "$(ring)"
kill -HUP "$daemon"
no_keys() { [ "$(ctl list --json=short | json 'len(o["keys"])')" = 0 ]; }
check "a vanished one: a reload drops its keys" wait_for 10 no_keys
check "a vanished one: sync succeeds after the reload" ctl sync --no-legend
echo "$text" >"$own/nvme-keyd.psk"
kill -HUP "$daemon"
becomes "a vanished one: after a reload it is back, too" 3 eval 'ring_names | wc -l'

# --- beside a store

stored=$(add other a) || bail "add"
is "a stored key and a handed-in one: one of them is published" "$(ring_names | grep -c "$SUBSYSTEM ")" 1
is "the stored key overrides the handed-in one" "$(state_of "$id") $(state_of "$stored")" "overridden active"
is "one warning says that the handed-in key is not used" "$(logged "handed-in key for $SUBSYSTEM of credential nvme-keyd\.psk is not used")" 1
like "status counts it" "$(ctl status)" "Credentials: 2 keys, 1 overridden"
run ctl remove "$stored"
is "the handed-in key is back when the stored one is removed" "$(state_of "$id") $(ring_names | grep -c "$SUBSYSTEM ")" "active 1"
stored=$(add other a)
digest=$(ring_names | grep "$SUBSYSTEM ")

# --- before a store

told=$(logged "key for $SUBSYSTEM of credential")
keyctl clear "$(ring)"
exec {lock}<"$state"
daemon_stop
flock -n "$lock" || bail "flock"
daemon_start "${each[@]}"
run ctl list --no-legend
is "a locked store: list fails" "$status" 8
like "a locked store: list still has the handed-in keys" "$out" "active host .* $SUBSYSTEM .* nvme-keyd\.psk"
is "a locked store: the handed-in keys are published" "$(ring_names | wc -l)" 3
run ctl sync
is "a locked store: sync fails" "$status" 8
like "a locked store: show works for a handed-in key" "$(ctl show "$id")" "State: active"
refused "a locked store: remove refuses a handed-in key" 5 "is a handed-in key" ctl remove "$id"
exec {lock}<&-
sleep 1.1
run ctl sync
is "the store opens: its key overrides the handed-in one" "$status $(ring_names | grep "$SUBSYSTEM ")" "0 $digest"
is "one warning in this instance" "$(logged "key for $SUBSYSTEM of credential")" $((told + 1))

# --- while a store takes its time

python3 -c '
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(16)
time.sleep(600)' "$tmp/none" &
silent=$!
defer 'kill "$silent" 2>/dev/null'
wait_for 10 test -S "$tmp/none" || bail "a service that never answers"
keyctl clear "$(ring)"
daemon_restart "${each[@]}"
is_slow() { ctl status >"$tmp/status" && grep -q "Store: opening" "$tmp/status"; }
check "a store that is being opened" wait_for 20 is_slow
is "handed-in keys do not wait for a store that is being opened" "$(ring_names | wc -l)" 3
daemon_stop
kill "$silent"
rm "$tmp/none"

# --- the KEK of the store

head -n 1 "$state/store" | json '[s for s in o["slots"] if s["type"] == "systemd-creds"][0]["credential"]' |
    systemd-creds decrypt --name=nvme-keyd.kek - "$fetched/nvme-keyd.kek" || bail "systemd-creds"
secret=$host_key/credential.secret
chattr -i "$secret" 2>/dev/null
mv "$secret" "$tmp/secret"
daemon_restart "${each[@]}"
like "a handed-in KEK opens the store" "$(ctl status)" "Sealed by: systemd-creds"
head -c 32 /dev/urandom >"$own/nvme-keyd.kek"
daemon_restart "${each[@]}"
run ctl list
is "another KEK does not open it, and the daemon goes on" "$status" 8
rm "$own/nvme-keyd.kek" "$fetched/nvme-keyd.kek"
mv "$tmp/secret" "$secret"

# --- reload

echo "$HOST nqn.2026-11.org.example:new $three" >"$own/nvme-keyd.psk.new"
kill -HUP "$daemon"
is_new() { ring_names | grep -q example:new; }
check "a reload reads the credentials again" wait_for 10 is_new

# --- nothing leaks

for s in "${secrets[@]}"; do
    is "no PSK in the log" "$(grep -cF "$(cut -d : -f 3 <<<"$s")" "$log")" 0
done
check "no PSK in the store" test -z "$(grep -rF -e "$(cut -d : -f 3 <<<"$one")" "$state")"
if grep -q __asan_init "$build/nvme-keyd"; then
    skip "no PSK in memory" "a sanitizer keeps what was freed"
else
    python3 - "${secrets[@]}" >"$tmp/secrets" <<'PY'
import base64, sys
for n, psk in enumerate(sys.argv[1:]):
    text = psk.split(":")[2]
    print(f"raw-{n}", base64.b64decode(text)[:-4].hex())
    print(f"text-{n}", text.encode().hex())
PY
    for serial in $(keyctl rlist "$(ring)"); do
        echo "tls-$serial $(keyctl pipe "$serial" | od -An -v -tx1 | tr -d ' \n')" >>"$tmp/secrets"
    done
    sleep 1
    is "no PSK in memory" "$(python3 "$source/tests/integration/memory.py" "$daemon" <"$tmp/secrets" 2>"$tmp/scan.err")" ""
fi
daemon_stop
is "the daemon ends with status 0" "$daemon_status" 0
finish
