#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The daemon under valgrind through a life of every method, a reload, bad input and SIGTERM: no
# error, and nothing definitely lost.
. "$(dirname "$0")/lib.sh"

command -v valgrind >/dev/null || skip_all "needs valgrind"
# valgrind 3.19 lacks the system calls that start systemd-creds: the store is made without it, and its
# KEK is handed in as the service manager would.
daemon_start
add zero zero >/dev/null || bail "add"
daemon_stop
mkdir -m 700 "$tmp/credentials"
head -n 1 "$state/store" | json 'o["slots"][0]["credential"]' |
    systemd-creds decrypt --name=nvme-keyd.kek - "$tmp/credentials/nvme-keyd.kek" || bail "systemd-creds"
printf '%s\n' "$HOST nqn.2026-11.org.example:given $(psk given)" "of no use" "role=both $HOST $SUBSYSTEM $(psk given)" \
    >"$tmp/credentials/nvme-keyd.psk.x"
rm -f "$varlink" "$request"
each=(-E "STATE_DIRECTORY=$state" -E "CREDENTIALS_DIRECTORY=$tmp/credentials")
systemd-socket-activate --fdname=varlink -l "$varlink" "${each[@]}" \
    systemd-socket-activate --seqpacket --fdname=varlink:request -l "$request" "${each[@]}" \
    valgrind --quiet --child-silent-after-fork=yes --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
    --log-file="$tmp/valgrind" "$build/nvme-keyd" -c "$conf" 2>>"$log" &
daemon=$!
wait_for 60 is_listening "$varlink" || bail "systemd-socket-activate"

quiet() {
    "$@" >/dev/null
}

id=$(add one a) || bail "add"
check "list" test -n "$(ctl list --no-legend)"
check "generate" quiet ctl generate --role=target --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:target --print-key
check "show" quiet ctl show "$id"
new=$(ctl rotate "$id" --generate) || bail "rotate"
target=$(ctl list --json=short | json '[k["id"] for k in o["keys"] if k["role"] == "target"][0]')
check "rotate a target's" quiet ctl rotate "$target" --generate
check "sync" quiet ctl sync
check "status" quiet ctl status
check "store export" quiet ctl store export "$tmp/copy"
check "store export of nothing" test "$(ctl store export "$tmp/none" --subsysnqn=nqn.none 2>&1 | wc -l)" = 1
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
kill -HUP "$daemon"
check "remove" ctl remove "$new"
check "the daemon still answers" quiet ctl status
daemon_stop
is "the daemon ends with status 0" "$daemon_status" 0
# Its own complaints begin with dashes.
is "valgrind reports nothing" "$(grep -v "^--" "$tmp/valgrind")" ""
finish
