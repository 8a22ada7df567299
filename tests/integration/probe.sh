# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Helpers of probes, and servers for them to ask, for tests that have lib.sh.

# shellcheck disable=SC2154 # lib.sh, and the test
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
