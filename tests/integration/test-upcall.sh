#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The kernel's request_key(2), /sbin/request-key, the shim and the daemon, as they are. Key type `user`
# stands in for `psk`, which this kernel need not have.
. "$(dirname "$0")/lib.sh"

readonly rule=/etc/request-key.d/00-keyd-test.conf
readonly shim=$build/src/request-key-shim/request-key-shim
readonly run_dir=/run/nvme-keyd
request=$run_dir/request

[ -x /sbin/request-key ] || skip_all "no /sbin/request-key"
[ ! -S "$request" ] || skip_all "$request is there: a daemon of this machine has it"
! grep -qs request-key-shim /etc/request-key.d/* || skip_all "request-key.d has rules for the shim already"

if [ ! -d "$run_dir" ]; then
    mkdir -m 755 "$run_dir"
    defer "rmdir '$run_dir'"
fi
defer "rm -f '$request'"
defer "rm -f '$rule'"
printf 'create\tuser\t%s\t*\t%s %%k %%u %%t %%d\n' "NVMe*" "$shim" "nvme-tls-psk:*" "$shim" >"$rule"
log_level=debug daemon_start

# request TYPE DESCRIPTION: prints the payload of the answer. In a session that leads nowhere, so that
# only an upcall can find it. As another user with user=(...) before it.
user=()
request() {
    # shellcheck disable=SC2016 # expands inside
    keyctl session - "${user[@]}" bash -c '
        key=$(keyctl request2 "$1" "$2" "" @s) || exit 1
        keyctl pipe "$key"' bash "$@" 2>"$tmp/request.err"
}

# timed COMMAND...: sets status, out and took, in milliseconds.
timed() {
    local start
    start=$(date +%s%N)
    out=$("$@")
    status=$?
    took=$((($(date +%s%N) - start) / 1000000))
}

hex() {
    od -An -v -tx1 | tr -d ' \n'
}

# What the ring has under a description.
ring_hex() {
    local serial
    for serial in $(keyctl rlist "$(ring)"); do
        [ "$(keyctl rdescribe "$serial" | cut -d ';' -f 5-)" != "$1" ] || keyctl pipe "$serial" | hex
    done
}

id=$(add one a --identity-version=0,1)
mapfile -t names < <(ring_names)
is "two identities are published" "${#names[@]}" 2
pair="nvme-tls-psk:$HOST $SUBSYSTEM"

for name in "${names[@]}"; do
    is "identity of version ${name:4:1}: the right bytes" "$(request user "$name" | hex)" "$(ring_hex "$name")"
done
serials=$(ctl show "$id" --json=short | json '" ".join(str(i["serial"]) for i in o["key"]["identities"])')
is "pair: the serials" "$(request user "$pair")" "$serials"

keyctl clear "$(ring)"
like "pair: published again" "$(request user "$pair")" '^[0-9]+ [0-9]+$'
is "pair: what is in the ring" "$(ring_names | tr '\n' '|')" "$(printf '%s|' "${names[@]}")"
keyctl clear "$(ring)"
check "without digest: search again" test -z "$(request user "NVMe1R01 $HOST $SUBSYSTEM")"
like "without digest: the error" "$(<"$tmp/request.err")" "Resource temporarily unavailable"
is "without digest: the ring has them" "$(ring_names | wc -l)" 2

# --- misses

# missed TEXT DESCRIPTION [ERROR]
missed() {
    timed request user "$2"
    { [ "$status" -ne 0 ] && [ -z "$out" ] && [ "$took" -lt 9000 ] && grep -q "${3:-Required key not available}" "$tmp/request.err"; }
    result $? "$1" || diag "status $status after $took ms" "$(<"$tmp/request.err")"
}
missed "unknown pair" "nvme-tls-psk:$HOST nqn.2026-11.org.example:nobody"
like "a miss is logged" "$(tail -n 3 "$log")" "The kernel asked for a PSK that is not here: nvme-tls-psk:$HOST nqn.2026-11.org.example:nobody"
missed "unknown identity" "NVMe0R01 $HOST nqn.2026-11.org.example:nobody"
missed "no pair" "nvme-tls-psk:"
missed "no identity" "NVMe"
missed "a generated key of the kernel" "NVMe1G01 $HOST $SUBSYSTEM x"
missed "control characters" $'NVMe\e[31m\n'
is "control characters are not logged" "$(grep -c $'\e' "$log")" 0
missed "the longest description" "NVMe$(printf 'x%.0s' {1..4091})"
is "the daemon lives" "$(request user "${names[1]}" | hex)" "$(ring_hex "${names[1]}")"

# --- another user

user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
chmod 711 "$tmp"
install -m 666 /dev/null "$tmp/request.err"
missed "uid 65534: an identity" "${names[1]}" "Permission denied"
missed "uid 65534: a pair" "$pair" "Permission denied"
# shellcheck disable=SC2016 # expands inside
theirs=$(keyctl session - "${user[@]}" bash -c '
    keyctl request2 user "$1" "" @s
    for key in $(keyctl rlist @s); do keyctl pipe "$key"; done' bash "${names[1]}" 2>/dev/null | hex)
is "uid 65534: nothing comes into its keyring" "$theirs" ""
user=()

# The socket is not for others, whoever holds its door open.
chmod 666 "$request"
refused_by_socket() {
    setpriv --reuid=65534 --regid=65534 --clear-groups "$python" -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(5)
s.connect(sys.argv[1])
try:
    s.send(b"NVMK" + b"user".ljust(32, b"\0") + sys.argv[2].encode())
    sys.exit(s.recv(4096) != b"")
except (ConnectionResetError, BrokenPipeError):
    pass' "$request" "$pair"
}
check "uid 65534: no answer on the socket" refused_by_socket
like "uid 65534: the refusal is logged" "$(tail -n 2 "$log")" "A process of uid 65534 on the request socket, refused"
chmod 600 "$request"

# --- many

for i in {1..200}; do
    request user "${names[$((i % 2))]}" >"$tmp/answer.$i" 2>/dev/null &
    pids[i]=$!
done
lost=0
for i in {1..200}; do
    wait "${pids[$i]}" || lost=$((lost + 1))
done
is "200 requests at once: all are answered" "$lost" 0
is "200 requests at once: two answers" "$(sha256sum "$tmp"/answer.* | cut -d ' ' -f 1 | sort | uniq -c | awk '{print $1}' | tr '\n' ' ')" "100 100 "

# --- no daemon

kill -STOP "$daemon"
missed "a daemon that hangs" "${names[1]}"
{ [ "$took" -ge 7000 ] && [ "$took" -lt 9000 ]; }
result $? "a daemon that hangs: within 9 s" || diag "$took ms"
kill -CONT "$daemon"
is "a daemon that goes on" "$(request user "${names[1]}" | hex)" "$(ring_hex "${names[1]}")"
daemon_stop
missed "nobody listens" "${names[1]}"
check "nobody listens: at once" test "$took" -lt 2000
rm -f "$request"
missed "no socket" "${names[1]}"
check "no socket: at once" test "$took" -lt 2000
missed "no socket: a pair" "$pair"

# --- the shim by itself

for words in "" "x" "0 0 user a" "-1 0 user a" "123"; do
    # shellcheck disable=SC2086 # words
    run "$shim" $words
    is "the shim with \"$words\" fails" "$status" 1
done

finish
