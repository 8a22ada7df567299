#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Probes, from nvme-keyctl through the daemon and the helper to servers of other TLS programs, and
# places without PSKs: the memory of daemon and helper, their words, environment and logs.
. "$(dirname "$0")/lib.sh"

. "$(dirname "$0")/probe.sh"

# answer_of: the only answer of the last probe
answer_of() {
    json 'o["results"][0]["answer"]' <<<"$out"
}

# probe_is TEXT STATUS ANSWER [OPTION...]
probe_is() {
    local text=$1 expected=$2 answer=$3
    shift 3
    run ctl probe "$id" --json=short --address="127.0.0.1:$port" "$@"
    is "$text" "$status $(answer_of)" "$expected $answer" || diag "$out$err"
}

# tls_psk: the TLS PSK of the only key in the ring, in hex
tls_psk() {
    keyctl pipe "$(keyctl rlist "$(ring)" | awk '{ print $1 }')" | od -An -v -tx1 | tr -d ' \n'
}

log_level=debug daemon_start "${each[@]}"
secret=$(psk one)
id=$(ctl add --hostnqn="$HOST" --subsysnqn="$SUBSYSTEM" <<<"$secret")
identity=$(ring_names)
hex=$(tls_psk)
port=$(free_port)

# --- without a helper

probe_is "no helper: the probe fails, and says so" 11 unavailable
like "no helper: what to do" "$out" "nvme-keyd-probe.socket"
refused "no controller, no address" 11 "no controller of this host" ctl probe "$id"
refused "an unknown key" 4 "no key has the id" ctl probe 0123456789abcdef --address=127.0.0.1
for bad in target.example 127.0.0.1:0 127.0.0.1:65536 127.0.0.1: "[::1" "[::1]4420" "[::1]:x" 127.0.0.1%lo; do
    run ctl probe "$id" --address="$bad"
    like "refused: --address=$bad" "$status $err" "^2 nvme-keyctl: --address= needs "
done
as=(setpriv --reuid=65534 --clear-groups)
[ "$(id -u)" -ne 0 ] || check_fails "another user may not" \
    "${as[@]}" "$build/nvme-keyctl" --socket="$varlink" probe "$id" --address=127.0.0.1
as=()

# --- OpenSSL as the target

helpers_start
serve s_server openssl s_server -quiet -nocert -tls1_3 -accept "127.0.0.1:$port" -psk "$hex" -psk_identity "$identity"
probe_is "openssl s_server: accepted" 0 accepted
mark=$(wc -l <"$log")
run ctl probe "$id" --address="127.0.0.1:$port"
is "a table" "$status $(sed -n '1p' <<<"$out" | xargs)" "0 CONTROLLER ADDRESS ANSWER DETAIL"
like "a table: the answer" "$out" "- +127\.0\.0\.1:$port +accepted +TLS 1\.3 handshake with TLS_AES_128_GCM_SHA256"
like "a table: what the answer means" "$out" $'\naccepted: the target has this key'
is "without a legend: the answers alone" "$(ctl probe "$id" --address="127.0.0.1:$port" --no-legend | wc -l)" 1
like "the log: one line a round" "$(tail -n "+$((mark + 1))" "$log" | grep "is accepted by")" \
    "Key $id is accepted by 1 of 1 targets"

controller nvme0 "traddr=127.0.0.1,trsvcid=$port,src_addr=127.0.0.1"
controller nvme1 "traddr=127.0.0.1,trsvcid=$port,host_traddr=127.0.0.2,host_iface=lo,src_addr=127.0.0.2"
run ctl probe "$id" --json=short
is "all controllers of the pair" "$status $(json 'sorted((r["controller"], r["answer"]) for r in o["results"])' <<<"$out")" \
    "0 [('nvme0', 'accepted'), ('nvme1', 'accepted')]"
closed=$(free_port)
controller nvme2 "traddr=127.0.0.1,trsvcid=$closed"
run ctl probe "$id"
is "one path is down: not all accept" "$status" 11
like "one path is down: both kinds of answers" "$out" $'\naccepted: .*\nunreachable: '
rm -r "${NVME_KEYD_CONTROLLERS:?}"/*
kill "$server"

# All targets of this test are on this machine, but no target of its kernel.
port=$(free_port)
serve s_server openssl s_server -quiet -nocert -tls1_3 -accept "127.0.0.1:$port" -psk "${hex//[0-9]/f}" -psk_identity "$identity"
probe_is "another PSK" 11 refused
like "another PSK: where" "$out" "at an address of this machine, but not its kernel's target, "
kill "$server"
port=$(free_port)
serve s_server openssl s_server -quiet -nocert -tls1_3 -accept "127.0.0.1:$port" -psk "$hex" -psk_identity "${identity}x"
ports=$NVME_KEYD_TARGET_PORTS/1
mkdir -p "$ports/subsystems/$SUBSYSTEM"
for pair in addr_trtype=tcp addr_tsas=tls1.3 addr_traddr=127.0.0.1 "addr_trsvcid=$port"; do
    echo "${pair#*=}" >"$ports/${pair%%=*}"
done
probe_is "another identity, at a port of the kernel's target" 11 own
rm -r "$ports"
probe_is "another identity" 11 refused
kill "$server"
probe_is "a closed port" 11 unreachable
like "a closed port: the cause" "$out" "Connection refused"
port=$(free_port)
serve plain python3 -m http.server --bind 127.0.0.1 "$port"
probe_is "a server without TLS" 11 no-tls
kill "$server"

# --- SHA-384, and IPv6

keyctl clear "$(ring)"
id=$(psk two 2 | ctl add --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:b)
identity=$(ring_names)
hex384=$(tls_psk)
port=$(free_port)
session "$hex384" 1302
serve s_server openssl s_server -quiet -nocert -tls1_3 -accept "127.0.0.1:$port" -psk_session "$tmp/session" -psk_identity "$identity"
probe_is "SHA-384" 0 accepted
like "SHA-384: its suite" "$out" "TLS_AES_256_GCM_SHA384"
kill "$server"

# --- GnuTLS, as tlshd has it

if command -v gnutls-serv >/dev/null; then
    port=$(free_port)
    printf '#%s:%s\n' "$(printf %s "$identity" | od -An -v -tx1 | tr -d ' \n')" "$hex384" >"$tmp/psk.passwd"
    serve gnutls gnutls-serv --quiet --echo --port="$port" --pskpasswd="$tmp/psk.passwd" \
        --priority=NORMAL:-KX-ALL:+PSK:+DHE-PSK:+ECDHE-PSK:-VERS-ALL:+VERS-TLS1.3
    probe_is "gnutls-serv: refused, as tlshd of this host would be" 11 refused
    like "gnutls-serv: the hash" "$out" "offered as one of SHA-384"
    # It takes each PSK of its file as one for SHA-256, and so does a tlshd that was built with it.
    echo "no such function" >"$NVME_KEYD_TLSHD_PROGRAM"
    probe_is "gnutls-serv: accepted, by a host that has it as well" 0 accepted
    like "gnutls-serv: the suite" "$out" "TLS_CHACHA20_POLY1305_SHA256"
    rm "$NVME_KEYD_TLSHD_PROGRAM"
    kill "$server"
else
    skip "gnutls-serv: accepted" "not installed"
fi

# --- where no PSK may be

# A target that is silent holds the helper for as long as the search takes.
port=$(free_port)
serve silent python3 -c '
import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
held = []
while True:
    held.append(s.accept())' "$port"
ctl probe "$id" --address="127.0.0.1:$port" --json=short >"$tmp/silent.out" &
asking=$!
runs_helper() { running=$(pgrep -P "$activator" -x nvme-keyd-probe); }
check "the helper runs" wait_for 10 runs_helper
sleep 1
words=$({ tr '\0' '\n' <"/proc/$running/cmdline" && tr '\0' '\n' <"/proc/$running/environ"; } 2>/dev/null)
unlike() { ! grep -qiF "$2" <<<"$1"; }
check "the helper: not in its words or environment" unlike "$words" "${hex384:0:24}"
is "the helper leaves no core" "$(awk '/^Max core file size/ { print $5, $6 }' "/proc/$running/limits")" "0 0"
echo "tls $hex384" >"$tmp/secret"
found=$(python3 "$source/tests/integration/memory.py" "$running" <"$tmp/secret" 2>/dev/null)
if grep -q __asan_init "$helper"; then
    skip "the helper: what it has is locked, or in the session of OpenSSL" "a sanitizer keeps what was freed"
else
    like "the helper: its copy is locked" "$found" "tls locked"
    # 48 bytes are three of the pieces that are looked for.
    is "the helper: there is one more, in the session of OpenSSL" "$(grep -c '^tls unlocked' <<<"$found")" 3
    is "the daemon has sent it, and has none" "$(python3 "$source/tests/integration/memory.py" "$daemon" <"$tmp/secret" 2>/dev/null)" ""
fi
wait "$asking"
is "a silent target" "$? $(json 'o["results"][0]["answer"]' <"$tmp/silent.out")" "11 no-tls"

# The helper ends with the probe that it runs for, long before its deadlines.
ctl probe "$id" --address="127.0.0.1:$port" >/dev/null 2>&1 &
asking=$!
check "the helper runs again" wait_for 10 runs_helper
daemon_stop
helper_is_gone() { ! runs_helper; }
check "the daemon ends, and the helper with it" wait_for 5 helper_is_gone
wait "$asking"
kill "$server"

text=${secret:16:20}
grep -rliF -e "$text" -e "${hex:0:24}" -e "${hex384:0:24}" "$log" "$helpers" >"$tmp/found"
is "no PSK in the logs" "$(<"$tmp/found")" ""
is "no helper complains" "$(grep -E 'nvme-keyd-probe:|Sanitizer|runtime error' "$helpers")" ""

if command -v strace >/dev/null; then
    helpers_stop
    helpers_start strace -f -s 8192 -xx -e trace=execve,write,writev,sendto,sendmsg -o "$tmp/helper.trace"
    daemon_start "${each[@]}"
    port=$(free_port)
    serve s_server openssl s_server -quiet -nocert -tls1_3 -accept "127.0.0.1:$port" -psk_session "$tmp/session" -psk_identity "$identity"
    probe_is "under strace" 0 accepted
    kill "$server"
    # With -xx each byte is \xHH.
    escaped() { sed 's/../\\x&/g'; }
    check "strace has seen the answer" grep -qF "$(printf 'TLS 1.3' | od -An -v -tx1 | tr -d ' \n' | escaped)" "$tmp/helper.trace"
    is "the helper: no PSK in what it writes or executes" \
        "$(grep -cF "$(printf %s "${hex384:0:32}" | escaped)" "$tmp/helper.trace")" 0
else
    skip "no PSK in the helper's writes" "no strace"
fi

# --- what is no request

# odd BYTES: sends a packet to a helper, prints its answer
odd() {
    python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
s.send(eval(sys.argv[2]))
s.settimeout(30)
print(s.recv(4096)[8:].rstrip(b"\0").decode())' "$probe" "$1"
}
is "a packet of another form" "$(odd 'b"what"')" "the helper does not know the form of the request"
is "a packet that is too long" "$(odd 'b"x" * 4096')" "the helper does not know the form of the request"

finish
