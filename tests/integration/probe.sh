# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Helpers of probes, and servers for them to ask, for tests that have lib.sh.

# shellcheck disable=SC2034,SC2154 # of lib.sh, and for the tests
probe=$tmp/probe # the helper's socket
helper=$build/src/probe/nvme-keyd-probe
helpers=$tmp/helpers.log

# helpers_start [COMMAND...]: starts a helper for each connection, by a command.
helpers_start() {
    rm -f "$probe"
    systemd-socket-activate --seqpacket --accept --inetd -l "$probe" "$@" "$helper" 2>>"$helpers" &
    activator=$!
    defer "kill $activator 2>/dev/null"
    wait_for 60 is_listening "$probe" || bail "systemd-socket-activate"
}

helpers_stop() {
    kill "$activator"
    wait "$activator" 2>/dev/null
}

# free_port: one that nothing listens on
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# accepts_connections PORT
accepts_connections() {
    (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# serve NAME COMMAND...: a server on $port, whose output goes to $tmp/NAME.
serve() {
    local name=$1
    shift
    "$@" </dev/null >"$tmp/$name" 2>&1 &
    server=$!
    defer "kill $server 2>/dev/null"
    wait_for 60 accepts_connections "$port" || bail "$name: $(<"$tmp/$name")"
}

# session HEX SUITE: as a file for s_server -psk_session; -psk means SHA-256.
session() {
    printf '%s\n' 'asn1 = SEQUENCE:session' '[session]' version=INTEGER:1 tls=INTEGER:0x0304 \
        "suite=FORMAT:HEX,OCTETSTRING:$2" id=FORMAT:HEX,OCTETSTRING:00 "psk=FORMAT:HEX,OCTETSTRING:$1" \
        "time=EXPLICIT:1,INTEGER:$(date +%s)" timeout=EXPLICIT:2,INTEGER:7200 >"$tmp/session.conf"
    openssl asn1parse -genconf "$tmp/session.conf" -noout -out "$tmp/session.der" &&
        openssl sess_id -inform DER -in "$tmp/session.der" -out "$tmp/session"
}

# controller NAME ADDRESS: one of the pair, as sysfs shows it
controller() {
    local dir=$NVME_KEYD_CONTROLLERS/$1
    mkdir "$dir"
    echo "$2" >"$dir/address"
    echo live >"$dir/state"
    echo "$HOST" >"$dir/hostnqn"
    echo "$SUBSYSTEM" >"$dir/subsysnqn"
    echo 00000007 >"$dir/tls_key"
}

export NVME_KEYD_CONTROLLERS=$tmp/controllers
export NVME_KEYD_TARGET_PORTS=$tmp/ports NVME_KEYD_TLSHD_PROGRAM=$tmp/tlshd
mkdir "$NVME_KEYD_CONTROLLERS" "$NVME_KEYD_TARGET_PORTS"
each=(-E "NVME_KEYD_PROBE=$probe" -E "NVME_KEYD_CONTROLLERS=$NVME_KEYD_CONTROLLERS" -E NVME_KEYD_TARGET_PORTS -E NVME_KEYD_TLSHD_PROGRAM)
