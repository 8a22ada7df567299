#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# usage: bench-upcall-guest.sh PROGRAMS
# What an upcall costs where nvme-keyd is installed, with its units, its rules and key type psk; see
# README.md. PROGRAMS is the directory of the benchmark's programs. The daemon is stopped and started.
set -uo pipefail

programs=$(realpath "${1:?usage: $0 PROGRAMS}")
tmp=$(mktemp -d /run/keyd-bench.XXXXXX)
readonly programs tmp
readonly request=/run/nvme-keyd/request store=/var/lib/nvme-keyd daemon_program=/usr/lib/nvme-keyd/nvme-keyd
readonly rule=/etc/request-key.d/00-keyd-bench.conf
readonly subsystem=nqn.2026-11.org.example:keyd-bench
. "$(dirname "$0")/../tap.sh"
. "$(dirname "$0")/bench.sh"

# --- the place

ids=()

clean_up() {
    cold_end
    for id in "${ids[@]}"; do
        nvme-keyctl remove "$id"
    done
    rm -rf "$rule" "$tmp"
}
defer clean_up

daemon_pid() {
    systemctl show --property=MainPID --value nvme-keyd.service
}

store_digest() {
    find "$store" -type f -print0 | sort -z | xargs -r0 sha256sum | sha256sum
}

cold() {
    systemctl stop nvme-keyd.service 2>/dev/null
    systemctl reset-failed 2>/dev/null
    keyctl clear "$ring"
    [ "$1" = full ] || mount -t tmpfs -o mode=700 tmpfs "$store"
}

cold_end() {
    systemctl stop nvme-keyd.service 2>/dev/null
    ! mountpoint -q "$store" || umount "$store"
}

open_store() {
    "$programs/open-store" "$store"
}

# ring_lines GROUP: our keys in the ring, for request-many. Who has it in its session may read it.
ring_lines() {
    # shellcheck disable=SC2016 # expands inside
    keyctl session - bash -c '
        keyctl link "$1" @s
        for key in $(keyctl rlist "$1"); do
            name=$(keyctl rdescribe "$key" | cut -d ";" -f 5-)
            [[ $name != *" $3:"* ]] || echo "$2 psk $(keyctl pipe "$key" | od -An -v -tx1 | tr -d " \n") $name"
        done' bash "$ring" "$1" "$subsystem" 2>/dev/null
}

modprobe nvme-keyring || bail "no keyring .nvme"
ring=$(awk '$8 == "keyring" && $9 == ".nvme:" && $2 !~ /R/ { print $1 }' /proc/keys)
ring=$((16#${ring:?no keyring .nvme}))
hostnqn=$(cat /etc/nvme/hostnqn) || bail "no /etc/nvme/hostnqn"
printf 'create\tpsk\tbench-constant:*\t*\t%s %%k\n' "$programs/constant-helper" >"$rule"
for name in a b c d e f g h; do
    ids+=("$(nvme-keyctl generate --subsysnqn="$subsystem:$name" 2>/dev/null)") || bail "nvme-keyctl generate"
done
ring_lines many >"$tmp/many"
check "eight identities" test "$(wc -l <"$tmp/many")" -eq 8
{
    sed 's/^many/shim/;q' "$tmp/many"
    echo "constant psk $(printf constant-constant-constant-const | od -An -v -tx1 | tr -d ' \n') bench-constant:#"
} >"$tmp/warm"
# 126 is ENOKEY.
cat >"$tmp/misses" <<LIST
miss psk -126 NVMe0R01 $hostnqn $subsystem:nobody-#
miss user -126 nvme-tls-psk:$hostnqn $subsystem:nobody-#
LIST

bench_warm "$tmp/warm"
bench_many "$tmp/many"
bench_misses "$tmp/misses"

sed 's/^many/one/;q' "$tmp/many" >"$tmp/cold"
if [ -x "$programs/open-store" ]; then
    systemctl stop nvme-keyd.service 2>/dev/null
    bench_cold "$(open_store | cut -d ' ' -f 2)" "$tmp/cold"
else
    skip "cold" "needs open-store"
fi
finish
