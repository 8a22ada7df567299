# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The target on the wire of two guests (host/pair.sh): its second disk is a namespace over TLS, so that the data survive
# the guest. For scripts that have lib.sh.

sub=$(kernel_param subnqn)
dir=$NVMET/subsystems/$sub

wire_up() { ip addr add "$1/24" dev eth0 && ip link set eth0 up; }

# wire_port N: port 4420 for 1, 4421 for 2
wire_port() {
    local port=$NVMET/ports/$1

    mkdir "$port" || return
    echo 10.9.0.1 >"$port/addr_traddr"
    echo ipv4 >"$port/addr_adrfam"
    echo tcp >"$port/addr_trtype"
    echo $((4419 + $1)) >"$port/addr_trsvcid"
    echo tls1.3 >"$port/addr_tsas"
    wire_listen "$1"
}
wire_listen() { ln -s "$dir" "$NVMET/ports/$1/subsystems/$sub"; }
# Ends the connections of the port, too.
wire_unlisten() { rm "$NVMET/ports/$1/subsystems/$sub"; }

# Completes the subsystem before its port listens, and the keys come before both: a host that connects too early is
# refused for good.
wire_serve() {
    modprobe nvmet-tcp || return
    mkdir "$dir" "$dir/namespaces/1" || return
    echo 1 >"$dir/attr_allow_any_host"
    # the same ones after each start, so that the host knows its disk
    echo 6f1f3c0a-52c4-4b0b-9d1c-3a5d7e0c9b23 >"$dir/namespaces/1/device_uuid"
    echo nvme-keyd-vm-0001 >"$dir/attr_serial"
    echo /dev/vdb >"$dir/namespaces/1/device_path"
    echo 1 >"$dir/namespaces/1/enable" || return
    wire_port 1
}
