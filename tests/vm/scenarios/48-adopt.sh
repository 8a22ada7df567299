# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# long: yes
# shows: keys of nvme-cli are adopted under live connections, and exported keys are read by nvme-cli
# timeout: 240

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:adopt
second=nqn.2026-11.org.example:keyring
keyfile=$tmp/keyfile

# use_of SUBNQN: how nvme-keyctl names the key that its controller uses, and that key
use_of() {
    nvme-keyctl controllers --json=short |
        jq -r --arg s "$1" '.controllers[] | select(.subsystemNQN == $s) | "\(.key) \(.keyID)"'
}
# insert SUBNQN: a new PSK by nvme-cli
insert() {
    nvme check-tls-key --insert --identity=1 --hostnqn="$HOSTNQN" --subsysnqn="$1" --keydata="$(new_psk)" >/dev/null
}
# reset SUBNQN: its controller must come back, with the same name
reset() {
    local ctrl

    ctrl=$(ctrl_of "$1") && echo 1 >"/sys/class/nvme/$ctrl/reset_controller" && wait_until 60 ctrl_live "$ctrl"
}
# adopts TEXT SUBNQN COMMAND...: its key becomes ours, under I/O
adopts() {
    local text=$1 nqn=$2 ctrl dev serial id
    shift 2

    ctrl=$(ctrl_of "$nqn") dev=$(bdev_of "$nqn") serial=$(tls_key_of "$nqn")
    is "$text: the key is that of nvme-cli" "$(use_of "$nqn")" "foreign null"
    keyctl timeout "$serial" 600
    io_begin "$dev"
    ringwatch "NVMe1R01 $HOSTNQN $nqn " >"$tmp/watch" &
    watch=$!
    check "$text" "$@"
    id=$(record_of "$nqn" | jq -r .id)
    is "$text: the controller uses a key of ours" "$(use_of "$nqn")" "active $id"
    is "$text: it is the same key" "$(record_serial "$id")" "$serial"
    is "$text: it expires no more" "$(keyctl_timeout "$serial")" perm
    check "$text: the controller survives a reset" reset "$nqn"
    sleep 1
    kill "$watch"
    wait "$watch"
    io_end
    like "$text: without a gap, with one key" "$(cat "$tmp/watch")" " misses 0 serials 1 last $serial "
    diag "$(cat "$tmp/watch")"
    is "$text: no failed read or write" "$(cat "$tmp/io.errors")" ""
    is "$text: the same controller, and its disk" "$(ctrl_of "$nqn") $(bdev_of "$nqn")" "$ctrl $dev"
    is "$text: it uses the key" "$(tls_key_of "$nqn")" "$serial"
}
# keyctl_timeout SERIAL: as /proc/keys has it
keyctl_timeout() { awk -v s="$(printf '%08x' "$1")" '$1 == s { print $4 }' /proc/keys; }
# Other programs that change the keys of .nvme possess it.
possess() { keyctl link "$(nvme_ring)" @s; }

load_modules nvme-keyring
check "nvme-cli inserts a key" insert "$sub"
check "and another" insert "$second"
check "a target with TLS" target_up "$sub" || bail "no target"
defer target_down
check "a second one" target_up "$second" || bail "no target"
check "connect" connect_tls "$sub" || bail "no connection"
defer "disconnect $sub"
check "connect to the second" connect_tls "$second" || bail "no connection"
defer "disconnect $second"
defer "nvme-keyctl list --json=short | jq -r '.keys[].id' | xargs -n 1 nvme-keyctl remove --force"
possess

adopts "adopt" "$sub" nvme-keyctl adopt --subsysnqn="$sub" --hostnqn="$HOSTNQN"
is "only that one" "$(use_of "$second")" "foreign null"
adopts "import --from-keyring" "$second" nvme-keyctl import --from-keyring
is "a second time there is nothing to do" "$(nvme-keyctl adopt --all | tail -n 1 | cut -d , -f 1)" "0 adopted"
# Only the store brings them back.
forget() { keyctl clear "$(nvme_ring)" && nvme-keyctl sync && [ "$(ring_count)" = 2 ]; }
check "they are put back from the store" forget
check "and a reset finds them" reset "$second"

# --- exported keys, read by nvme-cli

disconnect "$sub"
disconnect "$second"
for hmac in sha256 sha384; do
    for derivation in compat rfc8446; do
        nvme-keyctl generate --subsysnqn="nqn.2026-11.org.example:$hmac-$derivation" --hmac=$hmac --derivation=$derivation \
            --identity-version=0,1 >/dev/null || not_ok "nvme-keyctl generate"
    done
done
# Bytes and identities; the serials differ.
ring_content() { ring_list | cut -d ' ' -f 2- | sort; }
ours=$(ring_content)
check "export" nvme-keyctl export --output="$keyfile"
is "a line for each key in the keyring" "$(wc -l <"$keyfile")" "$(ring_count)"
guard_off
for nvme in nvme /opt/sid/nvme; do
    keyctl clear "$(nvme_ring)"
    check "$nvme reads the file" "$nvme" tls-key --import --keyfile="$keyfile"
    # Not by its text: a failed check would print the keys.
    check "$nvme: the same identities" diff <(awk '{ $1 = ""; print }' <<<"$ours") <(ring_content | awk '{ $1 = ""; print }')
    is "$nvme: and the same bytes" "$(ring_content | sha256sum)" "$(sha256sum <<<"$ours")"
done
