# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# shows: published keys do not need a running daemon, and the socket starts it again

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:stopped

check "a target with TLS" target_up "$sub" || bail "no target"
defer target_down
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove $id"
keys=$(ring_list)

check "stop the service" systemctl stop nvme-keyd.service
is "the service is inactive" "$(systemctl is-active nvme-keyd.service)" inactive
check "the socket is active" systemctl is-active nvme-keyd.socket
is "the keys are all there" "$(ring_list)" "$keys"
check "connect" connect_tls "$sub" || bail "no connection"
defer "disconnect $sub"
check "data comes back" data_check "$(bdev_of "$sub")"
is "nothing started the service" "$(systemctl is-active nvme-keyd.service)" inactive

check "nvme-keyctl list" nvme-keyctl list
is "nvme-keyctl list started the service" "$(systemctl is-active nvme-keyd.service)" active
is "the service has the same record" "$(record_of "$sub" | jq -r .id)" "$id"
is "the kernel's keys are the same ones" "$(ring_list)" "$keys"
