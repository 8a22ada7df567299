#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# A store that cannot be opened when the daemon starts: the keys in the ring stay, every verb says so, and
# as soon as it can be opened, an upcall is answered and the keys are published. A store that opens, but
# was changed by another program: the broken keys are listed, and the others work.
. "$(dirname "$0")/lib.sh"

# upcall DESCRIPTION: what the daemon answers a shim: "ERROR PAYLOAD".
upcall() {
    python3 - "$request" "$1" <<'PY'
import socket, struct, sys

s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(60)
s.connect(sys.argv[1])
s.send(struct.pack("I32s", 0x324D564E, b"user") + sys.argv[2].encode())
reply = s.recv(4096)
error, _, size = struct.unpack("III", reply[4:16])
print(error, reply[16 : 16 + size].decode())
PY
}

# EKEYREJECTED
readonly REJECTED=129
daemon_start
id=$(add one a) || bail "add"
serial=$(ctl show "$id" --json=short | json 'o["key"]["identities"][0]["serial"]')
daemon_stop

# A directory that others may enter is one that the store refuses.
chmod 755 "$state"
daemon_start
is "the keys in the ring stay" "$(ring_names | wc -l)" 1
refused "list says so" 8 "can be accessed|permission|mode|group" ctl list
refused "remove says so" 8 "." ctl remove "$id"
like "status says so" "$(ctl status)" "unavailable"
is "an upcall gets EKEYREJECTED" "$(upcall "nvme-tls-psk:$HOST $SUBSYSTEM")" "$REJECTED "
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
is "list publishes the key" "$(ring_names | wc -l)" 1
daemon_stop

# --- changed by another program

# Four keys, of one of which there are two versions.
rm -rf "$state" && mkdir -m 700 "$state"
daemon_start
victim=$(add b b --role=target) && others=("$(add a a)" "$(add c c)") || bail "add"
cp -a "$state" "$tmp/before"
others+=("$(psk d | ctl rotate "$victim" --force)") || bail "rotate"
daemon_stop
cp -a "$state" "$tmp/now"

# tampered TEXT ERROR COMMAND...: after the command one key is broken with that error, the others are as
# before, and published.
tampered() {
    local text=$1 error=$2
    shift 2
    rm -rf "$state" && cp -a "$tmp/now" "$state"
    (cd "$state" && "$@") || bail "$text"
    daemon_start
    keyctl clear "$(ring)"
    ctl sync >/dev/null 2>&1
    is "$text: list shows which key is broken" "$(ctl list --no-legend | awk '{ print $1, $2 }' | sort)" \
        "$(printf '%s\n' "$victim broken" "${others[@]/%/ active}" | sort)"
    like "$text: why" "$(ctl show "$victim")" "Error: $error"
    is "$text: the others are published" "$(ring_names | wc -l)" 4
    like "$text: status counts it" "$(ctl status)" "Keys: 4, 1 broken"
    daemon_stop
}

tampered "a changed record" "authentication failed" edit_store flip "$victim"
tampered "a cut record" "authentication failed" edit_store cut "$victim"
tampered "another record" "authentication failed" edit_store other "$victim" "${others[0]}"
tampered "a record that is there twice" "authentication failed" edit_store twice "$victim"
tampered "an older record" ".*older than " edit_store from "$tmp/before/store" "$victim"
tampered "a missing record" "the record is missing" edit_store drop "$victim"

# refused_store TEXT REGEX COMMAND...: after the command list fails and says why.
refused_store() {
    local text=$1 regex=$2
    shift 2
    rm -rf "$state" && cp -a "$tmp/now" "$state"
    (cd "$state" && "$@") || bail "$text"
    daemon_start
    refused "$text" 8 "$regex" ctl list
    daemon_stop
}
refused_store "a changed head" "store file: not authentic" edit_store flip-head
refused_store "a cut head" "store file: not authentic" truncate -s 100 store
refused_store "a file that is something else" "store file: " ln -sf /etc/passwd store

# With an older head every key that was changed since is broken: the rotated one and its successor.
rm -rf "$state" && cp -a "$tmp/now" "$state" && edit_store head "$tmp/before/store"
daemon_start
is "an older head: list shows which keys are broken" "$(ctl list --no-legend | awk '{ print $1, $2 }' | sort)" \
    "$(printf '%s\n' "$victim broken" "${others[0]} active" "${others[1]} active" "${others[2]} broken" | sort)"
like "an older head: why" "$(ctl show "$victim")" "Error: .*older than "
finish
