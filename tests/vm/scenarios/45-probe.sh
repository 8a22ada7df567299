# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# shows: a probe knows which target would accept a key, and leaves nothing behind, there or here
# timeout: 240

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:probe
plain=nqn.2026-11.org.example:plain-port
address=10.91.0.1
helper=nvme-keyd-probe@.service

# At an address of this machine each refusal is "own". So the helper gets a network namespace of its own, for which the
# target is another machine.
apart() {
    load_modules veth && ip netns add vm-probe && ip link add vm-probe0 type veth peer name eth0 netns vm-probe &&
        ip addr add "$address/24" dev vm-probe0 && ip link set vm-probe0 up &&
        ip -n vm-probe addr add 10.91.0.2/24 dev eth0 && ip -n vm-probe link set eth0 up &&
        mkdir -p "/run/systemd/system/$helper.d" &&
        printf '%s\n' '[Service]' NetworkNamespacePath=/run/netns/vm-probe >"/run/systemd/system/$helper.d/vm.conf" &&
        systemctl daemon-reload
}
together() {
    rm -rf "/run/systemd/system/$helper.d"
    systemctl daemon-reload
}
apart_gone() {
    together
    ip link del vm-probe0
    ip netns del vm-probe
}

# port N NAME=VALUE...: a port on that address, 4422 for 3
port() {
    local dir=$NVMET/ports/$1 pair

    load_modules nvmet-tcp nvme-fabrics && mkdir "$dir" || return
    for pair in addr_traddr=$address addr_adrfam=ipv4 addr_trtype=tcp addr_trsvcid=$((4419 + $1)) "${@:2}"; do
        echo "${pair#*=}" >"$dir/${pair%%=*}" || return
    done
}

# probe TEXT STATUS ANSWER ID [ADDRESS:PORT]
probe() {
    nvme-keyctl probe "$4" --json=short ${5:+"--address=$5"} >"$tmp/probe" 2>"$tmp/probe.err"
    is "$1" "$? $(jq -r '[.results[].answer] | unique | join(" ")' "$tmp/probe")" "$2 $3" ||
        sed 's/^/# /' "$tmp/probe" "$tmp/probe.err"
    diag "$(jq -r '.results[].detail' "$tmp/probe")"
}
# refuses TEXT ANSWER PORT IDENTITY HEX
refuses() {
    local said

    said=$(python3 /opt/vm/ask-helper.py "$address" "$3" "$4" <<<"$5")
    is "$1" "${said%% *}" "$2"
    diag "$said"
}

check "a network namespace" apart || bail "no network namespace"
defer apart_gone
check "a port with TLS, and without if a host wants" port 3 addr_tsas=tls1.3 || bail "no port"
check "a port without TLS" port 4 || bail "no port"
check "a port with TLS alone" port 5 addr_tsas=tls1.3 addr_treq=required || bail "no port"
defer target_down
check "a target on the first" target_up "$sub" 3 || bail "no target"
check "a target on the second" target_up "$plain" 4 || bail "no target"
ln -s "$NVMET/subsystems/$sub" "$NVMET/ports/5/subsystems/"
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove $id"
long=$(nvme-keyctl add --subsysnqn="$plain" <<<"$(new_psk 2)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove $long"
identity=$(record_identity "$id")
hex=$(key_hex "$identity")
mark=$(journal_mark)

probe "a key that the target has" 0 accepted "$id" "$address:4422"
probe "the same, where TLS is required" 0 accepted "$id" "$address:4424"
probe "a key of SHA-384" 0 accepted "$long" "$address:4422"
wrong=$(tr 0-9a-f a-f0-9 <<<"$hex")
for port in 4422 4424; do
    refuses "port $port: an identity that it does not know" refused "$port" "${identity/example:probe/example:stranger}" "$hex"
    refuses "port $port: another PSK" refused "$port" "$identity" "$wrong"
done
probe "a port without TLS" 11 no-tls "$id" "$address:4423"
probe "a closed port" 11 unreachable "$id" "$address:4429"
check "tlshd has seen the handshakes" grep -q 'Handshake with .* was successful' <(journal_since "$mark" -t tlshd)
is "no probe has made a controller on the target" "$(journal_since "$mark" -k | grep -i 'creating.*controller')" ""

# A listener that says nothing holds the helper.
python3 -c '
import socket, time
s = socket.create_server(("'$address'", 4430))
time.sleep(120)' &
silent=$!
listens() { [ -n "$(ss -Hltn "src $address:4430")" ]; }
wait_until 60 listens
nvme-keyctl probe "$id" --address="$address:4430" >"$tmp/silent" 2>&1 &
asking=$!
runs() { pid=$(pgrep -x nvme-keyd-probe); }
check "the helper runs" wait_until 60 runs
[ -n "$pid" ] && status=$(<"/proc/$pid/status")
check "it is another user than root" test "$(awk '/^Uid:/ { print $2 }' <<<"$status")" -gt 0
is "it has no capability" "$(awk '/^Cap/ { print $2 }' <<<"$status" | sort -u)" 0000000000000000
is "it is filtered, and gets no privileges" "$(awk '/^(NoNewPrivs|Seccomp):/ { print $2 }' <<<"$status" | xargs)" "1 2"
check_fails "it does not see the store" test -e "/proc/$pid/root/var/lib/nvme-keyd/store"
wait "$asking"
is "a port that says nothing" "$? $(grep -c no-tls "$tmp/silent")" "11 2"
kill "$silent"

# --- on this machine

together
probe "a key that the target on this machine has" 0 accepted "$id" "$address:4422"
refuses "an identity that it does not know" own 4422 "${identity/example:probe/example:stranger}" "$hex"
probe "a closed port of this machine" 11 unreachable "$id" "$address:4429"
# ssh -L or SPDK: it listens on this machine, and refuses, but has another keyring than .nvme.
port=4431
python3 -c '
import socket
s = socket.create_server(("'$address'", '$port'))
while True:
    c = s.accept()[0]
    head = c.recv(5, socket.MSG_WAITALL)
    c.recv(int.from_bytes(head[3:], "big"), socket.MSG_WAITALL)
    c.close()' &
proxy=$!
listens_there() { [ -n "$(ss -Hltn "src $address:$port")" ]; }
wait_until 60 listens_there
probe "a proxy on this machine is not its target" 11 refused "$id" "$address:$port"
kill "$proxy"
check "a target for a connection" ln -s "$NVMET/subsystems/$plain" "$NVMET/ports/3/subsystems/"
check "connect" timeout 60 nvme connect -t tcp -a "$address" -s 4422 -n "$plain" --hostnqn="$HOSTNQN" --hostid="$HOSTID" \
    --keep-alive-tmo=30 --tls
defer "disconnect $plain"
connected() { ctrl_live "$(ctrl_of "$plain")"; }
check "the controller is live" wait_until 60 connected
probe "the address of the controller" 0 accepted "$long"
is "the result has its name" "$(jq -r '.results[].controller' "$tmp/probe")" "$(ctrl_of "$plain")"
check "the controller lives on" connected

no_units() { [ -z "$(systemctl list-units --all --plain --no-legend 'nvme-keyd-probe@*')" ]; }
check "no unit of a helper is left" wait_until 60 no_units
is "no PSK in the journal" "$(journal_since "$mark" | grep -ciE "${hex:0:24}|$(key_hex "$(record_identity "$long")" | head -c 24)")" 0
is "nothing of the kernel about it" "$(journal_since "$mark" -k | grep -E 'BUG|WARNING|Oops')" ""
