# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# shows: twenty connections one after the other
# timeout: 300

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:twenty

check "a target with TLS" target_up "$sub" || bail "no target"
defer target_down
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove $id"
serial=$(record_serial "$id")

good=0
start=$(now_ms)
for ((i = 0; i < 20; i++)); do
    connect_tls "$sub" >/dev/null || break
    [ "$(tls_key_of "$sub")" = "$serial" ] || break
    disconnect "$sub" >/dev/null || break
    good=$((good + 1))
done
diag "$good of 20 in $(($(now_ms) - start)) ms"
is "all connects and disconnects were good" "$good" 20
is "the key is the same" "$(record_serial "$id")" "$serial"
