#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# A store that cannot be opened when the daemon starts: what is in the ring stays, every verb says so,
# and as soon as it can be opened, an upcall is answered and the keys are published.
. "$(dirname "$0")/lib.sh"

# upcall DESCRIPTION: what the daemon answers a shim: "ERROR PAYLOAD".
upcall() {
    python3 - "$request" "$1" <<'PY'
import socket, struct, sys

s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(10)
s.connect(sys.argv[1])
s.send(struct.pack("I32s", 0x4B4D564E, b"user") + sys.argv[2].encode())
reply = s.recv(4096)
error, _, size = struct.unpack("III", reply[4:16])
print(error, reply[16 : 16 + size].decode())
PY
}

readonly AGAIN=11
daemon_start
id=$(add one a) || bail "add"
serial=$(ctl show "$id" --json=short | json 'o["key"]["identities"][0]["serial"]')
daemon_stop

# A directory that others may enter is one that the store refuses.
chmod 755 "$state"
daemon_start
is "what is in the ring stays" "$(ring_names | wc -l)" 1
refused "list says so" 8 "can be accessed|permission|mode|group" ctl list
refused "remove says so" 8 "." ctl remove "$id"
like "status says so" "$(ctl status)" "unavailable"
is "an upcall is to come again" "$(upcall "nvme-tls-psk:$HOST $SUBSYSTEM")" "$AGAIN "
keyctl unlink "$serial" "$(ring)"
chmod 700 "$state"
answer=$(upcall "nvme-tls-psk:$HOST $SUBSYSTEM")
like "an upcall opens it" "$answer" "^0 [0-9]+$"
is "its key is published" "$(ring_names | wc -l)" 1
daemon_stop

chmod 755 "$state"
daemon_start
keyctl clear "$(ring)"
chmod 700 "$state"
check "list opens it" test -n "$(ctl list --no-legend)"
is "and publishes" "$(ring_names | wc -l)" 1
finish
