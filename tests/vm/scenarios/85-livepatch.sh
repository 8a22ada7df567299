# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: upcall
# livepatch: yes
# kernel: both
# needs: nvme-keyd
# suite: upcall
# shows: with the livepatch module the kernel asks for a missing key, and stops asking when the module is gone
# timeout: 400

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:livepatch
request="nvme-tls-psk:$HOSTNQN $sub"

request_gone() { ! grep -q 'nvme-tls-psk:' /proc/keys; }
ring_usage() { awk '$8 == "keyring" && $9 == ".nvme:" && $2 !~ /R/ { print $3 }' /proc/keys; }
# References to .nvme, once those of ended processes are collected. nvme-keyd has one, so it has to run.
settled_ring_usage() {
    local before=

    nvme-keyctl list >/dev/null
    until [ "$(ring_usage)" = "$before" ]; do
        before=$(ring_usage)
        sleep 3
    done
    echo "$before"
}

# connect_asks TEXT: connect with nothing in .nvme
connect_asks() {
    check "$1: nothing in .nvme" forget_keys
    check "$1: connect" connect_tls "$sub" || bail "no connection"
    is "$1: with the key that nvme-keyd published" "$(tls_key_of "$sub")" "$(record_serial "$id")"
}

# --- no keyring

mark=$(journal_mark)
check "unload nvme_keyring" modprobe -r nvme-fabrics nvme-keyring
check_fails "without nvme_keyring it does not load" insmod "$(modinfo -n "$PATCH")"
check "the kernel says why" grep -q "$PATCH: Unknown symbol nvme_keyring_id" <(journal_since "$mark" -k)
modprobe nvme-keyring
# which links .nvme only when it starts
systemctl restart tlshd

# --- the kernel without the livepatch

check "a target with TLS" target_up "$sub" || bail "no target"
defer target_down
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove \"\$id\""
check_fails "stock kernel: a longer name is a shadow" nvme-keyctl add --subsysnqn="${sub}0" <<<"$(new_psk)"

forget_keys
check_fails "stock kernel: connect without a key fails" connect_tls "$sub"
is "stock kernel: nothing was asked for" "$(ring_count)" 0
usage=$(settled_ring_usage)

check "the module loads, and all tasks use it" patch_load || bail "$(dmesg | grep -E "livepatch|$PATCH" | tail -n 1)"
defer "disconnect $sub; patch_unload"
is "the patch is enabled" "$(cat "$(patch_file enabled)")" 1
check_fails "it cannot be unloaded while it is enabled" rmmod "$PATCH"

# --- the first connect

connect_asks "first"
check "first: data comes back" data_check "$(bdev_of "$sub")"

# --- a reconnect, by a worker of the kernel

ctrl=$(ctrl_of "$sub")
check "reset: nothing in .nvme" forget_keys
check "reset" nvme reset "/dev/$ctrl"
check "reset: the controller is live again" wait_until 60 ctrl_live "$ctrl"
is "reset: with the key that nvme-keyd published" "$(tls_key_of "$sub")" "$(record_serial "$id")"
disconnect "$sub"

# --- the keyrings of the process that connects

check "no answer is kept" wait_until 60 request_gone
keyctl add user "$request" forged @s >/dev/null
connect_asks "a forged answer in the session"
is "a forged answer in the session: it is the only one there" \
    "$(keyctl list @s | grep -c 'user: nvme-tls-psk:')" 1
keyctl clear @s
disconnect "$sub"

check "another keyring: nothing in .nvme" forget_keys
other=$(keyctl newring vm-other @s)
mark=$(journal_mark)
check_fails "another keyring: connect fails" connect_with "$sub" "keyring=$other"
check "another keyring: the kernel says why" grep -q 'no valid PSK found' <(journal_since "$mark" -k)
is "another keyring: nothing was asked for" "$(ring_count)" 0

# --- no such key, and no service

nobody=nqn.2026-11.org.example:nobody
mark=$(journal_mark)
start=$(now_ms)
check_fails "unknown: connect fails" connect_tls "$nobody"
took=$(($(now_ms) - start))
check "unknown: in bounded time ($took ms)" test "$took" -lt 60000
check "unknown: nvme-keyd says so" grep -q "PSK that is not here: nvme-tls-psk:.*$nobody" <(journal_since "$mark")
check "unknown: the kernel says why" grep -q 'no valid PSK found' <(journal_since "$mark" -k)

# A request that reaches no service is forgotten; the one of another pair is not.
forget_keys
mv /sbin/request-key /sbin/request-key.aside
defer "[ -e /sbin/request-key ] || mv /sbin/request-key.aside /sbin/request-key"
check_fails "no request-key: connect fails" connect_tls "$sub"
mv /sbin/request-key.aside /sbin/request-key
check_fails "no request-key: the request is forgotten" grep -q "$request" /proc/keys
check "no request-key: the refusal of another pair is not" grep -q "nvme-tls-psk:.*$nobody" /proc/keys
connect_asks "no request-key: answered again"
disconnect "$sub"

# --- NQNs that begin with another NQN, and identities of version 0, which end with it

add_version_0() { nvme-keyctl add --subsysnqn="$1" --identity-version=0 <<<"$(new_psk)"; }
nvme-keyctl remove "$id"
shadows=()
for digit in 0 1 2 3; do
    shadows+=("$(add_version_0 "$sub$digit")")
done
id=$(add_version_0 "$sub") || bail "nvme-keyctl add"
is "longer names are no shadow: all are there" "$(ring_count)" 5
check "longer names: connect" connect_tls "$sub" || bail "no connection"
is "longer names: with its own key" "$(tls_key_of "$sub")" "$(record_serial "$id" 0)"
disconnect "$sub"
for shadow in "${shadows[@]}" "$id"; do
    nvme-keyctl remove "$shadow"
done
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"

systemctl stop nvme-keyd.socket nvme-keyd-request.socket nvme-keyd.service
forget_keys
start=$(now_ms)
check_fails "no service: connect fails" connect_tls "$sub"
took=$(($(now_ms) - start))
check "no service: in bounded time ($took ms)" test "$took" -lt 60000
systemctl start nvme-keyd.socket nvme-keyd-request.socket
# the kernel remembers the refusal of the shim for one second
sleep 2
connect_asks "answered again"
disconnect "$sub"

# --- remove, during a request without an answer

forget_keys
systemctl kill --signal=STOP nvme-keyd.service
mark=$(journal_mark)
start=$(now_ms)
connect_tls "$sub" >"$tmp/connect.out" 2>&1 &
connect_job=$!
check "hangs: the shim waits" wait_until 10 shim_runs
echo 0 >"$(patch_file enabled)"
check_fails "hangs: connect fails" wait "$connect_job"
took=$(($(now_ms) - start))
check "hangs: in bounded time ($took ms)" test "$took" -lt 60000
check "hangs: the shim says so" grep -q 'nvme-keyd did not answer' <(journal_since "$mark")
systemctl kill --signal=CONT nvme-keyd.service

check "the patch can be disabled" wait_until 60 patch_gone
check "the module can be unloaded, and nvme-keyd looks after its keys" patch_remove
check "nothing of it is left in /proc/keys" wait_until 60 \
    bash -c "! grep -qE 'nvme_keyd_(upcall|probe)|nvme-tls-psk:' /proc/keys"
forget_keys
is "no reference to .nvme is left" "$(settled_ring_usage)" "$usage"
check_fails "stock kernel again: connect without a key fails" connect_tls "$sub"
is "stock kernel again: nothing was asked for" "$(ring_count)" 0
