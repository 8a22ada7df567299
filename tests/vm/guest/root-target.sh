#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/vm/root-on-tls: the target. The second disk is a namespace over TLS. It gets the PSK at its first start;
# later its own nvme-keyd has it.

. /opt/vm/lib.sh

sub=$(kernel_param subnqn)
port=$NVMET/ports/1 dir=$NVMET/subsystems/$sub

add_psk() { nvme-keyctl add --role=target --hostnqn="$(</etc/nvme/hostnqn)" --subsysnqn="$sub" --comment=root <"$HOST/psk"; }
has_keys() { [ "$(ring_count)" -gt 0 ]; }

# Completes the subsystem before its port listens: a host that connects too early is refused for good.
serve() {
    ip addr add 10.9.0.1/24 dev eth0 && ip link set eth0 up || return
    modprobe nvmet-tcp || return
    mkdir "$port" "$dir" "$dir/namespaces/1" || return
    echo 10.9.0.1 >"$port/addr_traddr"
    echo ipv4 >"$port/addr_adrfam"
    echo tcp >"$port/addr_trtype"
    echo 4420 >"$port/addr_trsvcid"
    echo tls1.3 >"$port/addr_tsas"
    echo 1 >"$dir/attr_allow_any_host"
    # the same one after each start, so that the host knows its disk
    echo 6f1f3c0a-52c4-4b0b-9d1c-3a5d7e0c9b23 >"$dir/namespaces/1/device_uuid"
    echo nvme-keyd-vm-0001 >"$dir/attr_serial"
    echo /dev/vdb >"$dir/namespaces/1/device_path"
    echo 1 >"$dir/namespaces/1/enable" || return
    ln -s "$dir" "$port/subsystems/$sub"
}

host_mount || bail "no directory of the host"
if [ ! -e "$HOST/started" ]; then
    check "target: nvme-keyctl add" add_psk || bail "no PSK"
    touch "$HOST/started"
fi
modprobe nvme-keyring
check "target: its nvme-keyd has published the PSK" wait_until 60 has_keys
check "target: serves the disk, with TLS" serve
echo "target is up"
until [ -e "$HOST/stop" ]; do sleep 0.5; done
