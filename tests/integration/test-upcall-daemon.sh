#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# A daemon that is stopped, dead, gone, started by the request, or without its store: the answer comes
# within 9 s, and the next one is right as soon as it can be.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/upcall.sh"

readonly pair="nvme-tls-psk:$HOST $SUBSYSTEM"
daemon_start
id=$(add one a) || bail "add"
name=$(ring_names)
bytes=$(ring_hex "$name")

# right TEXT: the identity is answered.
right() {
    request user "$name"
    is "$1" "$result $answer" "OK $bytes"
}

# is_asking DESCRIPTION: a shim does.
is_asking() {
    [ "$(shims "$1")" -gt 0 ]
}

# --- stopped, dead, gone

kill -STOP "$daemon"
for what in "$name" "$pair"; do
    printf 'user\t%s\n' "$what"
done | requester --lines --together >"$tmp/answers"
is "a daemon that hangs: the results" "$(cut -d ' ' -f 2 "$tmp/answers" | tr '\n' ' ')" "ENOKEY ENOKEY "
check "a daemon that hangs: after 8 seconds" awk -v l="$LATEST" '$1 < 7000 || $1 > l { bad = 1 } END { exit bad }' "$tmp/answers"
check "a daemon that hangs: for a second" awk '$4 !~ /^([01]s|expd)$/ { bad = 1 } END { exit bad }' "$tmp/answers"
requester user "$name" >"$tmp/answers" &
asking=$!
wait_for 60 is_asking "NVMe1R01 $HOST $SUBSYSTEM"
sleep 1
kill -CONT "$daemon"
wait "$asking"
read -r took result flags expiry held answer <"$tmp/answers"
is "a daemon that goes on: the waiting request is answered" "$result $answer" "OK $bytes"
right "a daemon that goes on: the next request is answered, too"
daemon_stop
gets "no process listens" ENOKEY "$name"
between "no process listens: at once" 0 "$AT_ONCE"
rm -f "$request"
gets "no socket" ENOKEY "$name"
between "no socket: at once" 0 "$AT_ONCE"
gets "no socket: a pair" ENOKEY "$pair"

# --- started by the request

# daemon_wait [OPTION...]: as daemon_listen, but it starts with the first connection to $request.
daemon_wait() {
    local each=(-E "STATE_DIRECTORY=$state" -E "NVME_KEYD_LOG_LEVEL=info" "$@")
    rm -f "$varlink" "$request"
    systemd-socket-activate --seqpacket --fdname=request -l "$request" "${each[@]}" \
        systemd-socket-activate --fdname=request:varlink -l "$varlink" "${each[@]}" \
        "$build/nvme-keyd" -c "$conf" 2>>"$log" &
    daemon=$!
    wait_for 60 is_listening "$request" || bail "systemd-socket-activate"
}

daemon_wait
check "it is not running yet" eval '! is_daemon'
right "a cold daemon answers an identity"
check "the request has started it" is_daemon
daemon_stop
daemon_wait
keyctl clear "$(ring)"
request user "$pair"
is "a cold daemon answers a pair" "$result $(text "$answer")" "OK $(ring_serials "$name")"
daemon_stop
daemon_wait
gets "a cold daemon answers a miss" ENOKEY "nvme-tls-psk:$HOST nqn.2026-11.org.example:none"

# The daemon is killed while it has requests. The activator keeps the socket, as systemd does.
daemon_stop
rm -f "$request"
"$interpreter" - "$request" "$tmp" "$build/nvme-keyd" >"$tmp/activator.out" 2>>"$log" <<'PY' &
"""Holds the socket. The first program dies with the first request; the second is the daemon."""
import os, select, socket, sys
path, directory, program = sys.argv[1:]
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(path)
s.listen(64)
print("ready", flush=True)
s.accept()[0].recv(65536)
select.select([s], [], [])
os.dup2(os.dup(s.fileno()), 3, inheritable=True)
os.execve(program, [program, "-c", f"{directory}/keyd.conf"], {
    "LISTEN_FDS": "1", "LISTEN_FDNAMES": "request", "LISTEN_PID": str(os.getpid()),
    "STATE_DIRECTORY": f"{directory}/state"})
PY
daemon=$!
wait_for 60 grep -qs ready "$tmp/activator.out" || bail "activator"
right "killed with the request in its hands: the next one answers it"
daemon_stop

# --- 200 identities at once, before the daemon is started

"$interpreter" - "$HOST" >"$tmp/keys" <<'PY'
import base64, hashlib, sys, zlib
for i in range(199):
    key = hashlib.sha256(b"many%d" % i).digest()
    text = base64.b64encode(key + zlib.crc32(key).to_bytes(4, "little")).decode()
    digest = base64.b64encode(hashlib.sha256(b"digest" + key).digest()).decode()
    print(f"NVMe1R01 {sys.argv[1]} nqn.2026-11.org.example:many{i:03} {digest} NVMeTLSkey-1:01:{text}:")
PY
chmod 600 "$tmp/keys"
daemon_start
ctl import "$tmp/keys" >/dev/null || bail "import"
mapfile -t names < <(ring_names)
is "there are 200 identities" "${#names[@]}" 200
for serial in $(keyctl rlist "$(ring)"); do
    printf '%s\t%s\n' "$(keyctl rdescribe "$serial" | cut -d ';' -f 5-)" "$(keyctl pipe "$serial" | od -An -v -tx1 | tr -d ' \n')"
done | sort >"$tmp/expected"
daemon_stop
# A machine that is busy for 8 seconds fails this, but not three times.
for _ in 1 2 3; do
    daemon_wait
    sed 's/^/user\t/' <(cut -f 1 "$tmp/expected") | requester --lines --together >"$tmp/answers"
    [ "$(grep -c " OK " "$tmp/answers")" -lt 200 ] || break
    daemon_stop
done
is "200 identities: all are answered" "$(cut -d ' ' -f 2 "$tmp/answers" | sort | uniq -c | tr -s ' ')" " 200 OK"
is "200 identities: with their own bytes" "$(cut -d ' ' -f 6 "$tmp/answers")" "$(cut -f 2 "$tmp/expected")"
diag "the slowest took $(cut -d ' ' -f 1 "$tmp/answers" | sort -n | tail -n 1) ms"
check "200 identities: by one daemon" is_daemon
is "200 identities: the daemon lives" "$(ctl status --json=short | json 'o["keys"]')" 200
daemon_stop

# --- without its store

# A directory that others may enter is one that the store refuses.
chmod 755 "$state"
daemon_wait
gets "a store that is refused" EKEYREJECTED "$name"
like "a store that is refused: for two seconds" "$expiry" '^([012]s|expd)$'
gets "a store that is refused: a pair" EKEYREJECTED "$pair"
gets "a store that is refused: an unknown pair" EKEYREJECTED "nvme-tls-psk:$HOST nqn.2026-11.org.example:none"
as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
gets "a store that is refused: another user" EACCES "$name"
as=()
chmod 700 "$state"
right "the store is accepted again: an answer at once"
daemon_stop

# systemd's service for credentials, which does not answer.
"$interpreter" -c '
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
print("ready", flush=True)
time.sleep(600)' "$tmp/creds" >"$tmp/creds.out" &
defer "kill $! 2>/dev/null"
wait_for 60 grep -qs ready "$tmp/creds.out" || bail "creds"
daemon_wait -E "NVME_KEYD_CREDS_SOCKET=$tmp/creds"
gets "a store that cannot be opened in time" ENOKEY "$name"
between "a store that cannot be opened in time: after 8 seconds" 7000 "$LATEST"
like "a store that cannot be opened in time: for a second" "$expiry" '^([01]s|expd)$'
daemon_stop
daemon_wait
right "the store can be opened again: an answer"
finish
