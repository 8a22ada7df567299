# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# shows: a key of nvme-keyd makes a connection that carries data

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:connect

check "a target with TLS" target_up "$sub" || bail "no target"
defer target_down

check_fails "connect without a key fails" connect_tls "$sub"
like "doctor has the error of the kernel, and its cause" "$(nvme-keyctl doctor --no-legend)" \
    "no valid PSK found.*the keyring had no key"

id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
ok "nvme-keyctl add"
defer "nvme-keyctl remove $id"
is "the record is active" "$(record_of "$sub" | jq -r .state)" active
serial=$(record_serial "$id") || bail "the record is not published"
is "the listed serial is the key's" "$serial" "$(key_serial "$(record_identity "$id")")"

check "connect" connect_tls "$sub" || bail "no connection"
defer "disconnect $sub"
is "the connection uses the listed key" "$(tls_key_of "$sub")" "$serial"
is "doctor finds no fault on a machine that works" \
    "$(nvme-keyctl doctor --json=short | jq -r '.lines[] | select(.result == "fail") | .check, .text')" ""
check "data comes back" data_check "$(bdev_of "$sub")"
check "disconnect" disconnect "$sub"

check "nvme-keyctl remove" nvme-keyctl remove "$id"
is "no key is left" "$(ring_count)" 0
check_fails "connect fails again" connect_tls "$sub"

generated=$(nvme-keyctl generate --subsysnqn="$sub" --hmac=sha384 --print-key) || bail "nvme-keyctl generate"
id=$(head -n 1 <<<"$generated")
defer "nvme-keyctl remove $id"
check "nvme-keyctl generate prints an interchange key" grep -qE '^NVMeTLSkey-1:02:[A-Za-z0-9+/=]{72}:$' \
    <(tail -n 1 <<<"$generated")
check "connect with a generated SHA-384 key" connect_tls "$sub"
is "the connection uses the generated key" "$(tls_key_of "$sub")" "$(record_serial "$id")"
