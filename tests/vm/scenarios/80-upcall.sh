# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: upcall
# kernel: both
# needs: nvme-keyd
# suite: upcall
# shows: request_key(2) is answered for root of this machine; other users learn nothing

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:upcall
nobody=nqn.2026-11.org.example:nobody
as_user=(setpriv --reuid=1000 --regid=1000 --clear-groups)

# The answer goes to a keyring of its own; "keyctl session" keeps the request from searching ours.
# payload_of_request TYPE DESCRIPTION
payload_of_request() {
    keyctl session - bash -c '
                ring=$(keyctl newring vm-upcall @s)
                key=$(keyctl request2 "$1" "$2" "" "$ring") || exit
                keyctl pipe "$key"' bash "$@" 2>"$tmp/request.err"
}
as_hex() { od -An -v -tx1 | tr -d ' \n'; }

id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove $id"
modprobe nvme-keyring
identity=$(record_identity "$id")
want=$(key_hex "$identity")
check "the key is published" test -n "$want"

# With nothing in .nvme the answer can only come from the store.
forget_keys
is "psk: the right bytes" "$(payload_of_request psk "$identity" | as_hex)" "$want"
cat "$tmp/request.err" >&2

answer=$(payload_of_request user "nvme-tls-psk:$HOSTNQN $sub")
diag "answer: $answer"
serial=$(key_serial "$identity")
check "user: the key is in .nvme again" test -n "$serial"
is "user: its serial is the answer" "$answer" "${serial:-none}"
is "user: with the right bytes" "$(key_hex "$identity")" "$want"

forget_keys
is "psk without digest: no key is made" "$(payload_of_request psk "${identity% *}")" ""
check "psk without digest: search again" grep -q 'Resource temporarily unavailable' "$tmp/request.err"
is "psk without digest: the key is in .nvme" "$(key_hex "$identity")" "$want"

for request in "psk NVMe1R01 $HOSTNQN $nobody AAAA=" "user nvme-tls-psk:$HOSTNQN $nobody"; do
    start=$(now_ms)
    is "${request%% *}: nothing for an unknown pair" "$(payload_of_request "${request%% *}" "${request#* }")" ""
    took=$(($(now_ms) - start))
    check "${request%% *}: with ENOKEY" grep -q 'Required key not available' "$tmp/request.err"
    check "${request%% *}: in bounded time ($took ms)" test "$took" -lt 60000
done

# --- another user

# ask_as_user TEXT TYPE DESCRIPTION COMMAND...: checks what the requester gets, and its keyrings afterwards. The
# command changes the user.
ask_as_user() {
    local text=$1 type=$2 description=$3 mark
    shift 3

    forget_keys
    mark=$(journal_mark)
    "$@" keyctl session - bash -c '
                ring=$(keyctl newring vm-upcall @s)
                keyctl request2 "$1" "$2" "" "$ring" && echo "a key"
                for key in $(keyctl rlist "$ring") $(keyctl rlist @s) $(keyctl rlist @u); do
                        [ "$key" = "$ring" ] || ! keyctl pipe "$key" || echo "a payload"
                done' bash "$type" "$description" >"$tmp/user.out" 2>"$tmp/user.err"
    is "$text: no key, none in its keyrings" "$(cat "$tmp/user.out")" ""
    check "$text: EACCES" grep -q 'request_key: Permission denied' "$tmp/user.err"
    is "$text: nothing in .nvme" "$(ring_count)" 0
    check "$text: it is logged" wait_until 60 said_since "$mark" 'request by uid 1000 refused'
}
said_since() { journal_since "$1" --identifier=request-key-shim | grep -q "$2"; }

n=0
in_namespace=(unshare --user --map-root-user)
for pair in "a key that is there|$identity|$HOSTNQN $sub" "one that is not|NVMe1R01 $HOSTNQN $nobody AAAA=|$HOSTNQN $nobody"; do
    IFS='|' read -r what psk nqns <<<"$pair"
    ask_as_user "another user, psk, $what" psk "$psk" "${as_user[@]}"
    cp "$tmp/user.err" "$tmp/psk-$((++n))"
    ask_as_user "another user, user, $what" user "nvme-tls-psk:$nqns" "${as_user[@]}"
    cp "$tmp/user.err" "$tmp/user-$n"
    ask_as_user "its root of a user namespace, psk, $what" psk "$psk" "${as_user[@]}" "${in_namespace[@]}"
    ask_as_user "its root of a user namespace, user, $what" user "nvme-tls-psk:$nqns" "${as_user[@]}" "${in_namespace[@]}"
done
# keyctl names serials, which differ
for type in psk user; do
    is "$type: the same text for both" "$(tr -d 0-9 <"$tmp/$type-1")" "$(tr -d 0-9 <"$tmp/$type-2")"
done

check "the socket is not for another user" grep -q PermissionError <("${as_user[@]}" python3 -c '
import socket
socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect("/run/nvme-keyd/request")' 2>&1)
check "the socket is open for root" python3 -c '
import socket
socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect("/run/nvme-keyd/request")'
