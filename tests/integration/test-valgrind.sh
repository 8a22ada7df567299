#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The daemon under valgrind through a life of every method, a reload, bad input and SIGTERM, and the helper that
# probes targets: no error, and nothing definitely lost.
. "$(dirname "$0")/lib.sh"

command -v valgrind >/dev/null || skip_all "needs valgrind"
# valgrind 3.19 lacks the system calls that start systemd-creds: the store is made without it, and its
# KEK is handed in as the service manager would.
printf '[Keyring]\nStandIn=yes\n' >"$conf"
daemon_start
add zero zero >/dev/null || bail "add"
daemon_stop
mkdir -m 700 "$tmp/credentials"
head -n 1 "$state/store" | json 'o["slots"][0]["credential"]' |
    systemd-creds decrypt --name=nvme-keyd.kek - "$tmp/credentials/nvme-keyd.kek" || bail "systemd-creds"
printf '%s\n' "$HOST nqn.2026-11.org.example:given $(psk given)" "of no use" "role=both $HOST $SUBSYSTEM $(psk given)" \
    >"$tmp/credentials/nvme-keyd.psk.x"
rm -f "$varlink" "$request"
each=(-E "STATE_DIRECTORY=$state" -E "CREDENTIALS_DIRECTORY=$tmp/credentials" -E "NVME_KEYD_PROBE=$tmp/probe")
under=(valgrind --quiet --child-silent-after-fork=yes --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite)
systemd-socket-activate --fdname=varlink -l "$varlink" "${each[@]}" \
    systemd-socket-activate --seqpacket --fdname=varlink:request -l "$request" "${each[@]}" \
    "${under[@]}" --log-file="$tmp/valgrind" "$build/nvme-keyd" -c "$conf" 2>>"$log" &
daemon=$!
systemd-socket-activate --seqpacket --accept --inetd -l "$tmp/probe" \
    "${under[@]}" --log-file="$tmp/valgrind.helper.%p" "$build/src/probe/nvme-keyd-probe" 2>>"$log" &
defer "kill $! 2>/dev/null"
wait_for 60 is_listening "$varlink" && wait_for 60 is_listening "$tmp/probe" || bail "systemd-socket-activate"

quiet() {
    "$@" >/dev/null
}

id=$(add one a) || bail "add"
check "list" test -n "$(ctl list --no-legend)"
check "generate" quiet ctl generate --role=target --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:target --print-key
check "show" quiet ctl show "$id"
new=$(ctl rotate "$id" --generate --force) || bail "rotate"
target=$(ctl list --json=short | json '[k["id"] for k in o["keys"] if k["role"] == "target"][0]')
check "rotate a target's" quiet ctl rotate "$target" --generate
check "sync" quiet ctl sync
check "status" quiet ctl status
check "store image" quiet ctl store image "$tmp/copy"
check "store image of nothing" test "$(ctl store image "$tmp/none" --subsysnqn=nqn.none 2>&1 | wc -l)" = 1
ctl show 0123456789abcdef >/dev/null 2>&1
ctl add --hostnqn="$HOST" --subsysnqn="$SUBSYSTEM" <<<"$(psk two)" >/dev/null 2>&1
python3 - "$varlink" <<'PY'
import socket, sys
for garbage in b"\0", b"x" * 200000, b'{"method":1}\0', b'{"method":"org.nvmekeyd.Manager.Add","parameters":{"psk":1}}\0':
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    try:
        s.sendall(garbage)
        s.settimeout(2)
        s.recv(4096)
    except OSError:
        pass
PY
# A target with the key, and after that a closed port.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
identity=$(ctl list --json=short | json '[i["identity"] for k in o["keys"] if k["id"] == "'"$new"'" for i in k["identities"]][0]')
openssl s_server -quiet -nocert -tls1_3 -accept "127.0.0.1:$port" -naccept 1 -psk_identity "$identity" \
    -psk "$(keyctl pipe "$(keyctl search "$(ring)" user "$identity")" | od -An -v -tx1 | tr -d ' \n')" </dev/null &>/dev/null &
server=$!
listens() { grep -qi "0100007F:$(printf %04X "$port") 00000000:0000 0A" /proc/net/tcp; }
wait_for 60 listens
check "probe" quiet ctl probe "$new" --address="127.0.0.1:$port"
wait "$server"
check_fails "probe of a closed port" quiet ctl probe "$new" --address="127.0.0.1:$port"
# The guard puts back what is taken out.
before=$(ring_names)
keyctl clear "$(ring)"
becomes "what is cleared is back" "$before" ring_names
kill -HUP "$daemon"
check "remove" ctl remove "$new"
check "the daemon still answers" quiet ctl status
daemon_stop
is "the daemon ends with status 0" "$daemon_status" 0
# Its own complaints begin with dashes.
is "valgrind reports nothing" "$(grep -v "^--" "$tmp/valgrind")" ""
is "valgrind reports nothing of two helpers" "$(cat "$tmp"/valgrind.helper.* | grep -cv "^--") $(ls "$tmp"/valgrind.helper.* | wc -l)" "0 2"
finish
