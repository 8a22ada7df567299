# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# shows: request_key(2) is answered, for root only

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:upcall
as_user=(setpriv --reuid=1000 --regid=1000 --clear-groups)

# A request's answer goes to a keyring that nobody else has; "keyctl session" keeps it from searching ours.
# payload_of_request TYPE DESCRIPTION
payload_of_request() {
        keyctl session - bash -c '
                ring=$(keyctl newring vm-upcall @s)
                key=$(keyctl request2 "$1" "$2" "" "$ring") || exit
                keyctl pipe "$key"' bash "$@" 2>"$tmp/request.err"
}

id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove $id"
modprobe nvme-keyring
identity=$(record_identity "$id")
want=$(key_hex "$identity")
check "the key is published" test -n "$want"

# With nothing in .nvme the answer can only come from the store.
keyctl clear "$(nvme_ring)"
is "psk: the right bytes" "$(payload_of_request psk "$identity" | od -An -tx1 | tr -d ' \n')" "$want"
cat "$tmp/request.err" >&2

answer=$(payload_of_request user "nvme-tls-psk:$HOSTNQN $sub")
diag "answer: $answer"
serial=$(key_serial "$identity")
check "user: the key is in .nvme again" test -n "$serial"
check "user: its serial is the answer" grep -qw "${serial:-none}" <<<"$answer"
is "user: with the right bytes" "$(key_hex "$identity")" "$want"

for request in "psk NVMe1R01 $HOSTNQN nqn.2026-11.org.example:nobody AAAA=" \
        "user nvme-tls-psk:$HOSTNQN nqn.2026-11.org.example:nobody"; do
        start=$(now_ms)
        is "${request%% *}: nothing for an unknown pair" "$(payload_of_request "${request%% *}" "${request#* }")" ""
        took=$(($(now_ms) - start))
        check "${request%% *}: with ENOKEY" grep -q 'Required key not available' "$tmp/request.err"
        check "${request%% *}: in less than 9 s ($took ms)" test "$took" -lt 9000
done

for request in "psk $identity" "user nvme-tls-psk:$HOSTNQN $sub"; do
        got=$("${as_user[@]}" keyctl session - bash -c \
                'key=$(keyctl request2 "$1" "$2" "" @s) && keyctl pipe "$key" | od -An -tx1' \
                bash "${request%% *}" "${request#* }" 2>"$tmp/user.err")
        is "${request%% *}: nothing for another user" "$got" ""
        check "${request%% *}: and an error" grep -qE 'Required key not available|Permission denied|rejected' "$tmp/user.err"
done
