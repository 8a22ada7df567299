#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# store image: a sealed copy with some of the keys, for a boot image.
. "$(dirname "$0")/lib.sh"

readonly A=nqn.2026-11.org.example:a B=nqn.2026-11.org.example:b C=nqn.2026-11.org.example:c
copy=$tmp/copy

# The ids in a copy, sorted, as a reader of its own finds them; it fails for a broken one.
ids_in() {
    local out
    out=$("$python" "$source/tests/integration/read-store.py" "$1") || return
    sed -n 's/^{"id": "\([0-9a-f]*\)".*/\1/p' <<<"$out" | sort
}
sorted() { printf '%s\n' "$@" | sort; }
secrets_in() {
    "$python" "$source/tests/integration/read-store.py" --show-secrets "$1" |
        "$python" -c 'import json, sys
for line in sys.stdin:
    o = json.loads(line)
    print(o["id"], o["generation"], o["secret"])' | sort
}
# lacks DIRECTORY TEXT...
lacks() {
    local where=$1
    shift
    ! grep -rqF "${@/#/-e}" "$where"
}

daemon_start
refused "no store yet" 8 "there is no store yet" ctl store image "$copy"
check "nothing is left of it" test ! -e "$copy"
a=$(add one a) || bail "add"
b=$(add two b --role=target) || bail "add"
c=$(add three c) || bail "add"
b2=$(psk four | ctl rotate "$b" --force) || bail "rotate"
before=$(store_digest)

run ctl store image "$copy" --subsysnqn="$A"
is "one subsystem: it says what it did" "$status $out$err" "0 1 keys in $copy"
is "one subsystem: its key alone" "$(ids_in "$copy")" "$a"
is "modes of the directories" "$(find "$copy" -type d -printf '%m\n' | sort -u)" 700
is "modes of the files" "$(find "$copy" -type f -printf '%m\n' | sort -u)" 600
is "files" "$(cd "$copy" && find . -type f)" ./store
is "the record is the same" "$(grep "\"id\":\"$a\"" "$copy/store")" "$(grep "\"id\":\"$a\"" "$state/store")"
rm -r "$copy"

mkdir "$copy"
run ctl store image "$copy/" --subsysnqn="$C" --subsysnqn="$B" --json=short
is "two subsystems: JSON" "$status$(json 'o["keys"], o["broken"]' <<<"$out")$err" "0(3, 0)"
is "two subsystems: their keys, a retiring one too" "$(ids_in "$copy")" "$(sorted "$b" "$b2" "$c")"
rm -r "$copy"

run ctl store image "$copy" --no-legend
is "all keys: no legend" "$status$out$err" 0
is "all keys" "$(ids_in "$copy")" "$(sorted "$a" "$b" "$b2" "$c")"
is "all keys: the secrets unseal to the same" "$(secrets_in "$copy")" "$(secrets_in "$state")"
check "no rollback counter" lacks "$copy" rollbackCounter
check "no secret of the keys in it" lacks "$copy" "$(psk one)" "$(psk one | cut -d : -f 3 | cut -c -42)"
is "the store is as it was" "$(store_digest)" "$before"

refused "a directory that is not empty" 5 "$copy is not empty" ctl store image "$copy" --subsysnqn="$A"
is "a directory that is not empty: it stays as it is" "$(ids_in "$copy" | wc -l)" 4
refused "a file" 1 "Not a directory" ctl store image "$tmp/keyd.conf"
ln -s "$tmp/elsewhere" "$tmp/link"
refused "a symbolic link" 1 "cannot make $tmp/link" ctl store image "$tmp/link"
refused "a directory whose parent is missing" 1 "No such file" ctl store image "$tmp/none/copy"
refused "an unknown subsystem" 4 "no key is for the subsystem NQN \"nqn.x\"" ctl store image "$tmp/new" --subsysnqn="$A" --subsysnqn=nqn.x
refused "no directory" 2 "store image needs DIR" ctl store image
check "nothing is left of what failed" test ! -e "$tmp/new"
like "the log names the user of the export" "$(cat "$log")" "3 keys of the store were exported for uid 0"

# --- the users that may call it

run ctl store image "$tmp/new" --no-legend
check "as root" test "$status" -eq 0
chmod 666 "$varlink" && chmod 755 "$tmp"
run setpriv --reuid=65534 --regid=65534 --clear-groups "$build/nvme-keyctl" --socket="$varlink" store image /tmp/keyd-nobody.$$
is "another user is refused" "$status" 6
chmod 700 "$tmp"

# --- a copy as a store

daemon_stop
store=$state
state=$tmp/new
daemon_start -E SYSTEMD_IN_INITRD=1
is "in an initramfs: all keys are published" "$(ring_names | wc -l)" 5
refused_with "in an initramfs: it is not changed" 8 "export that cannot be changed" "$(psk five)" \
    ctl add --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:z
refused "in an initramfs: no key is removed" 8 "export that cannot be changed" ctl remove "$a"
refused "in an initramfs: no copy of a copy" 8 "an export already" ctl store image "$tmp/again"
daemon_stop
keyctl clear "$(ring)"
# preload [VARIABLE=VALUE]
preload() { setpriv --regid 4711 --keep-groups env STATE_DIRECTORY="$state" "$@" "$build/nvme-keyd" -c "$conf" --preload; }
run preload
like "without systemd, elsewhere: it does not open" "$status$err" "export for a boot image"
run preload SYSTEMD_IN_INITRD=1
is "without systemd, in an initramfs: all keys are published" "$status $(ring_names | wc -l)" "0 5"
daemon_start
refused "elsewhere: it does not open" 8 "export for a boot image" ctl list
is "elsewhere: no recovery key helps" "$(ctl status | grep -c 'recovery key')" 0
daemon_stop
state=$store

# --- an export that is killed, while it waits for the service

daemon_start
kill -STOP "$daemon"
ended() { ! kill -0 "$victim" 2>/dev/null || [[ $(ps -o stat= -p "$victim") == Z* ]]; }
begun() { find "/proc/$victim/fd" -lname 'socket:*' 2>/dev/null | grep -q .; }
for signal in TERM HUP KILL; do
    # Without ctl(), because the test must kill nvme-keyctl and not the shell that runs it.
    "$build/nvme-keyctl" --socket="$varlink" store image "$tmp/killed" >/dev/null 2>&1 &
    victim=$!
    wait_for 60 begun || bail "an export does not begin"
    kill "-$signal" "$victim"
    wait_for 60 ended || bail "SIG$signal does not end it"
    wait "$victim" 2>/dev/null
    check "killed by $signal: nothing is left of it" test ! -e "$tmp/killed"
done
daemon_stop

# --- broken records

edit_store flip "$c"
daemon_start
run ctl store image "$tmp/broken" --no-legend
like "a broken key is left out, and a warning says so" "$status$out$err" "^0nvme-keyctl: warning: 1 keys are broken and left out"
is "the others are there" "$(ids_in "$tmp/broken")" "$(sorted "$a" "$b" "$b2")"
refused "the only key of a subsystem is broken" 4 "except possibly a broken one" ctl store image "$tmp/none" --subsysnqn="$C"
ctl remove "$c" >/dev/null

# --- keys of credentials, which have no record

daemon_stop
mkdir -m 700 "$tmp/credentials"
echo "$HOST $C $(psk three)" >"$tmp/credentials/nvme-keyd.psk"
daemon_start -E CREDENTIALS_DIRECTORY="$tmp/credentials"
is "a credential: its key is published" "$(ctl list --json=short | json '[k["credential"] for k in o["keys"] if k["subsystemNQN"] == "'"$C"'"]')" "['nvme-keyd.psk']"
run ctl store image "$tmp/stored"
is "a credential: it is not counted" "$status $out$err" "0 3 keys in $tmp/stored"
is "a credential: it is not in the copy" "$(ids_in "$tmp/stored")" "$(sorted "$a" "$b" "$b2")"
refused "a credential: the only key of a subsystem is one" 4 "no key is for the subsystem NQN \"$C\" in the store, only a handed-in key" \
    ctl store image "$tmp/none" --subsysnqn="$A" --subsysnqn="$C"
check "a credential: nothing is left of it" test ! -e "$tmp/none"
daemon_stop
daemon_start

# --- many

"$python" - "$HOST" 3000 >"$tmp/keys" <<'PY'
import base64, os, sys, zlib
host, n = sys.argv[1], int(sys.argv[2])
for i in range(n):
    key = os.urandom(32)
    text = base64.b64encode(key + zlib.crc32(key).to_bytes(4, "little")).decode()
    print(f"{host} nqn.2026-11.org.example:many:{i:05d}:{'x' * 120} NVMeTLSkey-1:01:{text}:")
PY
chmod 600 "$tmp/keys"
ctl import "$tmp/keys" >/dev/null || bail "import"
start=$(date +%s%N)
run ctl store image "$tmp/many"
is "3,000 keys" "$status $out" "0 3003 keys in $tmp/many"
diag "3,000 keys: $(((${EPOCHREALTIME/./} - start / 1000) / 1000)) ms, $(wc -c <"$tmp/many/store") bytes"
is "each is a line" "$(grep -c '^{"id":' "$tmp/many/store")" 3003

# --- all of them broken: where a console is slow, the boot waits for each line

daemon_stop
edit_store flip
run preload
is "3,003 broken records: a few lines name some and count all" "$status $(wc -l <"$tmp/err") $(grep -c 'Record .*: authentication failed' "$tmp/err") $(grep -c '3003 records of the store are broken' "$tmp/err")" "8 22 20 1"
finish
