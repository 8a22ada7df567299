#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The host key of systemd-creds outlives a boot under another machine id, and a slot keeps the type of key
# that sealed it. Host key and machine id are the test's own.
. "$(dirname "$0")/host-key.sh"
[ -e /etc/machine-id ] || skip_all "this machine has no machine id"

secret=/var/lib/systemd/credential.secret
printf '%032x\n' 1 >"$host_key/first-id"
printf '%032x\n' 2 >"$host_key/other-id"
mount --bind "$host_key/first-id" /etc/machine-id
# A place for sealed credentials.
sealed=/run/credstore.encrypted
mount -t tmpfs tmpfs /run
mkdir "$sealed"

daemon_environment=()
start() {
    daemon_start "${daemon_environment[@]}" -E "NVME_KEYD_TCTI=swtpm:path=$tmp/none" -E "NVME_KEYD_CREDS_SOCKET=$tmp/none"
}
restart() {
    daemon_stop
    start
}
# machine_id FILE: mounts it over /etc/machine-id.
machine_id() {
    umount /etc/machine-id
    mount --bind "$1" /etc/machine-id
}
slots() {
    ctl slot list --no-legend | tr -s ' ' | cut -d ' ' -f -4
}
state_of_store() {
    ctl status | sed -n 's/ *Store: //p'
}
setup() {
    run "$build/nvme-keyd" --setup-host-key
}
# said TEXT STATUS REGEX: setup ends so, with one line.
said() {
    setup
    [ "$status" -eq "$2" ] && [[ $err =~ $3 ]] && [ "$(wc -l <"$tmp/err")" -eq 1 ]
    result $? "$1" || diag "status: $status, expected $2" "stderr: $err" "expected: $3"
}
# silent TEXT
silent() {
    setup
    is "$1" "$status$out$err" 0
}
untouched() {
    is "$1: the host key is as before" "$(sha256sum <"$secret")" "$before"
}

# --- set up where there is none

mount -o bind,ro "$host_key" /var/lib/systemd
silent "setup: nothing, where the directory is read-only"
umount /var/lib/systemd
mount -t tmpfs tmpfs /var/lib/systemd
silent "setup: nothing, where the directory is in memory"
check "setup: and no host key" test ! -e "$secret"
umount /var/lib/systemd
setup
is "setup: a host key is made" "$status $(stat -c '%a %u' "$secret")" "0 400 0"
before=$(sha256sum <"$secret")
silent "setup: no word about one that is there"
untouched "setup"

# --- another machine id

start
id=$(add one a 2>/dev/null) || bail "add"
daemon_stop
machine_id "$host_key/other-id"
start
is "another machine id: the store is locked" "$(state_of_store)" unavailable
like "another machine id: status says why" "$(ctl status)" "systemd-creds: the host key $secret was made under another machine id.*/etc/machine-id.*recovery key"
untouched "opening"
rm -rf "$tmp/second"
mkdir -m 700 "$tmp/second"
daemon_stop
old_state=$state state=$tmp/second
start
psk two >"$tmp/psk"
run ctl add --hostnqn="$HOST" --subsysnqn="$SUBSYSTEM" <"$tmp/psk"
like "another machine id: no store is made" "$status $err" "^8 .*another machine id"
untouched "making a store"
daemon_stop
state=$old_state

said "setup: another machine id is reported" 0 "Not touching the host key: the host key $secret was made under another machine id"
untouched "setup"
systemd-creds encrypt --with-key=tpm2-absent --name=nvme-keyd.psk "$tmp/psk" "$sealed/nvme-keyd.psk" 2>/dev/null
said "setup: a credential that does not need the host key may be opened" 0 "Not touching the host key"
rm "$sealed/nvme-keyd.psk"
printf 'Whxqht+dQJax1aZeCGLxmiAAAAABAAAADAAAABAAAAA=\n' >"$sealed/another"
said "setup: a credential of another service is ignored" 0 "Not touching the host key"
for name in nvme-keyd.psk nvme-keyd.psk.disk1 nvme-keyd.issuer nvme-keyd.issuer.site nvme-keyd.kek; do
    mv "$sealed/"* "$sealed/$name"
    said "setup: $name that needs it must not be opened" 8 "No credentials are fetched, because $sealed/$name needs the host key: .*another machine id"
done
echo future >"$sealed/nvme-keyd.kek"
said "setup: nor may one of an unknown kind be opened" 8 "because $sealed/nvme-keyd.kek"
rm "$sealed/nvme-keyd.kek"
untouched "setup"

# The recipe of the manual page, with the host key that is there. systemd names the credential after the file.
machine_id "$host_key/first-id"
recipes=$(grep -h '^systemd-creds encrypt --name=nvme-keyd.psk ' "$source"/man/*.scd "$source/README.md")
is "the recipe for a sealed credential is the same in both places" "$(sort -u <<<"$recipes" | wc -l)" 1
recipe=${recipes%%$'\n'*}
mount -t tmpfs tmpfs /etc/credstore.encrypted 2>/dev/null || recipe=${recipe/\/etc\/credstore.encrypted/$sealed}
made=${recipe##* }
echo "$HOST nqn.2026-11.org.example:sealed $(<"$tmp/psk")" >"$tmp/psks"
run bash -c "cd $tmp && $recipe"
is "the recipe for a sealed credential works" "$status" 0
mkdir "$tmp/given"
daemon_environment=(-E "CREDENTIALS_DIRECTORY=$tmp/given")
cp "$made" "$tmp/given/nvme-keyd.psk"
start
like "a credential that is still sealed: status says so" "$(ctl status)" "credential nvme-keyd\.psk: still sealed \(by host\)"
daemon_stop
check "the recipe for a sealed credential: systemd takes its name" \
    systemd-creds decrypt --name="${made##*/}" "$made" "$tmp/given/nvme-keyd.psk"
start
like "the recipe for a sealed credential: its key is there" "$(ctl list)" " nqn.2026-11.org.example:sealed .* nvme-keyd.psk"$'\n'
daemon_stop
daemon_environment=()
start
is "the old machine id is back: the store opens" "$(state_of_store)" open
untouched "then"

# --- the steps of the manual page for a machine id that is lost

key=$(ctl slot add recovery | tail -n 1)
creds=$(slots | awk '$2 == "systemd-creds" { print $1 }')
daemon_stop
machine_id "$host_key/other-id"
mv "$secret" "$secret.old"
setup
start
check "with the recovery key: unlock" ctl slot unlock --no-legend <<<"$key"
run ctl slot reseal
is "with the recovery key: reseal" "$status $out" "0 $creds"
restart
is "with the recovery key: the store opens under the new machine id" "$(state_of_store)" open
like "with the recovery key: the key is there" "$(ctl list --no-legend)" "^$id "

# --- a machine id that does not last

is "a machine id on the disk: nothing to warn of" "$(grep -c 'Only the host key' "$log")" 0
mkdir /run/id
cp "$host_key/other-id" /run/id/machine-id
machine_id /run/id/machine-id
restart
is "a machine id in memory: with a recovery key there is a way back" "$(grep -c 'Only the host key' "$log")" 0
ctl slot remove "$(slots | awk '$2 == "recovery" { print $1 }')"
restart
is "a machine id in memory: a warning at the start" "$(grep -c 'Only the host key opens the store, and /etc/machine-id is in memory' "$log")" 1
ctl slot reseal >/dev/null
is "a machine id in memory: and with each change of a slot" "$(grep -c 'Only the host key opens the store' "$log")" 2

# --- a reseal keeps the type of key: a stand-in for systemd-creds that records --with-key=

daemon_stop
rm -rf "$state"
mkdir -m 700 "$state"
# A credential: the head in $host_key/head, eight bytes, and the key.
cat >"$host_key/program" <<END
#!/bin/sh
cd "$host_key" || exit 1
echo "\$*" >>calls
case \$1 in
encrypt) { cat head; printf 12345678; cat; } | base64 -w0 ;;
decrypt)
    [ ! -e old ] || { echo "Unknown encryption format, or corrupted data." >&2; exit 1; }
    base64 -d | tail -c 32
    ;;
esac
END
chmod 755 "$host_key/program"
mount --bind "$host_key/program" /usr/bin/systemd-creds
# head HEX
head_is() {
    python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.argv[1]))' "$1" >"$host_key/head"
}
# sealed_with: the --with-key= of the last credential.
sealed_with() {
    sed -n 's/.*--with-key=\([^ ]*\).*/\1/p' "$host_key/calls" | tail -n 1
}
head_is 5a1c6a86df9d4096b1d5a65e0862f19a
start
add one a &>/dev/null || bail "add"
while read -r hex name; do
    head_is "$hex"
    slot=$(ctl slot add systemd-creds --with-key="$name")
    is "systemd 262, $name: slot list" "$(slots | grep "^$slot")" "$slot systemd-creds $name -"
    run ctl slot reseal "$slot"
    is "systemd 262, $name: reseal keeps it" "$status$err $(sealed_with)" "0 $name"
    ctl slot remove "$slot"
done <<END
d4062dfb71ad4c86804b40ef1180f1fc tpm2
1414258818a240cd900bce862db5c7b9 host+tpm2
5e2d5c7603724eaf843c6fb5f64098f5 tpm2-with-public-key
afbfeaaceb6a4a3795419d135c47f37b host+tpm2-with-public-key
END
head_is 00112233445566778899aabbccddeeff
slot=$(ctl slot add systemd-creds)
is "a type of the future: slot list" "$(slots | grep "^$slot")" "$slot systemd-creds unknown -"
refused "a type of the future: reseal asks" 3 "this slot is sealed by a type of key that this version does not know: choose one with --with-key=" ctl slot reseal "$slot"
run ctl slot reseal
is "a type of the future: reseal of all asks, and seals the others" "$status $(wc -l <<<"$out")" "3 1"
head_is d4062dfb71ad4c86804b40ef1180f1fc
check "a type of the future: reseal with --with-key=" test "$(ctl slot reseal "$slot" --with-key=tpm2)" = "$slot"
is "a type of the future: the slot has the chosen type" "$(slots | grep "^$slot")" "$slot systemd-creds tpm2 -"
ctl slot remove --force "$(slots | grep -v "^$slot" | cut -d ' ' -f 1)"
touch "$host_key/old"
restart
like "an older systemd: status says so" "$(ctl status)" "sealed by systemd 262 or newer"

finish
