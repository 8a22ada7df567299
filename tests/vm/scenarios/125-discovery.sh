# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: boot
# kernel: stock builtin
# needs: nvme-keyd
# suite: boot
# shows: discovery over TLS with a PSK for the discovery NQN, and a connection to the subsystem that it found
# timeout: 180

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:discovered
discovery=nqn.2014-08.org.nvmexpress.discovery

# with_tls VERB
with_tls() {
    timeout 60 nvme "$1" -t tcp -a 127.0.0.1 -s 4420 --hostnqn="$HOSTNQN" --hostid="$HOSTID" --keep-alive-tmo=30 --tls
}

check "a target with TLS" target_up "$sub" || bail "no target"
defer "nvme disconnect-all; target_down"
check_fails "without a PSK nvme discover fails" with_tls discover

id=$(nvme-keyctl add --subsysnqn="$discovery" <<<"$(new_psk)") || bail "nvme-keyctl add"
check "with a PSK for the discovery NQN nvme discover succeeds" with_tls discover
cp "$tmp/check.out" "$tmp/log"
check "nvme discover finds the subsystem" grep -qE "^subnqn: +$sub\$" "$tmp/log"
check "the subsystem requires TLS" grep -qE '^sectype: +tls13' "$tmp/log" || sed 's/^/# /' "$tmp/log"

with_tls connect-all >/dev/null 2>&1
check_fails "the subsystem has a PSK of its own" wait_until 2 bdev_of "$sub"
check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
check "nvme connect-all" with_tls connect-all
check "the namespace is there" wait_until 20 bdev_of "$sub" || bail "no namespace"
is "the connection uses the key of the subsystem" "$(tls_key_of "$sub")" "$(record_serial "$(record_of "$sub" | jq -r .id)")"
check "data comes back" data_check "$(bdev_of "$sub")"

nvme disconnect-all
check "nvme-keyctl remove" nvme-keyctl remove "$id"
check_fails "without the key nvme discover fails again" with_tls discover
