#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Places without PSKs: the memory of the daemon after a call, and all that either program writes,
# logs, executes or has in its environment.
. "$(dirname "$0")/lib.sh"

! grep -q __asan_init "$build/nvme-keyd" || skip_all "a sanitizer keeps what was freed"

# forms LABEL PSK: the ways in which a configured PSK may lie about, as "LABEL HEX" lines.
forms() {
    python3 - "$@" <<'PY'
import base64, sys
label, psk = sys.argv[1:]
text = psk.split(":")[2]
raw = base64.b64decode(text)[:-4]
for kind, value in ("raw", raw), ("text", text.encode()), ("hex", raw.hex().encode()), ("HEX", raw.hex().upper().encode()):
    print(f"{label}-{kind}", value.hex())
PY
}

# ring_forms LABEL: the same for each TLS PSK in the ring.
ring_forms() {
    local serial
    for serial in $(keyctl rlist "$(ring)"); do
        keyctl pipe "$serial" | python3 -c '
import base64, sys
raw = sys.stdin.buffer.read()
for kind, value in ("raw", raw), ("text", base64.b64encode(raw)[:40]), ("hex", raw.hex().encode()):
    print(f"{sys.argv[1]}-{kind}", value.hex())' "$1"
    done
}

# finds_nothing PROCESS: none of what $tmp/secrets lists is in its memory; otherwise found says what and where.
finds_nothing() {
    found=$(sort -u "$tmp/secrets" | python3 "$source/tests/integration/memory.py" "$1" 2>"$tmp/scan.err") ||
        bail "memory.py: $(<"$tmp/scan.err")"
    [ -z "$found" ]
}

# nowhere TEXT PROCESS: the same, as soon as the process has finished its work after the answer to a call.
nowhere() {
    local found
    wait_for 10 finds_nothing "$2"
    is "$1: nothing in unlocked memory" "$(grep ' unlocked ' <<<"$found" | sort | uniq -c)" ""
    is "$1: nothing in locked memory" "$(grep ' locked ' <<<"$found" | sort | uniq -c)" ""
}

# where HEX: in which kinds of memory the daemon has this key, and in which forms.
where() {
    python3 -c '
import base64, sys
raw = bytes.fromhex(sys.argv[1])
for kind, value in ("raw", raw), ("text", base64.b64encode(raw)[:40]), ("hex", raw.hex().encode()), ("HEX", raw.hex().upper().encode()):
    print(kind, value.hex())' "$1" |
        python3 "$source/tests/integration/memory.py" "$daemon" 2>/dev/null | cut -d ' ' -f 1,2 | sort -u
}

# store_keys TEXT: the store key is in locked memory only, and the KEK is gone.
store_keys() {
    python3 "$source/tests/integration/read-store.py" --show-keys "$state" >"$tmp/keys" || bail "read-store.py"
    becomes "$1: the store key is in locked memory only" "raw locked" where "$(awk '$1 == "key" { print $2 }' "$tmp/keys")"
    becomes "$1: the key that wraps it is nowhere" "" where "$(awk '$1 == "kek" { print $2 }' "$tmp/keys")"
    rm "$tmp/keys"
}

# --- the search finds what is there

python3 -c 'import sys, time
psk = sys.stdin.readline()
print("ready", flush=True)
time.sleep(600)' <<<"$(psk control)" >"$tmp/control" &
control=$!
wait_for 60 grep -qs ready "$tmp/control"
forms control "$(psk control)" >"$tmp/secrets"
check "the search finds a PSK in a process that has one" test -n \
    "$(python3 "$source/tests/integration/memory.py" "$control" <"$tmp/secrets" 2>/dev/null | grep control-text)"
kill "$control"
wait "$control" 2>/dev/null

# --- the daemon

log_level=debug daemon_start
one=$(psk one) two=$(psk two 2) three=$(psk three)
{
    forms configured-1 "$one"
    forms configured-2 "$two"
    forms configured-3 "$three"
} >"$tmp/secrets"

id=$(ctl add --hostnqn="$HOST" --subsysnqn="$SUBSYSTEM" --identity-version=0,1 <<<"$one")
ring_forms tls-1 >>"$tmp/secrets"
ctl add --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:b <<<"$two" >/dev/null
ring_forms tls-2 >>"$tmp/secrets"
is "there is something to look for" "$(sort -u "$tmp/secrets" | wc -l)" $((3 * 4 + 2 * 3 + 3 * 3))
identity=$(ring_names | tail -n 1)
check "the search finds an identity, which is no secret" test -n \
    "$(echo "identity $(printf %s "$identity" | od -An -v -tx1 | tr -d ' \n')" | python3 "$source/tests/integration/memory.py" "$daemon" 2>/dev/null)"
sleep 1
nowhere "add" "$daemon"

ctl list >/dev/null
ctl show "$id" >/dev/null
ctl status >/dev/null
sleep 1
nowhere "list, show, status" "$daemon"

keyctl clear "$(ring)"
ctl sync >/dev/null
sleep 1
nowhere "sync" "$daemon"

ctl rotate "$id" --force <<<"$three" >/dev/null
ring_forms tls-3 >>"$tmp/secrets"
sleep 1
nowhere "rotate" "$daemon"

made=$(ctl generate --subsysnqn=nqn.2026-11.org.example:g --hostnqn="$HOST" --print-key | tail -n 1)
forms generated "$made" >>"$tmp/secrets"
ring_forms tls-4 >>"$tmp/secrets"
sleep 1
nowhere "generate, and print the PSK" "$daemon"

# More than a short message holds, with one TLS PSK for all.
for i in {1..500}; do
    echo "NVMe0R01 $HOST nqn.2026-11.org.example:import:$i: $three"
done >"$tmp/import"
chmod 600 "$tmp/import"
check "an import" ctl import --no-legend "$tmp/import"
rm "$tmp/import"
sleep 1
nowhere "import" "$daemon"

check "a key is removed" ctl remove "$(ctl list --no-legend | awk 'NR == 1 { print $1 }')"
sleep 1
nowhere "remove" "$daemon"

store_keys "with a new store"
ctl slot add recovery >/dev/null || bail "slot add"
sleep 1
store_keys "with a new slot"
nowhere "slot add" "$daemon"

# A refused PSK is a secret all the same.
bad=${one:0:70}
[ "${one:20:1}" = A ] && bad=${one:0:20}B${one:21} || bad=${one:0:20}A${one:21}
"$python" - "$source/tests/integration" "$varlink" "$bad" "$two" <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
from varlink import Connection
with Connection(sys.argv[2]) as c:
    for parameters in (
        {"subsystemNQN": "nqn.x:y", "hostNQN": "nqn.h", "psk": sys.argv[3]},
        {"subsystemNQN": "bad", "hostNQN": "nqn.h", "psk": sys.argv[4]},
        {"subsystemNQN": "nqn.x:y", "hostNQN": "nqn.h", "psk": [sys.argv[4]]},
        {"subsystemNQN": "nqn.x:y", "psk": sys.argv[4], "role": 7},
        {"psk": sys.argv[4]},
        {"subsystemNQN": "nqn.x:y", "hostNQN": "nqn.h", "PSK": sys.argv[4]},
    ):
        c.ask("org.nvmekeyd.Manager.Add", parameters)
        c.ask("org.nvmekeyd.Manager.Generate", {**parameters, "role": 8})
        c.ask("org.nvmekeyd.Manager.Nothing", parameters)
    c.send(b'{"method":"org.nvmekeyd.Manager.Add","parameters":{"psk":"' + sys.argv[4].encode())
with Connection(sys.argv[2]) as c:
    c.send(b'{"method":"org.nvmekeyd.Manager.Add","parameters":{"psk":"' + sys.argv[4].encode() + b'\0')
    c.reply()
PY
sleep 1
nowhere "a refused PSK" "$daemon"

printf '\x00' | ctl add --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:z 2>/dev/null
kill -HUP "$daemon"
daemon_stop
daemon_start
ctl list >/dev/null
sleep 1
nowhere "start with a store" "$daemon"
store_keys "start with a store"

# A record that has no TLS PSK of version 0, although it should: Export has the configured PSK in its reply then.
daemon_stop
sed -n 's/^{"id":"\([0-9a-f]*\)".*"meta":\(.*org.example:b".*\),"secret":.*/\1 \2/p' "$state/store" |
    sed 's/"identityVersions":\[1\]/"identityVersions":[0,1]/' >"$tmp/meta"
key=$(python3 "$source/tests/integration/read-store.py" --show-keys "$state" | sed -n 's/^key //p')
python3 "$source/tests/integration/edit-store.py" "$state/store" meta "$key" <"$tmp/meta" || bail "edit-store.py"
daemon_start
export_to_pipe() { ctl export "$1" | cat; }
run export_to_pipe "$(cut -d ' ' -f 1 "$tmp/meta")"
is "export fails" "$out$err" "nvme-keyctl: nvme-keyd answered with the error io.systemd.System"
nowhere "an export that fails" "$daemon"
run ctl remove --force "$(cut -d ' ' -f 1 "$tmp/meta")"

check "the daemon has locked memory" grep -qE '^VmLck:[[:space:]]+[1-9]' "/proc/$daemon/status"
is "the daemon leaves no core" "$(awk '/^Max core file size/ { print $5, $6 }' "/proc/$daemon/limits")" "0 0"

# --- the command, while it waits for an answer

kill -STOP "$daemon"
"$build/nvme-keyctl" --socket="$varlink" add --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:w <<<"$one" >/dev/null &
waiting=$!
becomes "nvme-keyctl, waiting: it is the one" "$build/nvme-keyctl" readlink "/proc/$waiting/exe"
sleep 1
# in_client PROCESS
in_client() {
    python3 "$source/tests/integration/memory.py" "$1" 2>/dev/null < <(forms configured-1 "$one")
}
becomes "nvme-keyctl, waiting: nothing in its memory" "" in_client "$waiting"
not_in_process() {
    ! { tr '\0' '\n' <"/proc/$1/cmdline" | grep -qF "${one:16:20}" || tr '\0' '\n' <"/proc/$1/environ" | grep -qF "${one:16:20}"; }
}
check "nvme-keyctl, waiting: not in its words or environment" not_in_process "$waiting"
check "the daemon: not in its words or environment" not_in_process "$daemon"
kill -CONT "$daemon"
wait "$waiting"

# --- the command, after it has printed secrets

# ends_with TEXT COMMAND...: nvme-keyctl prints the PSK of $one, and stays for a while as it ends.
ends_with() {
    local text=$1 tracer child shown
    shift
    strace -o /dev/null -e trace=exit_group -e inject=exit_group:delay_enter=60000000 \
        "$build/nvme-keyctl" --socket="$varlink" "$@" >"$tmp/shown" &
    tracer=$!
    wait_for 60 grep -qsF "${one:16:20}" "$tmp/shown" || bail "$text: it prints no PSK"
    wait_for 60 is_leaving "$tracer" || bail "$text: it does not end"
    child=$(pgrep -P "$tracer")
    is "$text: nothing in its memory" "$(in_client "$child")" ""
    kill -KILL "$child" "$tracer"
    wait "$tracer" 2>/dev/null
}
# Its standard output is closed as its last step.
is_leaving() {
    local child
    child=$(pgrep -P "$1") && ! [ -e "/proc/$child/fd/1" ]
}
if command -v strace >/dev/null; then
    id=$(ctl list --json=short | json '[k["id"] for k in o["keys"] if k["subsystemNQN"] == "nqn.2026-11.org.example:w"][0]')
    (umask 077 && : >"$tmp/shown")
    for mode in short pretty; do
        ends_with "nvme-keyctl export --json=$mode" export "$id" --json="$mode"
    done
    ends_with "nvme-keyctl export" export "$id" --format=interchange
else
    skip "nvme-keyctl, after it has printed secrets" "no strace"
fi

# --- the files and programs of both

# The files where a secret of either program would be.
grep -rlaF -e "${one:16:20}" -e "${two:16:20}" -e "${three:16:20}" -e "${made:16:20}" "$state" "$log" >"$tmp/found"
is "no secret in the store's files and the log" "$(<"$tmp/found")" ""
raw=$(python3 -c 'import base64, sys; print("".join(f"\\x{b:02x}" for b in base64.b64decode(sys.argv[1].split(":")[2])[:12]))' "$one")
is "no raw secret in the store's files and the log" "$(LC_ALL=C grep -rlaP "$raw" "$state" "$log")" ""

if command -v strace >/dev/null; then
    calls=execve,execveat,write,writev,pwrite64,pwritev,sendto,sendmsg,sendmmsg
    daemon_stop
    rm -f "$varlink" "$request"
    each=(-E "STATE_DIRECTORY=$state" -E "NVME_KEYD_LOG_LEVEL=debug")
    strace -f -s 8192 -xx -e trace="$calls" -o "$tmp/daemon.trace" \
        systemd-socket-activate --fdname=varlink -l "$varlink" "${each[@]}" \
        "$build/nvme-keyd" -c "$conf" 2>>"$log" &
    tracer=$!
    wait_for 60 is_listening "$varlink"
    strace -f -s 8192 -xx -e trace="${calls%%,send*}" -o "$tmp/client.trace" \
        "$build/nvme-keyctl" --socket="$varlink" add --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:s <<<"$one" >/dev/null
    "$build/nvme-keyctl" --socket="$varlink" add --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:s <<<"$one" 2>/dev/null
    "$build/nvme-keyctl" --socket="$varlink" list >/dev/null
    child=$(pgrep -P "$tracer")
    kill "$child"
    wait "$tracer"
    # With -xx each byte is \xHH.
    escaped() { od -An -v -tx1 | sed 's/ /\\x/g' | tr -d '\n'; }
    text=$(printf %s "${one:16:20}" | escaped)
    check "strace has seen both" test "$(grep -c execve "$tmp/client.trace" "$tmp/daemon.trace" | grep -vc ':0$')" -eq 2
    check "strace has seen the daemon answer" grep -qF "$(printf '"key"' | escaped)" "$tmp/daemon.trace"
    for trace in client daemon; do
        is "$trace: no PSK in what it writes or executes" "$(grep -cF -e "$text" -e "$raw" "$tmp/$trace.trace")" 0
    done
else
    skip "no secret in the programs' writes and arguments" "no strace"
fi

finish
